"""What is measured of each step: kept on the device, told a while later, so that nothing waits for it.

It does not know what is made of the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skerry_train.run.optimizer import Change
from skerry_train.settings import TrainSettings
from skerry_train.world import MAX, SUM, World


class Wishes(NamedTuple):
    """What some process wants of all: each is taken up by all at the same step."""

    stop: bool = False
    budget: bool = False
    """The money is spent."""
    failed: bool = False
    """The first process can not go on."""
    save: bool = False


class Measured(NamedTuple):
    """A step, over all processes. Losses in nats; the norm is that before clipping."""

    loss: float
    loss_min: float
    loss_max: float
    grad_norm: float
    is_skipped: bool


@dataclass(frozen=True)
class Pending:
    """Numbers on their way from the device."""

    sums: Tensor
    extremes: Tensor
    event: torch.cuda.Event | None
    world_size: int
    steps: int
    """How many steps they are of."""
    last_step: int

    def read(self) -> tuple[list[Measured], Wishes]:
        """Wait until the device has done those steps, and return them."""
        if self.event is not None:
            self.event.synchronize()
        means, norms, skips = (self.sums / self.world_size).tolist()
        lows, highs, wishes = self.extremes.tolist()
        rows = zip(means, lows, highs, norms, skips, strict=True)
        steps = [Measured(mean, -low, high, norm, skip > 0) for mean, low, high, norm, skip in rows]
        return steps[: self.steps], Wishes(*(each > 0 for each in wishes[: len(Wishes._fields)]))


def interval_steps(train: TrainSettings, device: torch.device) -> int:
    """Return how many steps are measured before their numbers are sent."""
    return train.log_interval or (10 if device.type == "cuda" else 1)


class Measures:
    """The numbers of up to `interval` steps."""

    def __init__(self, world: World, accumulation: int, interval: int) -> None:
        self._world, self._interval = world, interval
        self._columns = max(interval, len(Wishes._fields))
        self._losses = torch.zeros(self._columns, accumulation, device=world.device)
        self._changes = torch.zeros(2, self._columns, device=world.device)
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Tell whether they have to be sent before the next step."""
        return self.count == self._interval

    def add_loss(self, turn: int, loss: Tensor) -> None:
        """Keep the loss of a micro-batch of the step under way."""
        self._losses[self.count, turn] = loss.detach()

    def add_change(self, change: Change) -> None:
        """Keep what the change was like, which ends a step."""
        self._changes[0, self.count] = change.grad_norm
        self._changes[1, self.count] = change.is_skipped
        self.count += 1

    def send(self, last_step: int, wishes: Wishes) -> Pending:
        """Combine the numbers of all processes, send them on their way, and begin anew."""
        device = self._world.device
        wanted = torch.zeros(self._columns)
        wanted[: len(wishes)] = torch.tensor([float(each) for each in wishes])
        wanted = wanted.to(device, non_blocking=True)
        lows, highs = self._losses.amin(1), self._losses.amax(1)
        sums = torch.stack([self._losses.mean(1), *self._changes])
        extremes = torch.stack([-lows, highs, wanted])
        self._world.reduce(sums, SUM)
        self._world.reduce(extremes, MAX)
        event = None
        if device.type == "cuda":
            sums, extremes = (_pinned(each) for each in (sums, extremes))
            event = torch.cuda.Event()
            event.record()
        pending = Pending(sums, extremes, event, self._world.size, self.count, last_step)
        self.count = 0
        return pending


def _pinned(numbers: Tensor) -> Tensor:
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    return host.copy_(numbers, non_blocking=True)
