"""The catalogue's tables: namespaces, what is in them, and what is to be purged. SQL lives here alone."""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from skerry.tables.model import Entry, Identifier, Kind, Levels, Purge, above, joined, split

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE namespaces (
        bucket INTEGER NOT NULL, path TEXT NOT NULL, parent TEXT NOT NULL, properties TEXT NOT NULL,
        PRIMARY KEY (bucket, path)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX namespaces_by_parent ON namespaces (bucket, parent, path);
    CREATE TABLE entries (
        bucket INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
        uuid TEXT NOT NULL, location TEXT NOT NULL, metadata_key TEXT NOT NULL,
        PRIMARY KEY (bucket, namespace, name),
        FOREIGN KEY (bucket, namespace) REFERENCES namespaces (bucket, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX entries_by_location ON entries (bucket, location);
    CREATE TABLE purges (
        number INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, location TEXT NOT NULL,
        metadata_key TEXT NOT NULL
    ) STRICT;
    """,
)

_ENTRY = "bucket, namespace, name, kind, uuid, location, metadata_key"


def bucket_numbers(connection: sqlite3.Connection) -> set[int]:
    """Return the buckets that anything is known of."""
    query = "SELECT DISTINCT bucket FROM namespaces UNION SELECT DISTINCT bucket FROM purges"
    return {row[0] for row in connection.execute(query)}


def forget(connection: sqlite3.Connection, numbers: Collection[int]) -> None:
    """Remove all that is known of buckets."""
    for number in numbers:
        for table in ("entries", "namespaces", "purges"):
            connection.execute(f"DELETE FROM {table} WHERE bucket = ?", (number,))  # noqa: S608 - constants


# -- namespaces --


def namespace(
    connection: sqlite3.Connection, bucket: int, levels: Levels
) -> Mapping[str, str] | None:
    """Return the properties of a namespace, None if there is none."""
    row = connection.execute(
        "SELECT properties FROM namespaces WHERE bucket = ? AND path = ?", (bucket, joined(levels))
    ).fetchone()
    return json.loads(row[0]) if row else None


def put_namespace(
    connection: sqlite3.Connection, bucket: int, levels: Levels, properties: Mapping[str, str]
) -> None:
    """Add a namespace, or set the properties of one."""
    connection.execute(
        "INSERT INTO namespaces (bucket, path, parent, properties) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (bucket, path) DO UPDATE SET properties = excluded.properties",
        (bucket, joined(levels), joined(levels[:-1]), json.dumps(dict(properties))),
    )


def drop_namespace(connection: sqlite3.Connection, bucket: int, levels: Levels) -> None:
    """Remove a namespace; nothing is in it."""
    connection.execute(
        "DELETE FROM namespaces WHERE bucket = ? AND path = ?", (bucket, joined(levels))
    )


def namespaces(
    connection: sqlite3.Connection, bucket: int, parent: Levels, after: str, limit: int
) -> list[Levels]:
    """Return the namespaces right in another, those after a name, in order."""
    path = joined((*parent, after)) if after else joined(parent)
    rows = connection.execute(
        "SELECT path FROM namespaces WHERE bucket = ? AND parent = ? AND path > ? "
        "ORDER BY path LIMIT ?",
        (bucket, joined(parent), path, limit),
    )
    return [split(row[0]) for row in rows]


def count_namespaces(connection: sqlite3.Connection, bucket: int) -> int:
    """Return how many namespaces a warehouse has."""
    return _count(connection, "SELECT count(*) FROM namespaces WHERE bucket = ?", bucket)


def is_empty(connection: sqlite3.Connection, bucket: int, levels: Levels) -> bool:
    """Tell whether nothing is in a namespace."""
    path = joined(levels)
    inner = _count(
        connection, "SELECT count(*) FROM namespaces WHERE bucket = ? AND parent = ?", bucket, path
    )
    entries = _count(
        connection, "SELECT count(*) FROM entries WHERE bucket = ? AND namespace = ?", bucket, path
    )
    return not inner and not entries


# -- tables and views --


def entry(connection: sqlite3.Connection, bucket: int, identifier: Identifier) -> Entry | None:
    """Return the table or view of that name, None if there is none."""
    row = connection.execute(
        f"SELECT {_ENTRY} FROM entries WHERE bucket = ? AND namespace = ? AND name = ?",  # noqa: S608 - constants
        (bucket, joined(identifier.namespace), identifier.name),
    ).fetchone()
    return _entry(row) if row else None


def add(connection: sqlite3.Connection, new: Entry) -> None:
    """Add a table or view; there is none of its name."""
    connection.execute(
        f"INSERT INTO entries ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        (
            new.bucket, joined(new.identifier.namespace), new.identifier.name, new.kind, new.uuid,
            new.location, new.metadata_key,
        ),
    )  # fmt: skip


def point(connection: sqlite3.Connection, new: Entry, before: str) -> bool:
    """Have a table or view be what another metadata file says, if it was what `before` says."""
    done = connection.execute(
        "UPDATE entries SET uuid = ?, location = ?, metadata_key = ? "
        "WHERE bucket = ? AND namespace = ? AND name = ? AND kind = ? AND metadata_key = ?",
        (
            new.uuid, new.location, new.metadata_key, new.bucket, joined(new.identifier.namespace),
            new.identifier.name, new.kind, before,
        ),
    )  # fmt: skip
    return done.rowcount == 1


def drop(connection: sqlite3.Connection, old: Entry) -> None:
    """Remove a table or view."""
    connection.execute(
        "DELETE FROM entries WHERE bucket = ? AND namespace = ? AND name = ?",
        (old.bucket, joined(old.identifier.namespace), old.identifier.name),
    )


def names(
    connection: sqlite3.Connection, bucket: int, levels: Levels, kind: Kind, after: str, limit: int
) -> list[str]:
    """Return the names of a namespace's tables or views, those after a name, in order."""
    rows = connection.execute(
        "SELECT name FROM entries WHERE bucket = ? AND namespace = ? AND kind = ? AND name > ? "
        "ORDER BY name LIMIT ?",
        (bucket, joined(levels), kind, after, limit),
    )
    return [row[0] for row in rows]


def count_entries(connection: sqlite3.Connection, bucket: int) -> int:
    """Return how many tables and views a warehouse has."""
    return _count(connection, "SELECT count(*) FROM entries WHERE bucket = ?", bucket)


def overlapping(connection: sqlite3.Connection, bucket: int, location: str) -> list[Identifier]:
    """Return whose files lie at a location, in it or around it; without a name if they are to go."""
    outer = [location, *above(location)]
    where = (
        f"bucket = ? AND (location IN ({', '.join('?' * len(outer))}) "
        "OR (location > ? AND location < ?))"  # `0` follows `/`
    )
    values = (bucket, *outer, f"{location}/", f"{location}0")
    rows = connection.execute(
        f"SELECT namespace, name FROM entries WHERE {where} "  # noqa: S608 - constants
        f"UNION ALL SELECT '', '' FROM purges WHERE {where} LIMIT 10",
        (*values, *values),
    )
    return [Identifier(split(row[0]), row[1]) for row in rows]


# -- purges --


def add_purge(connection: sqlite3.Connection, old: Entry) -> None:
    """Write down that a table's files are to go."""
    connection.execute(
        "INSERT INTO purges (bucket, location, metadata_key) VALUES (?, ?, ?)",
        (old.bucket, old.location, old.metadata_key),
    )


def next_purge(connection: sqlite3.Connection, after: int) -> Purge | None:
    """Return what is to be purged, the first that was written down after a number."""
    row = connection.execute(
        "SELECT number, bucket, location, metadata_key FROM purges WHERE number > ? "
        "ORDER BY number LIMIT 1",
        (after,),
    ).fetchone()
    if row is None:
        return None
    return Purge(number=row[0], bucket=row[1], location=row[2], metadata_key=row[3])


def drop_purge(connection: sqlite3.Connection, number: int) -> None:
    """Write down that a purge is done."""
    connection.execute("DELETE FROM purges WHERE number = ?", (number,))


def _count(connection: sqlite3.Connection, query: str, *values: object) -> int:
    return int(connection.execute(query, values).fetchone()[0])


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(
        bucket=row[0], identifier=Identifier(split(row[1]), row[2]), kind=row[3], uuid=row[4],
        location=row[5], metadata_key=row[6],
    )  # fmt: skip
