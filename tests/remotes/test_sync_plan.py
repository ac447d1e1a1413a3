"""What a sync does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Failed
from skerry.remotes.sync_plan import Item, newer_or_other_size, plan

SECOND = 10**9

sides = st.dictionaries(
    st.text("ab/-é\U0001f600", min_size=1, max_size=4),
    st.tuples(st.integers(0, 2), st.integers(0, 3)),
    max_size=12,
)


def items(side: dict[str, tuple[int, int]]) -> list[Item]:
    return [Item(key, size, at * SECOND) for key, (size, at) in sorted(side.items())]


@given(sides, sides)
def test_a_sync_makes_the_target_like_the_source(
    source: dict[str, tuple[int, int]], target: dict[str, tuple[int, int]]
) -> None:
    after = dict(target)
    for step in plan(items(source), items(target), newer_or_other_size, deletes=True):
        if step.verb == "delete":
            del after[step.item.key]
        else:
            after[step.item.key] = source[step.item.key]

    assert after.keys() == source.keys()
    assert all(after[key][0] == size for key, (size, _) in source.items())
    assert not [*plan(items(source), items(after), newer_or_other_size, deletes=True)]


@given(sides, sides)
def test_nothing_is_deleted_unasked(
    source: dict[str, tuple[int, int]], target: dict[str, tuple[int, int]]
) -> None:
    steps = plan(items(source), items(target), newer_or_other_size, deletes=False)

    assert all(step.verb == "copy" for step in steps)


def test_parts_of_a_second_do_not_count() -> None:
    file, listed = Item("a", 1, 5 * SECOND + 700), Item("a", 1, 5 * SECOND)

    assert not newer_or_other_size(file, listed)
    assert newer_or_other_size(Item("a", 1, 6 * SECOND), listed)


def test_a_listing_out_of_order_ends_it() -> None:
    wrong = [Item("b", 1, 0), Item("a", 1, 0)]

    with pytest.raises(Failed, match="after"):
        list(plan([], wrong, newer_or_other_size, deletes=True))
