"""Taking micro-batches out of tokens, ahead of when they are needed.

At step s and accumulation a, rank r reads micro-batch ((s x accumulations) + a) x world size + r of the
slice: the same tokens make a step however many processes share it. It does not know what trains.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from skerry_train.data.shards import Joined, Numbers
from skerry_train.data.slices import Slice, sequence
from skerry_train.errors import BadData

Tokens = Numbers | Joined

_AHEAD = 4  # micro-batches that wait, each of some 100 KB


@dataclass(frozen=True)
class Share:
    """What one process reads of each step."""

    rank: int
    world_size: int
    accumulation: int
    microbatch: int
    context: int

    @property
    def tokens_per_step(self) -> int:
        """Return the tokens of a global batch."""
        return self.world_size * self.accumulation * self.microbatch * self.context

    def number(self, step: int, turn: int) -> int:
        """Return the number of a micro-batch in the whole slice."""
        return (step * self.accumulation + turn) * self.world_size + self.rank


def microbatch(tokens: Tokens, part: Slice, share: Share, step: int, turn: int) -> Tensor:
    """Return the sequences of a micro-batch, each with its last target: [microbatch, context + 1].

    In the integers that are stored: they are widened where they are used.
    """
    first = share.number(0, turn) * share.microbatch
    rows = [
        tokens[begin : begin + share.context + 1]
        for place in range(first, first + share.microbatch)
        for begin in [sequence(part, step, place, share.context)]
    ]
    return torch.from_numpy(np.stack(rows))


class Feeder:
    """Reads micro-batches ahead in a thread, and has them on the way to the device when asked.

    Use it in a `with`; the thread ends with it.
    """

    def __init__(
        self,
        tokens: Tokens,
        part: Slice,
        share: Share,
        device: torch.device,
        vocab_size: int,
        first_step: int = 0,
    ) -> None:
        self._ready: queue.Queue[Tensor | BaseException] = queue.Queue(_AHEAD)
        self._is_over = threading.Event()
        self._device = device
        self._places = (tokens, part, share, first_step)
        self._vocab_size = vocab_size
        self._thread = threading.Thread(target=self._read, name="feeder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        while self._thread.is_alive():
            if not self._ready.empty():
                self._ready.get()
            self._thread.join(0.01)

    @property
    def is_alive(self) -> bool:
        """Tell whether the thread still reads."""
        return self._thread.is_alive()

    def next(self) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the next micro-batch, [microbatch, context] of int64 each."""
        made = self._ready.get()
        if isinstance(made, BaseException):
            raise made
        whole = made.to(self._device, non_blocking=True).long()
        return whole[:, :-1], whole[:, 1:]

    def _read(self) -> None:
        try:
            for each in self._microbatches():
                while not self._is_over.is_set():
                    try:
                        self._ready.put(each, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                if self._is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - whoever waits for a batch is told
            self._ready.put(error)

    def _microbatches(self) -> Iterator[Tensor]:
        tokens, part, share, first_step = self._places
        is_pinned = self._device.type == "cuda"
        for step in range(first_step, part.steps):
            for turn in range(share.accumulation):
                made = microbatch(tokens, part, share, step, turn)
                # On a GPU such a token would end the process, with words that say nothing.
                if (highest := int(made.numpy().max())) >= self._vocab_size:
                    raise BadData(
                        f"the data set has a token {highest}, and the model's vocab_size is"
                        f" {self._vocab_size}; they were made for different tokenizers"
                    )
                yield made.pin_memory() if is_pinned else made
