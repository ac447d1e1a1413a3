"""The largest micro-batch is found with few tries, whatever memory is like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_train.errors import DoesNotFit
from skerry_train.fit import Attempt, find, pairs, through

GIB = 1 << 30


class Memory:
    """A device whose use grows in a line, in pieces, from a limit on not at all."""

    def __init__(self, largest: int, piece_bytes: int = 1, *, tells: bool = True) -> None:
        self.largest, self.piece_bytes, self.tells = largest, piece_bytes, tells
        self.tries: list[int] = []

    def attempt(self, sequences: int) -> Attempt:
        assert sequences not in self.tries, "nothing is tried twice"
        self.tries.append(sequences)
        used = 11 * GIB + sequences * 2 * GIB
        used = -(-used // self.piece_bytes) * self.piece_bytes
        fits = sequences <= self.largest
        return Attempt(
            sequences,
            fits,
            used if fits and self.tells else None,
            12 * GIB + self.largest * 2 * GIB,
        )


@given(st.integers(1, 5000), st.sampled_from([1, 3 * GIB, 50 * GIB]), st.booleans())
def test_the_largest_that_fits_is_found(largest: int, piece_bytes: int, tells: bool) -> None:  # noqa: FBT001 - a case gives it
    memory = Memory(largest, piece_bytes, tells=tells)

    assert find(memory.attempt).largest == largest
    assert largest in memory.tries
    assert largest + 1 in memory.tries


def test_a_line_leads_there_at_once() -> None:
    memory = Memory(64)

    found = find(memory.attempt)

    assert memory.tries == [1, 2, 4, 64, 65]
    assert found.line is not None
    assert found.line.fixed_bytes == pytest.approx(11 * GIB)
    assert found.line.sequence_bytes == pytest.approx(2 * GIB)


@given(st.integers(1, 300), st.integers(1, 300))
def test_no_more_is_tried_than_is_wanted(largest: int, most: int) -> None:
    memory = Memory(largest)

    assert find(memory.attempt, most).largest == min(largest, most)
    assert max(memory.tries) <= most


def test_what_does_not_fit_at_all_is_told() -> None:
    with pytest.raises(DoesNotFit, match="not even one sequence"):
        find(Memory(0).attempt)


def test_the_posts_machines_lie_on_their_line() -> None:
    line = through([(6, 24), (13, 40), (27, 80), (64, 160)])

    assert line.fixed_bytes == pytest.approx(11.48, abs=0.005)
    assert line.sequence_bytes == pytest.approx(2.346, abs=0.0005)


def test_batches_that_divide_are_offered() -> None:
    assert pairs(13, 96, 2) == [(12, 4), (8, 6), (6, 8), (4, 12), (3, 16), (2, 24), (1, 48)]
    assert pairs(13, 96, 7) == []
