"""The training loop: steps, and what happens between them, in lock-step on all processes.

Nothing in it waits for a GPU but where a run pauses anyway. What is measured is read an interval late.
It does not know of settings files, of how weights are stored or what anything costs.
"""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from skerry_train.data import Feeder
from skerry_train.run.clock import SplitClock
from skerry_train.run.computing import autocast
from skerry_train.run.measures import Measured, Measures, Pending, Wishes
from skerry_train.run.optimizer import Changer
from skerry_train.run.planning import Plan
from skerry_train.run.schedule import learning_rate
from skerry_train.settings import TrainSettings
from skerry_train.world import World

Reason = Literal["done", "stopped", "budget"]
"""Why a session ends when nothing is wrong."""


class Listener(Protocol):
    """Who is told what the loop has come to. `step` is how many are done."""

    def wishes(self) -> Wishes:
        """Return what this process wants of all."""
        ...

    def measured(self, last: int, steps: list[Measured]) -> None:
        """Take in steps, up to this one. Raises Diverged."""
        ...

    def validate(self, step: int) -> None:
        """Measure the loss on the validation split."""
        ...

    def save(self, step: int) -> None:
        """Take a checkpoint."""
        ...

    def fail(self) -> None:
        """Raise what the first process has met."""
        ...


@dataclass
class Loop:
    """What takes part in training."""

    net: nn.Module
    """Inputs and targets to the loss; shared by all processes."""
    changer: Changer
    train: TrainSettings
    plan: Plan
    world: World
    clock: SplitClock
    listener: Listener
    measures: Measures
    has_dropout: bool
    pending: Pending | None = None

    def run(self, feeder: Feeder) -> Reason:
        """Do the steps that are left, and return why they ended. Raises Diverged, DoesNotFit, RankLost."""
        if self.plan.is_over:
            return "done"
        first, last = self.plan.first_step, self._last()
        self.clock.turn("compile" if self.train.compile else "train")
        for step in range(first, last):
            self._step(feeder, step)
            if step == first:
                self._settle()
            done = step + 1
            is_pause = done == last or self._validates(done) or self._saves(done)
            if is_pause or self.measures.is_full:
                wishes = self._look(done, wait=is_pause)
                end = self._end(done, last, wishes)
                self._pause(done, wishes, end)
                if end is not None:
                    return end
        raise AssertionError("the last step ends the loop")

    def _step(self, feeder: Feeder, step: int) -> None:
        """Change the weights once, by a global batch."""
        turns = self.plan.share.accumulation
        for turn in range(turns):
            inputs, targets = feeder.next()
            if self.has_dropout:
                torch.manual_seed(self.plan.seed(self.train, step, turn))
            # Forward and backward both: else gradients would be sent with every turn.
            with self._unshared() if turn < turns - 1 else contextlib.nullcontext():
                with autocast(self.train.numbers, self.world.device):
                    loss = self.net(inputs, targets)
                self.changer.scale(loss / turns if turns > 1 else loss).backward()
            self.measures.add_loss(turn, loss)
        rate = learning_rate(step, self.plan.steps, self.train)
        self.measures.add_change(self.changer.change(rate))

    def _unshared(self) -> contextlib.AbstractContextManager[None]:
        """Return what keeps gradients from being sent to the other processes."""
        if isinstance(self.net, DistributedDataParallel):
            return self.net.no_sync()
        return contextlib.nullcontext()

    def _settle(self) -> None:
        """End the first step, which is slow: kernels are compiled, memory is found."""
        self.world.synchronize()
        self.clock.turn("train")
        # What is there by now stays; looking through it again and again would hold up steps.
        gc.collect()
        gc.freeze()

    def _look(self, done: int, *, wait: bool) -> Wishes:
        """Send off the numbers of the steps up to this one; return what all want by the last known."""
        wishes = self._read()
        self.pending = self.measures.send(done, self.listener.wishes())
        # On a CPU they are there already.
        if wait or any(wishes) or self.world.device.type == "cpu":
            wishes = Wishes(*(a or b for a, b in zip(wishes, self._read(), strict=True)))
        return wishes

    def _read(self) -> Wishes:
        """Hand on the numbers that are on their way, and return what all want."""
        if self.pending is None:
            return Wishes()
        pending, self.pending = self.pending, None
        steps, wishes = pending.read()
        self.listener.measured(pending.last_step, steps)
        return wishes

    def _pause(self, done: int, wishes: Wishes, end: Reason | None) -> None:
        """Do what is due after a step."""
        if wishes.failed:
            self.listener.fail()
        if self._validates(done):
            self.listener.validate(done)
        if self._saves(done) or wishes.save or end is not None:
            self.listener.save(done)

    def _end(self, done: int, last: int, wishes: Wishes) -> Reason | None:
        if done == self.plan.steps:
            return "done"
        if wishes.budget:
            return "budget"
        return "stopped" if wishes.stop or done == last else None

    def _last(self) -> int:
        most = self.train.stop_after_steps
        return (
            self.plan.steps if most is None else min(self.plan.steps, self.plan.first_step + most)
        )

    def _validates(self, done: int) -> bool:
        interval = self.train.validation_interval
        return interval is not None and (done % interval == 0 or done == self.plan.steps)

    def _saves(self, done: int) -> bool:
        interval = self.train.checkpoint_interval or self.train.validation_interval
        return interval is not None and done % interval == 0
