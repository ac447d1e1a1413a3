"""The verbs of views that tables have in another form: create, replace, register.

Views are found, loaded, listed, renamed and dropped as tables are.
"""

from __future__ import annotations

import functools
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.base import Conflict, NotFound
from skerry.objects.model import Bucket
from skerry.tables import files, model, operations, store
from skerry.tables.context import Allow, Tables, everywhere
from skerry.tables.model import METADATA_BYTES_MAX, Entry, Identifier, key_of, url_of
from skerry.tables.operations import Change, Loaded

if TYPE_CHECKING:
    from skerry.tables.metadata import Made

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewDefinition:
    """What a new view is to be. schema, version: JSON of the specification; location: a URL."""

    identifier: Identifier
    schema: bytes
    version: bytes
    properties: dict[str, str]
    location: str | None


async def create(
    tables: Tables, bucket: Bucket, wanted: ViewDefinition, allow: Allow = everywhere
) -> Loaded:
    """Make a view. Raises as making a table does."""
    model.name(wanted.identifier.name)
    location = operations.location_for(bucket, wanted.identifier, wanted.location, tables.random())
    allow(location)
    tables.database.read(
        lambda connection: operations.check_free(connection, bucket, wanted.identifier, location)
    )
    url, uuid = url_of(bucket.name, location), model.new_uuid(tables.random())
    made = await tables.think(functools.partial(_created, wanted, url, uuid))
    return await operations.keep_new(tables, bucket, wanted.identifier, "view", made)


async def register(
    tables: Tables, bucket: Bucket, identifier: Identifier, url: str, allow: Allow = everywhere
) -> Loaded:
    """Have a new view be what a metadata file in its warehouse says. Raises as for a table."""
    model.name(identifier.name)
    key = key_of(url, bucket.name)
    data = await files.read_metadata(tables, bucket, key, METADATA_BYTES_MAX)
    made = await tables.think(functools.partial(_heard, data))
    location = key_of(made.location, bucket.name)
    allow(location)

    def work(connection: sqlite3.Connection) -> None:
        operations.check_free(connection, bucket, identifier, location)
        store.add(connection, _entry(bucket, identifier, made, key))

    await tables.database.write(work)
    return Loaded(identifier=identifier, location=location, metadata_key=key, metadata=data)


async def replace(
    tables: Tables, bucket: Bucket, change: Change, allow: Allow = everywhere
) -> Loaded:
    """Change a view.

    Raises NotFound(no_such_view), Conflict(commit_failed), Invalid(bad_update, bad_location),
    TooLarge, and as writing does.
    """
    operations.check_changes([change])
    for _ in range(_ATTEMPTS):
        before = operations.find(tables, bucket, change.identifier, "view")
        allow(before.location)
        base = await files.read_metadata(tables, bucket, before.metadata_key, METADATA_BYTES_MAX)
        made = await tables.think(functools.partial(_changed, bucket, base, change))
        location = key_of(made.location, bucket.name)
        allow(location)
        key = model.new_metadata_key(location, before.metadata_key, tables.random())
        entry = _entry(bucket, change.identifier, made, key)
        version = await files.write(tables, bucket, key, made.data)
        swap = functools.partial(operations.move, bucket=bucket, entry=entry, before=before)
        try:
            await tables.database.write(swap)
        except (Conflict, NotFound) as error:
            await operations.unwrite(tables, bucket, [version])
            if error.code != "pointer_moved":
                raise
            continue
        return Loaded(
            identifier=change.identifier, location=location, metadata_key=key, metadata=made.data
        )
    raise Conflict("commit_failed", "Others changed the view all the time. Load it and try again.")


def _entry(bucket: Bucket, identifier: Identifier, made: Made, key: str) -> Entry:
    return Entry(
        bucket=bucket.number, identifier=identifier, kind="view", uuid=made.uuid,
        location=key_of(made.location, bucket.name), metadata_key=key,
    )  # fmt: skip


# These run in the catalogue's thread, where the library is imported first.


def _created(wanted: ViewDefinition, location: str, uuid: str) -> Made:
    from skerry.tables import view_metadata  # noqa: PLC0415

    return view_metadata.created(wanted.schema, wanted.version, wanted.properties, location, uuid)


def _heard(data: bytes) -> Made:
    from skerry.tables import view_metadata  # noqa: PLC0415

    return view_metadata.heard(data)


def _changed(bucket: Bucket, base: bytes, change: Change) -> Made:
    from skerry.tables import view_metadata  # noqa: PLC0415

    check = functools.partial(key_of, bucket=bucket.name)
    return view_metadata.changed(base, change.requirements, change.updates, check)
