"""How far a run goes and from where: its slice of the data, its steps, how processes share them.

Pure arithmetic over settings and what a checkpoint says.
"""

from __future__ import annotations

from dataclasses import dataclass

from skerry_train.data import Mixing, Share, Slice, plan
from skerry_train.settings import ModelSettings, TrainSettings

_MIX = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: neighbours land far from each other


@dataclass(frozen=True)
class Done:
    """What was done before this session."""

    steps: int = 0
    tokens: int = 0
    next_token: int | None = None
    mixed: int | None = None
    """How many sequences the order has that is being read, None if they are read as they lie."""


@dataclass(frozen=True)
class Plan:
    """What this session has to do. A step is counted over the whole run, from 0."""

    part: Slice
    """What is left to read."""
    share: Share
    first_step: int
    first_token: int
    """Tokens seen before this session."""

    @property
    def steps(self) -> int:
        """Return how many steps the whole run has."""
        return self.first_step + self.part.steps

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is left."""
        return self.part.steps == 0

    def tokens_after(self, step: int) -> int:
        """Return the tokens seen once a step, counted from 0, is done."""
        return self.first_token + (step + 1 - self.first_step) * self.part.tokens_per_step

    def next_token(self, step: int) -> int:
        """Return where the step after this one begins to read."""
        return self.part.start + (step + 1 - self.first_step) * self.part.tokens_per_step

    def seed(self, train: TrainSettings, step: int, turn: int) -> int:
        """Return the seed of a micro-batch: the same for the same tokens, whoever takes them.

        So nothing has to be kept of the state of random numbers, and a run with dropout is gone on
        with exactly, on another number of processes too.
        """
        first = self.share.number(step - self.first_step, turn) * self.share.microbatch
        place = self.part.start + first * self.share.context
        return (train.random_seed * _MIX + place * 0xBF58476D1CE4E5B9) % (1 << 63)


def make_share(model: ModelSettings, train: TrainSettings, rank: int, world_size: int) -> Share:
    """Return what a process reads of each step. Raises BadSettings if the batch can not be shared so."""
    return Share(
        rank=rank,
        world_size=world_size,
        accumulation=train.accumulation(world_size),
        microbatch=train.microbatch_size,
        context=model.context_length,
    )


def make_plan(total: int, train: TrainSettings, share: Share, done: Done) -> Plan:
    """Return what is left to do. total: tokens in the split. Raises BadData if they are too few.

    With the same global batch it is what it would have been without a break; with another, what is
    left of the tokens in whole batches of the new size.
    """
    size = share.tokens_per_step
    whole = plan(total, train.start_train_token, train.min_train_tokens, size)
    begin = done.next_token if done.next_token is not None else whole.start
    mixing, end, last = None, whole.end, total - 1
    if train.mix_sequences:
        count = done.mixed or whole.tokens // share.context
        mixing = Mixing(whole.start, count, train.random_seed)
        end = last = whole.start + count * share.context
    left = -(-max(end - begin, 0) // size)
    if left and begin + left * size > last:
        left -= 1  # another batch size, and what there is ends before its last batch
    return Plan(Slice(begin, left, size, mixing), share, done.steps, done.tokens)


def make_validation(total: int, train: TrainSettings, share: Share) -> Slice | None:
    """Return what is validated on, None if nothing is. Raises BadData if the split is too short."""
    if train.validation_batches is None:
        return None
    size = share.tokens_per_step
    return plan(total, train.start_val_token, train.validation_batches * size, size, "validation")
