"""What a sync does, given both sides in the order of their keys. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import Failed

_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Item:
    """A file or object below what is synced. etag: empty for a file."""

    key: str
    size_bytes: int
    modified_at_ns: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: copy item there, or delete it there."""

    verb: Literal["copy", "delete"]
    item: Item


Differs: TypeAlias = Callable[[Item, Item], bool]
"""Tells whether a source must be copied over what has its key."""


def newer_or_other_size(source: Item, target: Item) -> bool:
    """Tell whether the sizes differ or the source was changed later, in whole seconds.

    Listings tell whole seconds, or none of what a file system adds to them.
    """
    if source.size_bytes != target.size_bytes:
        return True
    return source.modified_at_ns // _SECOND_NS > target.modified_at_ns // _SECOND_NS


def plan(
    sources: Iterable[Item], targets: Iterable[Item], differs: Differs, *, deletes: bool
) -> Iterator[Step]:
    """Yield what makes the targets like the sources. Both come in the order of their keys.

    deletes: also what only the targets have. Raises Failed(bad_listing) if an order is wrong.
    """
    left, right = _ordered(sources), _ordered(targets)
    source, target = next(left, None), next(right, None)
    while source is not None or target is not None:
        if target is None or (source is not None and source.key < target.key):
            assert source is not None, "one of them is there"
            yield Step("copy", source)
            source = next(left, None)
        elif source is None or target.key < source.key:
            if deletes:
                yield Step("delete", target)
            target = next(right, None)
        else:
            if differs(source, target):
                yield Step("copy", source)
            source, target = next(left, None), next(right, None)


def _ordered(items: Iterable[Item]) -> Iterator[Item]:
    before: str | None = None
    for item in items:
        if before is not None and item.key <= before:
            # A merge of what has no order would delete what is there on both sides.
            raise Failed(
                "bad_listing", f"{item.key!r} was listed after {before!r}. Nothing is done."
            )
        before = item.key
        yield item
