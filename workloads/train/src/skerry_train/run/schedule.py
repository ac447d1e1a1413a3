"""The learning rate of a step: a pure function, so that nothing has to be saved for it."""

from __future__ import annotations

import math

from skerry_train.settings import TrainSettings

_FIRST_PART = 1e-5  # of the peak, at the first step of the warm-up
_LAST_PART = 0.1  # of the peak, at the end


def learning_rate(step: int, steps: int, train: TrainSettings) -> float:
    """Return the learning rate of a step, counted from 0, of so many.

    Without a schedule the peak; else a line up from 1e-5 of it, then a cosine down to a tenth.
    """
    peak = train.learning_rate
    if not train.schedule_learning_rate:
        return peak
    warm = int(steps * train.warmup_period_percent / 100)
    if step < warm:
        return peak * (_FIRST_PART + (1 - _FIRST_PART) * step / warm)
    part = (step - warm) / max(steps - warm, 1)
    low = peak * _LAST_PART
    return low + (peak - low) * (1 + math.cos(math.pi * min(part, 1.0))) / 2
