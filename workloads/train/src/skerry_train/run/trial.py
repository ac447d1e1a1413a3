"""The real loop on made-up tokens: what a micro-batch needs, how fast a device is. Nothing is kept.

It does not know what is done with the numbers.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from skerry_train.data import Feeder, Slice, Tokens
from skerry_train.errors import Diverged
from skerry_train.run.clock import SplitClock
from skerry_train.run.computing import make_model, make_nets
from skerry_train.run.loop import Loop
from skerry_train.run.measures import Measured, Measures, Wishes, interval_steps
from skerry_train.run.optimizer import Changer, make_optimizer
from skerry_train.run.planning import Plan, make_share
from skerry_train.settings import ModelSettings, TrainSettings
from skerry_train.world import World


class Trial:
    """A model that trains on random tokens, as a run would. Use it inside `computing`."""

    def __init__(self, model: ModelSettings, train: TrainSettings, device: torch.device) -> None:
        self._model, self._train = model, train
        self._world = World(rank=0, local_rank=0, size=1, device=device)
        self._share = make_share(model, train, 0, 1)
        made = make_model(model, train, device).train()
        _, self._shared = make_nets(made, train, self._world)
        self._changer = Changer(make_optimizer(made, train, device), train, device)
        self._measures = Measures(
            self._world, self._share.accumulation, interval_steps(train, device)
        )

    @property
    def tokens_per_step(self) -> int:
        """Return the tokens of a step."""
        return self._share.tokens_per_step

    def run(self, steps: int) -> float:
        """Train for so many steps and return the seconds until the device was done with them.

        Raises Diverged if the loss is no number.
        """
        size = self._share.tokens_per_step
        made = np.random.default_rng(steps).integers(0, self._model.vocab_size, steps * size + 1)
        tokens: Tokens = made.astype(np.uint32)
        plan = Plan(Slice(0, steps, size), self._share, 0, 0)
        loop = Loop(
            self._shared, self._changer, self._train, plan, self._world, SplitClock(time.perf_counter),
            _Nobody(), self._measures, has_dropout=self._model.drop_rate > 0,
        )  # fmt: skip
        with Feeder(
            tokens, plan.part, self._share, self._world.device, self._model.vocab_size
        ) as feeder:
            self._world.synchronize()
            begin = time.perf_counter()
            loop.run(feeder)
            self._world.synchronize()
            return time.perf_counter() - begin


class _Nobody:
    """Listens to a loop and wants nothing."""

    def wishes(self) -> Wishes:
        return Wishes()

    def measured(self, last: int, steps: list[Measured]) -> None:
        if not all(math.isfinite(each.loss) for each in steps):
            raise Diverged(f"the loss of one of the steps up to {last} is no number")

    def validate(self, step: int) -> None:
        pass

    def save(self, step: int) -> None:
        pass

    def fail(self) -> None:
        pass
