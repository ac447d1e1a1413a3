"""Finding the largest micro-batch: a line through a few measurements, then proof on both sides of it.

It does not know how a batch is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skerry_train.errors import DoesNotFit

_MEASURED = (1, 2, 4)


@dataclass(frozen=True)
class Attempt:
    """How it went with a micro-batch of this many sequences.

    `peak_bytes`: the most that was held, None if that is not known; `room_bytes`: what there is for it.
    """

    sequences: int
    fits: bool
    peak_bytes: int | None
    room_bytes: int


@dataclass(frozen=True)
class Line:
    """The memory of a micro-batch: what is always there, and what each sequence adds. In bytes."""

    fixed_bytes: float
    sequence_bytes: float

    def most(self, room_bytes: int) -> int:
        """Return how many sequences the line lets into so much room; at least one."""
        if self.sequence_bytes <= 0:
            return 1
        return max(int((room_bytes - self.fixed_bytes) / self.sequence_bytes), 1)


@dataclass(frozen=True)
class Found:
    """What was found: the largest micro-batch that fits, the line, all that was tried, in its order."""

    largest: int
    line: Line | None
    attempts: tuple[Attempt, ...]


def through(points: Sequence[tuple[float, float]]) -> Line:
    """Return the line of least squares through points of sequences and bytes, two at least."""
    count = len(points)
    mean_x, mean_y = (sum(each[axis] for each in points) / count for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return Line(mean_y - slope * mean_x, slope)


def find(attempt: Callable[[int], Attempt], most: int | None = None) -> Found:
    """Return the largest micro-batch that fits: it was tried, and one more was tried and did not fit.

    most: no larger one is wanted; None knows no limit. Raises DoesNotFit if one sequence is too many.
    """
    search = _Search(attempt, most)
    for sequences in _MEASURED:
        if not search.fits(sequences):
            break
    else:
        search.fits(search.guess())
    search.climb()
    search.halve()
    return Found(search.low, search.line(), tuple(search.attempts))


class _Search:
    """Between `low`, which fits, and `high`, which does not; None while nothing was too large."""

    def __init__(self, attempt: Callable[[int], Attempt], most: int | None) -> None:
        self._attempt, self._most = attempt, most
        self.attempts: list[Attempt] = []
        self.low, self.high = 0, most + 1 if most is not None else None

    def fits(self, sequences: int) -> bool:
        """Try a micro-batch, unless it is known how that would go."""
        if sequences <= self.low:
            return True
        if self.high is not None and sequences >= self.high:
            return False
        made = self._attempt(sequences)
        self.attempts.append(made)
        if made.fits:
            self.low = sequences
        elif sequences == 1:
            raise DoesNotFit(
                "not even one sequence fits: take a smaller model or context, or set loss to 'chunked'"
            )
        else:
            self.high = sequences
        return made.fits

    def line(self) -> Line | None:
        """Return the line through what fitted, None with too few points for one."""
        points = [(each.sequences, each.peak_bytes) for each in self.attempts if each.fits]
        known = [(float(x), float(y)) for x, y in points if y is not None]
        return through(known) if len(known) > 1 else None

    def guess(self) -> int:
        """Return the largest that should fit by the line."""
        line = self.line()
        return max(self.low, line.most(self.attempts[-1].room_bytes) if line else 2 * self.low)

    def climb(self) -> None:
        """Go up until something does not fit: by one first, since the line is nearly right."""
        step = 1
        while self.high is None:
            self.fits(self.low + step)
            step *= 2

    def halve(self) -> None:
        """Close the gap: by the line while it helps, by halves when it does not."""
        while self.high is not None and self.high - self.low > 1:
            guess = self.guess()
            if not self.low < guess < self.high or len(self.attempts) > 8:
                guess = (self.low + self.high) // 2
            if self.fits(guess):
                self.fits(guess + 1)
