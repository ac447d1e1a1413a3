"""A run's records as columns of numbers, and many points drawn together into few.

Pure functions. They do not know how anything is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skerry_train.record import Records

Column = NDArray[np.float64]

# More points than a chart has columns of pixels only make its file larger.
POINTS_MAX = 1000


@dataclass(frozen=True)
class Columns:
    """What a run has done, a row for each step. What was no number, or not measured, is NaN."""

    step: Column
    tokens: Column
    loss: Column
    loss_min: Column
    loss_max: Column
    lr: Column
    grad_norm: Column
    is_clipped: Column
    is_skipped: Column
    tokens_per_s: Column
    mfu: Column


@dataclass(frozen=True)
class Band:
    """A line with what lies around it: in each place a mean, and the lowest and highest."""

    x: Column
    mean: Column
    low: Column
    high: Column


def columns(records: Records) -> Columns:
    """Return the steps of a run as columns."""
    steps = records.steps
    return Columns(
        step=_column((each.step for each in steps), len(steps)),
        tokens=_column((each.tokens for each in steps), len(steps)),
        loss=_column((each.loss for each in steps), len(steps)),
        loss_min=_column((each.loss_min for each in steps), len(steps)),
        loss_max=_column((each.loss_max for each in steps), len(steps)),
        lr=_column((each.lr for each in steps), len(steps)),
        grad_norm=_column((each.grad_norm for each in steps), len(steps)),
        is_clipped=_column((each.is_clipped for each in steps), len(steps)),
        is_skipped=_column((each.is_skipped for each in steps), len(steps)),
        tokens_per_s=_column((each.tokens_per_s for each in steps), len(steps)),
        mfu=_column((each.mfu for each in steps), len(steps)),
    )


def band(
    x: Column,
    mean: Column,
    low: Column | None = None,
    high: Column | None = None,
    points_max: int = POINTS_MAX,
) -> Band:
    """Draw neighbours together until there are few points: their mean, lowest and highest.

    low, high: what lies around the mean; the mean itself if they are left out. NaN counts for nothing,
    and a place where there is nothing else is NaN.
    """
    low, high = (mean if low is None else low), (mean if high is None else high)
    if len(x) <= points_max:
        return Band(x, mean, low, high)
    starts = np.arange(points_max) * len(x) // points_max
    return Band(
        _means(x, starts),
        _means(mean, starts),
        np.fmin.reduceat(low, starts),
        np.fmax.reduceat(high, starts),
    )


def lowest(*values: Column) -> float | None:
    """Return the lowest number, None if there is none."""
    numbers = _finite(values)
    return float(numbers.min()) if len(numbers) else None


def highest(*values: Column) -> float | None:
    """Return the highest number, None if there is none."""
    numbers = _finite(values)
    return float(numbers.max()) if len(numbers) else None


def _finite(values: tuple[Column, ...]) -> Column:
    together = np.concatenate(values)
    return together[np.isfinite(together)]


def _means(values: Column, starts: NDArray[np.int64]) -> Column:
    is_number = np.isfinite(values)
    sums = np.add.reduceat(np.where(is_number, values, 0.0), starts)
    counts = np.add.reduceat(is_number.astype(np.float64), starts)
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def _column(values: Iterable[float | None], count: int) -> Column:
    numbers = (np.nan if each is None else each for each in values)
    return np.fromiter(numbers, dtype=np.float64, count=count)
