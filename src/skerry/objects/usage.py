"""How much there is in a bucket, counted as it comes and goes. SQL of the index, as in `store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from skerry.objects import store

if TYPE_CHECKING:
    import sqlite3

    from skerry.objects.store import Changes


class Usage(Struct, frozen=True):
    """What there is: bytes of all versions, and of all parts under way; versions, without markers."""

    bytes: int
    objects: int


def usage_of(connection: sqlite3.Connection, bucket: int, changes: Changes | None = None) -> Usage:
    """Return what a bucket has. changes: of the same write, which the index does not count yet."""
    objects, size = store.usage(connection, bucket)
    query = "SELECT part_bytes FROM usage WHERE bucket = ?"
    found = connection.execute(query, (bucket,)).fetchone()
    size += found[0] if found else 0
    if changes is not None:
        objects += changes.objects[bucket]
        size += changes.bytes[bucket] + changes.part_bytes[bucket]
    return Usage(size, objects)
