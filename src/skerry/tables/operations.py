"""The verbs of tables: create, load, commit, register, rename, drop.

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
from skerry.objects import versions
from skerry.objects.model import Bucket, Version
from skerry.tables import files, model, namespaces, store
from skerry.tables.context import Allow, Tables, everywhere
from skerry.tables.model import (
    CHANGES_MAX,
    ENTRIES_MAX,
    METADATA_BYTES_MAX,
    UPDATES_MAX,
    Entry,
    Identifier,
    Kind,
    key_of,
    url_of,
)

if TYPE_CHECKING:
    from skerry.tables.metadata import Made

_ATTEMPTS = 5  # of a commit that others overtake; what it requires is looked at anew in each


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A table or view as it is now. metadata_key: None for a table that is only staged."""

    identifier: Identifier
    location: str
    metadata_key: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a new table is to be. schema, spec, order: JSON of the specification; location: a URL."""

    identifier: Identifier
    schema: bytes
    spec: bytes | None
    order: bytes | None
    properties: dict[str, str]
    location: str | None


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


# -- finding --


def find(tables: Tables, bucket: Bucket, identifier: Identifier, kind: Kind) -> Entry:
    """Return a table or view. Raises NotFound(no_such_table, no_such_view)."""
    return tables.database.read(lambda connection: found(connection, bucket, identifier, kind))


def found(
    connection: sqlite3.Connection, bucket: Bucket, identifier: Identifier, kind: Kind
) -> Entry:
    """Return what `find` does, within a write too. Raises NotFound(no_such_table, no_such_view)."""
    entry = store.entry(connection, bucket.number, identifier)
    if entry is None or entry.kind != kind:
        name = str(identifier)[:200]
        raise NotFound(f"no_such_{kind}", f"There is no {kind} {name!r} in {bucket.name}.")
    return entry


def location_of(tables: Tables, bucket: Bucket, identifier: Identifier) -> str | None:
    """Return where the files of a table or view lie, None if there is none of that name."""
    entry = tables.database.read(
        lambda connection: store.entry(connection, bucket.number, identifier)
    )
    return entry.location if entry is not None else None


def page(
    tables: Tables, bucket: Bucket, levels: model.Levels, kind: Kind, after: str, limit: int
) -> list[str]:
    """Return the names of tables or views after a name, in order. Raises NotFound."""

    def work(connection: sqlite3.Connection) -> list[str]:
        namespaces.found(connection, bucket, levels)
        return store.names(connection, bucket.number, levels, kind, after, limit)

    return tables.database.read(work)


async def load(tables: Tables, bucket: Bucket, identifier: Identifier, kind: Kind) -> Loaded:
    """Return a table or view as it is now.

    Raises NotFound(no_such_table, no_such_view, no_such_file), and as reading does.
    """
    entry = find(tables, bucket, identifier, kind)
    data = await _metadata_of(tables, bucket, entry)
    return Loaded(
        identifier=identifier, location=entry.location, metadata_key=entry.metadata_key,
        metadata=data,
    )  # fmt: skip


# -- making --


async def stage(
    tables: Tables, bucket: Bucket, wanted: Definition, allow: Allow = everywhere
) -> Loaded:
    """Return what a new table would be, and keep nothing of it: a commit makes it.

    Raises NotFound(no_such_namespace), Conflict(table_exists, view_exists, location_taken),
    Invalid(bad_name, bad_location, bad_metadata), TooLarge, NotBuilt(tables_not_installed).
    """
    model.name(wanted.identifier.name)
    location = location_for(bucket, wanted.identifier, wanted.location, tables.random())
    allow(location)
    tables.database.read(
        lambda connection: check_free(connection, bucket, wanted.identifier, location)
    )
    made = await tables.think(
        functools.partial(
            _created, wanted, url_of(bucket.name, location), model.new_uuid(tables.random())
        )
    )  # fmt: skip
    return Loaded(
        identifier=wanted.identifier, location=location, metadata_key=None, metadata=made.data
    )


async def create(
    tables: Tables, bucket: Bucket, wanted: Definition, allow: Allow = everywhere
) -> Loaded:
    """Make a table. Raises as `stage` does, LimitReached(too_many_tables), and as writing does."""
    staged = await stage(tables, bucket, wanted, allow)
    made = await tables.think(functools.partial(_heard, staged.metadata))
    return await keep_new(tables, bucket, wanted.identifier, "table", made)


async def register(
    tables: Tables,
    bucket: Bucket,
    identifier: Identifier,
    url: str,
    allow: Allow = everywhere,
    *,
    overwrites: bool,
) -> Loaded:
    """Have a table be what a metadata file in its warehouse says, in the place of another or of none.

    Raises NotFound(no_such_namespace, no_such_file), Conflict(table_exists, view_exists,
    location_taken), Invalid(bad_location, bad_metadata), TooLarge, and as writing does.
    """
    model.name(identifier.name)
    key = key_of(url, bucket.name)
    data = await files.read_metadata(tables, bucket, key, METADATA_BYTES_MAX)
    made = await tables.think(functools.partial(_heard, data))
    entry = _entry_of(bucket, identifier, "table", made, key)
    allow(entry.location)

    def work(connection: sqlite3.Connection) -> None:
        there = store.entry(connection, bucket.number, identifier)
        if overwrites and there is not None and there.kind == "table":
            store.drop(connection, there)
        check_free(connection, bucket, identifier, entry.location)
        store.add(connection, entry)

    await tables.database.write(work)
    return Loaded(identifier=identifier, location=entry.location, metadata_key=key, metadata=data)


async def keep_new(
    tables: Tables, bucket: Bucket, identifier: Identifier, kind: Kind, made: Made
) -> Loaded:
    """Write the metadata of a new table or view and name it. Raises as `create` does."""
    location = key_of(made.location, bucket.name)
    key = model.new_metadata_key(location, "", tables.random())
    entry = _entry_of(bucket, identifier, kind, made, key)
    version = await files.write(tables, bucket, key, made.data)

    def work(connection: sqlite3.Connection) -> None:
        check_free(connection, bucket, identifier, location)
        store.add(connection, entry)

    try:
        await tables.database.write(work)
    except (Conflict, NotFound, LimitReached):
        await unwrite(tables, bucket, [version])
        raise
    return Loaded(identifier=identifier, location=location, metadata_key=key, metadata=made.data)


def location_for(bucket: Bucket, identifier: Identifier, wanted: str | None, entropy: bytes) -> str:
    """Return the key that the files of something new begin with. Raises Invalid(bad_location)."""
    if wanted:
        return key_of(wanted, bucket.name)
    return model.new_location(identifier, entropy)


def check_free(
    connection: sqlite3.Connection, bucket: Bucket, identifier: Identifier, location: str
) -> None:
    """Raise where a table or view can not be made: its namespace must be there, its name free.

    Nobody else's files may lie at its location, in it or around it.
    """
    namespaces.found(connection, bucket, identifier.namespace)
    there = store.entry(connection, bucket.number, identifier)
    if there is not None:
        name = str(identifier)[:200]
        raise Conflict(f"{there.kind}_exists", f"There is a {there.kind} {name!r} already.")
    if store.overlapping(connection, bucket.number, location):
        raise _location_taken()
    if store.count_entries(connection, bucket.number) >= ENTRIES_MAX:
        raise LimitReached("too_many_tables", f"A warehouse has at most {ENTRIES_MAX} tables.")


# -- committing --


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
    base = await _metadata_of(tables, bucket, before) if before is not None else None
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
    return _Staged(_entry_of(bucket, identifier, "table", made, key), before, made.data)


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
            raise _location_taken()


def check_changes(changes: Sequence[Change]) -> None:
    """Raise TooLarge or Conflict where a transaction is too big, or names a table twice."""
    if len(changes) > CHANGES_MAX:
        raise TooLarge("too_many_changes", f"A transaction has at most {CHANGES_MAX} tables.")
    if any(len(each.updates) + len(each.requirements) > UPDATES_MAX for each in changes):
        raise TooLarge("too_many_updates", f"A table takes at most {UPDATES_MAX} updates at once.")
    if len({each.identifier for each in changes}) != len(changes):
        raise Conflict("commit_failed", "A transaction names each table once.")


# -- renaming and dropping --


async def rename(
    tables: Tables, bucket: Bucket, source: Identifier, destination: Identifier, kind: Kind
) -> None:
    """Give a table or view another name, in another namespace too; its files stay where they are.

    Raises NotFound(no_such_table, no_such_view, no_such_namespace), Conflict(table_exists,
    view_exists), Invalid(bad_name), and as writing does.
    """
    model.name(destination.name)

    def work(connection: sqlite3.Connection) -> None:
        entry = found(connection, bucket, source, kind)
        namespaces.found(connection, bucket, destination.namespace)
        there = store.entry(connection, bucket.number, destination)
        if there is not None:
            name = str(destination)[:200]
            raise Conflict(f"{there.kind}_exists", f"There is a {there.kind} {name!r} already.")
        store.drop(connection, entry)
        store.add(
            connection,
            Entry(
                bucket=bucket.number, identifier=destination, kind=kind, uuid=entry.uuid,
                location=entry.location, metadata_key=entry.metadata_key,
            ),
        )  # fmt: skip

    await tables.database.write(work)


async def drop(
    tables: Tables, bucket: Bucket, identifier: Identifier, kind: Kind, *, purges: bool
) -> None:
    """Drop a table or view. purges: its files go too, soon. Raises NotFound, and as writing does."""

    def work(connection: sqlite3.Connection) -> None:
        entry = found(connection, bucket, identifier, kind)
        store.drop(connection, entry)
        if purges:
            store.add_purge(connection, entry)

    await tables.database.write(work)
    if purges:
        tables.purge_wanted.set()


# -- what they need --


def _entry_of(bucket: Bucket, identifier: Identifier, kind: Kind, made: Made, key: str) -> Entry:
    return Entry(
        bucket=bucket.number, identifier=identifier, kind=kind, uuid=made.uuid,
        location=key_of(made.location, bucket.name), metadata_key=key,
    )  # fmt: skip


async def _metadata_of(tables: Tables, bucket: Bucket, entry: Entry) -> bytes:
    return await files.read_metadata(tables, bucket, entry.metadata_key, METADATA_BYTES_MAX)


async def _write_all(tables: Tables, bucket: Bucket, staged: Sequence[_Staged]) -> list[Version]:
    writes = [
        files.write(tables, bucket, each.entry.metadata_key, each.metadata) for each in staged
    ]
    return await asyncio.gather(*writes)


async def unwrite(tables: Tables, bucket: Bucket, written: Sequence[Version]) -> None:
    """Delete metadata files that nothing will name."""
    for each in written:
        await versions.delete(tables.objects, bucket.name, each.key, each.version_id)


def _location_taken() -> Conflict:
    return Conflict(
        "location_taken",
        "Another table's files lie at that location, in it or around it. Choose another.",
    )


# These run in the catalogue's thread, where the library is imported first.


def _created(wanted: Definition, location: str, uuid: str) -> Made:
    from skerry.tables import metadata  # noqa: PLC0415

    return metadata.created(
        metadata.Wanted(
            schema=wanted.schema, spec=wanted.spec, order=wanted.order,
            properties=wanted.properties, location=location, uuid=uuid,
        )
    )  # fmt: skip


def _heard(data: bytes) -> Made:
    from skerry.tables import metadata  # noqa: PLC0415

    return metadata.heard(data)


def _changed(
    bucket: Bucket, base: bytes | None, base_url: str | None, change: Change
) -> Made | None:
    from skerry.tables import metadata  # noqa: PLC0415

    check: Callable[[str], object] = functools.partial(key_of, bucket=bucket.name)
    return metadata.changed(base, base_url, change.requirements, change.updates, check)
