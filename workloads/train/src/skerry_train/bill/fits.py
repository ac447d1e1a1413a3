"""Two curves through what runs have shown: memory over micro-batches, loss over batch sizes.

Pure arithmetic: least squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MemoryLine:
    """Bytes that a process needs: some fixed, and some for each sequence of its micro-batch."""

    fixed_bytes: float
    per_sequence_bytes: float

    def at(self, microbatch: float) -> float:
        """Return the bytes that a micro-batch needs."""
        return self.fixed_bytes + self.per_sequence_bytes * microbatch


@dataclass(frozen=True)
class BatchCurve:
    """Loss as a parabola over x = log2(global batch): a x^2 + b x + c. Source: the posts, part 29."""

    a: float
    b: float
    c: float

    def at(self, global_batch: float) -> float:
        """Return the loss that a global batch comes to."""
        x = math.log2(global_batch)
        return (self.a * x + self.b) * x + self.c

    @property
    def best_batch(self) -> float | None:
        """Return the global batch of the lowest loss; None if the curve has no lowest point."""
        if self.a <= 0:
            return None
        x = -self.b / (2 * self.a)
        return 2.0**x if abs(x) < 64 else None  # so flat that it tells nothing


def memory_line(points: Sequence[tuple[int, float]]) -> MemoryLine | None:
    """Fit a line to (micro-batch, bytes). None if there are fewer than two micro-batches."""
    if len({microbatch for microbatch, _ in points}) < 2:
        return None
    slope, fixed = np.polyfit(*zip(*points, strict=True), deg=1)
    return MemoryLine(float(fixed), float(slope))


def batch_curve(points: Sequence[tuple[int, float]]) -> BatchCurve | None:
    """Fit a parabola to (global batch, loss). None if there are fewer than three batch sizes."""
    if len({batch for batch, _ in points}) < 3:
        return None
    batches, losses = zip(*points, strict=True)
    a, b, c = np.polyfit(np.log2(batches), losses, deg=2)
    return BatchCurve(float(a), float(b), float(c))
