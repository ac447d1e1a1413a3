"""The verb of tables that are there, and of those that were staged: commit.

A commit writes new metadata files first and then has all pointers of it name them, in one
transaction that compares what they named. After a crash in between, files may be there that nothing
names: they take room and do no harm.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.base import Conflict, LimitReached, NotFound, TooLarge
from skerry.objects.model import Bucket, Version
from skerry.tables import files, model, store
from skerry.tables.context import Allow, Tables, everywhere
from skerry.tables.model import (
    CHANGES_MAX,
    UPDATES_MAX,
    Entry,
    Identifier,
    key_of,
    url_of,
)
from skerry.tables.operations import (
    Loaded,
    check_free,
    entry_of,
    find,
    location_taken,
    metadata_of,
    unwrite,
)

if TYPE_CHECKING:
    from skerry.tables.metadata import Made

_ATTEMPTS = 5  # of a commit that others overtake; what it requires is looked at anew in each


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to become of a table, if requirements hold. Both are JSON of the protocol."""

    identifier: Identifier
    requirements: Sequence[bytes]
    updates: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Staged:
    """A change that is thought through. entry: as it will be; before: what it was, None if new."""

    entry: Entry
    before: Entry | None
    metadata: bytes
    is_same: bool = False


async def commit(
    tables: Tables, bucket: Bucket, changes: Sequence[Change], allow: Allow = everywhere
) -> list[Loaded]:
    """Change tables, all of them or none; return them as they are then.

    Raises NotFound(no_such_table, no_such_namespace), Conflict(commit_failed, table_exists,
    location_taken), Invalid(bad_update, bad_location), TooLarge, and as writing does.
    """
    check_changes(changes)
    for _ in range(_ATTEMPTS):
        staged = [await _stage_change(tables, bucket, change, allow) for change in changes]
        moved = [each for each in staged if not each.is_same]
        written = await _write_all(tables, bucket, moved)
        try:
            await tables.database.write(functools.partial(_swap, bucket=bucket, staged=staged))
        except (Conflict, NotFound, LimitReached) as error:
            await unwrite(tables, bucket, written)
            if error.code != "pointer_moved":
                raise
            continue
        return [
            Loaded(
                identifier=each.entry.identifier, location=each.entry.location,
                metadata_key=each.entry.metadata_key, metadata=each.metadata,
            )
            for each in staged
        ]  # fmt: skip
    raise Conflict("commit_failed", "Others changed the table all the time. Load it and try again.")


async def _stage_change(tables: Tables, bucket: Bucket, change: Change, allow: Allow) -> _Staged:
    """Return what a change comes to, by what is there now."""
    identifier = change.identifier
    before = tables.database.read(
        lambda connection: store.entry(connection, bucket.number, identifier)
    )
    if before is not None and before.kind != "table":
        raise NotFound("no_such_table", f"{str(identifier)[:200]!r} is a view.")
    if before is not None:
        allow(before.location)
    base = await metadata_of(tables, bucket, before) if before is not None else None
    if base is None:
        model.name(identifier.name)
        if not any(b'"assert-create"' in each for each in change.requirements):
            find(tables, bucket, identifier, "table")
    base_url = url_of(bucket.name, before.metadata_key) if before is not None else None
    made = await tables.think(functools.partial(_changed, bucket, base, base_url, change))
    if made is None:
        assert base is not None, "what is new differs from nothing"
        assert before is not None
        return _Staged(before, before, base, is_same=True)
    location = key_of(made.location, bucket.name)
    allow(location)
    last = before.metadata_key if before is not None else ""
    key = model.new_metadata_key(location, last, tables.random())
    return _Staged(entry_of(bucket, identifier, "table", made, key), before, made.data)


def _swap(connection: sqlite3.Connection, bucket: Bucket, staged: Sequence[_Staged]) -> None:
    """Have all pointers name what is new, or none. Raises Conflict(pointer_moved)."""
    for each in staged:
        entry, before = each.entry, each.before
        if before is None:
            check_free(connection, bucket, entry.identifier, entry.location)
            store.add(connection, entry)
            continue
        move(connection, bucket, entry, before)


def move(connection: sqlite3.Connection, bucket: Bucket, entry: Entry, before: Entry) -> None:
    """Have a pointer name what is new. Raises Conflict(pointer_moved, location_taken)."""
    if not store.point(connection, entry, before.metadata_key):
        raise Conflict("pointer_moved", "It has changed meanwhile.")
    if entry.location != before.location:
        others = store.overlapping(connection, bucket.number, entry.location)
        if any(other != entry.identifier for other in others):
            raise location_taken()


def check_changes(changes: Sequence[Change]) -> None:
    """Raise TooLarge or Conflict where a transaction is too big, or names a table twice."""
    if len(changes) > CHANGES_MAX:
        raise TooLarge("too_many_changes", f"A transaction has at most {CHANGES_MAX} tables.")
    if any(len(each.updates) + len(each.requirements) > UPDATES_MAX for each in changes):
        raise TooLarge("too_many_updates", f"A table takes at most {UPDATES_MAX} updates at once.")
    if len({each.identifier for each in changes}) != len(changes):
        raise Conflict("commit_failed", "A transaction names each table once.")


async def _write_all(tables: Tables, bucket: Bucket, staged: Sequence[_Staged]) -> list[Version]:
    writes = [
        files.write(tables, bucket, each.entry.metadata_key, each.metadata) for each in staged
    ]
    return await asyncio.gather(*writes)


# This runs in the catalogue's thread, where the library is imported first.


def _changed(
    bucket: Bucket, base: bytes | None, base_url: str | None, change: Change
) -> Made | None:
    from skerry.tables import metadata  # noqa: PLC0415

    check: Callable[[str], object] = functools.partial(key_of, bucket=bucket.name)
    return metadata.changed(base, base_url, change.requirements, change.updates, check)
