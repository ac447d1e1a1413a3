"""Which tokens of a split a run reads: pure arithmetic. It does not know how they are stored."""

from __future__ import annotations

from dataclasses import dataclass

from skerry_train.errors import BadData


@dataclass(frozen=True)
class Slice:
    """Whole global batches from a token on. One token more is read, as the last one's target."""

    start: int
    steps: int
    tokens_per_step: int

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
    return part.start + step * part.tokens_per_step + place * length
