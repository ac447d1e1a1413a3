"""The processes of a run: which one this is, and how they speak with each other.

One process for each device, started by torchrun; one alone needs no group. It does not know what is
trained.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor
from torch import distributed as dist

from skerry_train.errors import BadSettings, RankLost

# A first compile or a checkpoint may hold up one process; longer than this, it is gone.
_WAIT = timedelta(minutes=30)

_SECOND_S = 2.0  # from when on a second Ctrl-C is meant

Reduction = dist.ReduceOp.RedOpType
SUM, MIN, MAX = dist.ReduceOp.SUM, dist.ReduceOp.MIN, dist.ReduceOp.MAX


@dataclass(frozen=True)
class World:
    """Which process this is. `rank` counts over all machines, `local_rank` on this one."""

    rank: int
    local_rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Tell whether this process speaks for all: it writes, prints and saves."""
        return self.rank == 0

    @property
    def is_first_here(self) -> bool:
        """Tell whether this process does what is done once on each machine."""
        return self.local_rank == 0

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            with told_apart():
                # A reduction, not a barrier: with NCCL that one would guess which device is meant.
                dist.all_reduce(torch.zeros(1, device=self.device))

    def reduce(self, numbers: Tensor, how: Reduction) -> Tensor:
        """Combine a tensor of all processes, in place, and return it. Waits for nothing on a GPU."""
        if self.size > 1:
            with told_apart():
                dist.all_reduce(numbers, op=how)
        return numbers

    def broadcast(self, numbers: Tensor) -> None:
        """Give all processes the first one's tensor, in place."""
        if self.size > 1:
            with told_apart():
                dist.broadcast(numbers, src=0)

    def from_first(self, value: str) -> str:
        """Return what the first process has said."""
        if self.size == 1:
            return value
        said: list[str | None] = [value]
        with told_apart():
            dist.broadcast_object_list(said, src=0, device=self.device)
        return str(said[0])

    def synchronize(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextlib.contextmanager
def join(device: str | None = None) -> Generator[World]:
    """Join the processes that torchrun has started, or be the only one.

    device: `cpu` or `cuda`; None takes a GPU where there is one.
    """
    world = _place(device)
    chosen = world.device
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world.size == 1:
        yield world
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    with told_apart():
        dist.init_process_group(
            backend, timeout=_WAIT, device_id=chosen if chosen.type == "cuda" else None
        )
    try:
        yield world
    finally:
        dist.destroy_process_group()


def joined() -> World:
    """Return the place of this process in a group that somebody else has made of it."""
    return _place(None if dist.get_backend() == "nccl" else "cpu")


def _place(device: str | None) -> World:
    """Return what the launcher has told this process."""
    rank, local_rank, size = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))
    )
    return World(rank, local_rank, size, _device(device, local_rank))


def _device(wanted: str | None, local_rank: int) -> torch.device:
    count = torch.cuda.device_count()
    if (wanted or ("cuda" if count else "cpu")) == "cpu":
        return torch.device("cpu")
    if local_rank >= count:
        raise BadSettings(
            f"this machine has {count} GPUs, and process {local_rank + 1} on it wants one;"
            f" start at most {count} with --nproc_per_node"
        )
    return torch.device("cuda", local_rank)


@contextlib.contextmanager
def told_apart() -> Generator[None]:
    """Make RankLost of what a collective raises when another process is gone."""
    try:
        yield
    except dist.DistError as error:
        raise _lost(error) from error
    except RuntimeError as error:
        words = ("Connection closed", "Connection reset", "Broken pipe", "timed out", "Timed out",
                 "Socket Timeout", "NCCL", "gloo")  # fmt: skip
        if any(each in str(error) for each in words):
            raise _lost(error) from error
        raise


def _lost(error: Exception) -> RankLost:
    return RankLost(
        "another process of this run has ended or can not be reached; the last checkpoint holds, go on"
        f" with --resume auto ({str(error).splitlines()[0][:200]})"
    )


class StopRequest:
    """Whether somebody has asked the run to end: SIGTERM or Ctrl-C. A second Ctrl-C ends it at once.

    That has to come a while later: a launcher may hand on what a terminal has told everybody.
    """

    def __init__(self) -> None:
        self.is_made = False
        self._made_at_s = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may listen; elsewhere the run simply is not stopped so.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self.is_made:
            self.is_made, self._made_at_s = True, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._made_at_s > _SECOND_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
