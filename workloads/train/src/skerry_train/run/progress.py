"""What a run knows of its own course: losses since the last checkpoint, the best so far, what to tell.

Pure but for the journal and the bar that it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from skerry_train.errors import Diverged
from skerry_train.record import Step, finite
from skerry_train.run.measures import Measured

_SKIPS_MAX = 100  # a scaler finds its scale within some twenty


@dataclass
class Since:
    """Steps since the last checkpoint."""

    losses: list[float] = field(default_factory=list[float])
    lows: list[float] = field(default_factory=list[float])
    highs: list[float] = field(default_factory=list[float])
    norms: list[float] = field(default_factory=list[float])
    clipped: int = 0

    def add(self, step: Step) -> None:
        """Count a step."""
        self.losses.append(step.loss if step.loss is not None else math.nan)
        if step.loss_min is not None:
            self.lows.append(step.loss_min)
        if step.loss_max is not None:
            self.highs.append(step.loss_max)
        if step.grad_norm is not None:
            self.norms.append(step.grad_norm)
        self.clipped += step.is_clipped

    @property
    def loss(self) -> float | None:
        """Return the mean loss, None if there was no step."""
        return finite(sum(self.losses) / len(self.losses)) if self.losses else None


@dataclass
class Progress:
    """The course of a run, over all its sessions."""

    best_loss: float | None = None
    best_step: int | None = None
    validation_loss: float | None = None
    last_loss: float | None = None
    since: Since = field(default_factory=Since)
    skips: int = 0

    def hear(self, measured: Measured, step: Step) -> None:
        """Take in a step. Raises Diverged if the loss is no number, or the gradients stay none."""
        self.skips = self.skips + 1 if measured.is_skipped else 0
        if not math.isfinite(measured.loss) or self.skips > _SKIPS_MAX:
            what = "loss" if not math.isfinite(measured.loss) else "gradients of 100 steps"
            raise Diverged(
                f"the {what} at step {step.step} {'is' if what == 'loss' else 'are'} no number any more;"
                " go on from the last checkpoint with a lower learning_rate, clipping_max_norm or bf16"
            )
        self.last_loss = measured.loss
        self.since.add(step)

    def judge(self, step: int) -> bool:
        """Tell whether the run is better at this step than ever, and keep that.

        By the loss on the validation split where there is one, else by the mean since the last
        checkpoint.
        """
        loss = self.validation_loss if self.validation_loss is not None else self.since.loss
        if loss is None or not math.isfinite(loss):
            return False
        if self.best_loss is not None and loss >= self.best_loss:
            return False
        self.best_loss, self.best_step = loss, step
        return True
