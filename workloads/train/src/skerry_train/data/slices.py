"""Which tokens of a split a run reads: pure arithmetic. It does not know how they are stored."""

from __future__ import annotations

from dataclasses import dataclass

from skerry_train.errors import BadData

_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Mixing:
    """An order of sequences that looks random and follows from a seed: each comes once.

    It is computed, not kept: a Feistel network over the next even power of two, walked until it lands
    among the sequences. Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains".
    """

    start: int
    """The first token of the first sequence."""
    count: int
    seed: int

    def place(self, number: int) -> int:
        """Return which sequence comes at a place in the order. Both count from 0."""
        assert 0 <= number < self.count
        half = max((self.count - 1).bit_length() + 1, 2) // 2
        while True:
            left, right = number >> half, number & ((1 << half) - 1)
            for turn in range(4):
                left, right = right, left ^ (self._hash(right, turn) >> (64 - half))
            number = left << half | right
            if number < self.count:
                return number

    def _hash(self, value: int, turn: int) -> int:
        """Return 64 bits. Source: Steele and others 2014, the finalizer of SplitMix64."""
        mixed = (value + self.seed * 0x9E3779B97F4A7C15 + turn * 0xD1B54A32D192ED03) & _MASK
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31


@dataclass(frozen=True)
class Slice:
    """Whole global batches from a token on. One token more is read, as the last one's target.

    mixing: the order in which sequences are read; None reads them as they lie. `start` is a place in
    that order then, in tokens.
    """

    start: int
    steps: int
    tokens_per_step: int
    mixing: Mixing | None = None

    @property
    def tokens(self) -> int:
        """Return how many tokens are trained on."""
        return self.steps * self.tokens_per_step

    @property
    def end(self) -> int:
        """Return where the next slice would begin."""
        return self.start + self.tokens


def plan(
    total: int, start: int, min_tokens: int, tokens_per_step: int, split: str = "train"
) -> Slice:
    """Return the smallest slice of whole global batches that holds so many tokens.

    total: tokens in the split; min_tokens: -1 takes as many whole batches as there are. Raises BadData
    if the start is past the end, or too few tokens come after it.
    """
    there = total - start - 1  # the last token is only ever a target
    if start >= total:
        raise BadData(
            f"the {split} split has {total:,} tokens and is to be read from token {start:,} on"
        )
    steps = there // tokens_per_step if min_tokens < 0 else -(-min_tokens // tokens_per_step)
    if steps < 1 or steps * tokens_per_step > there:
        needed = max(steps, 1) * tokens_per_step + 1
        raise BadData(
            f"the {split} split has {total - start:,} tokens from token {start:,} on, and {needed:,} are"
            f" needed: {max(steps, 1):,} whole batches of {tokens_per_step:,} and one more;"
            " take a smaller batch, fewer tokens or a larger data set"
        )
    return Slice(start, steps, tokens_per_step)


def sequence(part: Slice, step: int, place: int, length: int) -> int:
    """Return the first token of a sequence: the `place`-th of a step's, of so many tokens each."""
    position = part.start + step * part.tokens_per_step + place * length
    if part.mixing is None:
        return position
    return part.mixing.start + part.mixing.place((position - part.mixing.start) // length) * length
