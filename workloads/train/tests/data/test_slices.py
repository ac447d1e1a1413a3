"""A run reads the tokens that it is told to, each once, however processes share them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skerry_train.data import Feeder, Mixing, Share, Slice, microbatch, plan
from skerry_train.errors import BadData

sizes = st.integers(1, 4)


@given(st.integers(2, 500), st.integers(0, 600), st.integers(-1, 600), st.integers(1, 50))
def test_a_slice_is_the_smallest_of_whole_batches(
    total: int, start: int, wanted: int, batch: int
) -> None:
    """Told apart by trying every number of batches."""
    fits = [steps for steps in range(1, 700) if start + steps * batch + 1 <= total]
    enough = fits[-1:] if wanted < 0 else [steps for steps in fits if steps * batch >= wanted]
    if not enough or wanted == 0:
        if wanted:
            with pytest.raises(BadData):
                plan(total, start, wanted, batch)
        return

    assert plan(total, start, wanted, batch) == Slice(start, enough[0], batch)


def test_an_exact_multiple_gets_no_further_batch() -> None:
    assert plan(1_000_000, 0, 98_304 * 3, 98_304).steps == 3
    assert plan(1_000_000, 0, 98_304 * 3 + 1, 98_304).steps == 4


@given(sizes, sizes, sizes, st.integers(1, 5), st.integers(1, 4), st.integers(0, 7))
def test_every_token_is_used_once_by_some_process(
    world: int, accumulation: int, micro: int, context: int, steps: int, start: int
) -> None:
    shares = [Share(rank, world, accumulation, micro, context) for rank in range(world)]
    part = Slice(start, steps, shares[0].tokens_per_step)
    tokens = np.arange(start + part.tokens + 1, dtype=np.uint16)

    for step in range(steps):
        turns = [
            microbatch(tokens, part, share, step, turn).long()
            for turn in range(accumulation)
            for share in shares
        ]
        inputs = torch.cat([each[:, :-1].flatten() for each in turns])
        targets = torch.cat([each[:, 1:].flatten() for each in turns])
        first = start + step * part.tokens_per_step
        # In their order too: so the same global batch is the same tokens for any number of processes.
        assert inputs.tolist() == list(range(first, first + part.tokens_per_step))
        assert torch.equal(targets, inputs + 1)


@given(st.integers(1, 3000), st.integers(0, 2**62))
def test_a_mixed_order_has_each_sequence_once(count: int, seed: int) -> None:
    mixing = Mixing(0, count, seed)

    assert sorted(mixing.place(number) for number in range(count)) == list(range(count))


def test_a_mixed_order_follows_from_its_seed_and_looks_random() -> None:
    first, other = (
        [Mixing(0, 1000, seed).place(number) for number in range(1000)] for seed in (1, 2)
    )
    neighbours = sum(abs(a - b) < 10 for a, b in itertools.pairwise(first))

    assert first != other
    assert neighbours < 60  # some 19 by chance


def test_mixed_sequences_are_those_of_the_slice() -> None:
    share = Share(0, 1, 1, 4, 5)
    part = Slice(3, 6, share.tokens_per_step, Mixing(3, 24, 7))
    tokens = np.arange(124, dtype=np.uint16)

    rows = torch.cat([microbatch(tokens, part, share, step, 0).long() for step in range(6)])

    assert sorted(rows[:, 0].tolist()) == list(range(3, 123, 5))
    assert all(torch.equal(row, torch.arange(int(row[0]), int(row[0]) + 6)) for row in rows)


def test_a_feeder_gives_all_batches_in_order_and_ends() -> None:
    share = Share(0, 1, 2, 2, 3)
    part = Slice(1, 5, share.tokens_per_step)
    tokens = np.arange(100, dtype=np.uint16)

    with Feeder(tokens, part, share, torch.device("cpu"), 100) as feeder:
        got = [feeder.next()[0].flatten().tolist() for _ in range(10)]

    assert [each for batch in got for each in batch] == list(range(1, 61))


def test_a_feeder_that_is_left_early_ends() -> None:
    share = Share(0, 1, 1, 1, 1)
    tokens = np.zeros(10_000, np.uint16)

    with Feeder(tokens, Slice(0, 9_000, 1), share, torch.device("cpu"), 1) as feeder:
        feeder.next()

    assert not feeder.is_alive


def test_what_goes_wrong_in_a_feeder_is_told_to_who_waits() -> None:
    share = Share(0, 1, 1, 1, 4)
    tokens = np.full(100, 9, np.uint16)

    with Feeder(tokens, Slice(0, 3, 4), share, torch.device("cpu"), 9) as feeder:  # noqa: SIM117
        with pytest.raises(BadData, match="a token 9"):
            feeder.next()
