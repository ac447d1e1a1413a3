"""What the index knows of the log as a whole: how much of it counts, and what was looked at.

SQL of the index, as in `store`.
"""

import sqlite3
from typing import assert_never

from msgspec import Struct

from skerry.objects import key_store, schema, store
from skerry.objects.model import Bucket, Key, Part, Upload, User, Version
from skerry.objects.records import (
    BucketGone,
    Counters,
    KeyGone,
    Record,
    UploadGone,
    UserGone,
    VersionGone,
    hear,
)
from skerry.objects.rows import Changes, Place

_UNFINISHED = 0  # what SQLite has for a new file too


def lay_out(connection: sqlite3.Connection) -> None:
    """Have the index the tables that this Skerry makes.

    One of another Skerry begins anew, and so does one that has not come to the log's end.
    """
    if connection.execute("PRAGMA user_version").fetchone()[0] != schema.SCHEMA_NUMBER:
        forget_all(connection)


def finish(connection: sqlite3.Connection) -> None:
    """Keep that the index has come to the log's end, which it follows from now on."""
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_NUMBER}")


def forget_all(connection: sqlite3.Connection) -> None:
    """Have the index know nothing, as before it read the log."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    names = connection.execute(query).fetchall()
    number = f"PRAGMA user_version = {_UNFINISHED};"
    drops = "".join(f"DROP TABLE {name};" for (name,) in names)
    connection.executescript(f"BEGIN; {drops} {schema.SCHEMA} {number} COMMIT;")


def forget_lost_parts(connection: sqlite3.Connection, changes: Changes) -> None:
    """Know no more of parts that belong to nothing, once all of the log was read.

    Room is made of the oldest first: a part may be written anew behind its version, whose record
    goes then, and with it what tells that the part has ended with the version.
    """
    query = "SELECT upload_id FROM parts EXCEPT SELECT upload_id FROM uploads"
    lost = {upload_id for (upload_id,) in connection.execute(query)}
    if not lost:
        return
    for (said,) in connection.execute("SELECT said FROM current UNION ALL SELECT said FROM former"):
        lost.discard(hear(said, _Uploaded).upload_id)
    for upload_id in lost:
        store.drop_parts(connection, changes, upload_id)


class _Uploaded(Struct, frozen=True):
    """What of a version names its parts."""

    upload_id: str = ""


def place(connection: sqlite3.Connection) -> tuple[Place, int]:
    """Return up to where the index knows the log, and the serial of the last record before."""
    segment, offset, serial = connection.execute(
        "SELECT segment, offset, serial FROM place"
    ).fetchone()
    return Place(segment, offset), serial


def sequence(connection: sqlite3.Connection) -> int:
    """Return the highest place in the order of writes that was given out."""
    return connection.execute("SELECT sequence FROM place").fetchone()[0]


def dead_bytes(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the log are of records that count no more."""
    return connection.execute("SELECT coalesce(sum(dead_bytes), 0) FROM segments").fetchone()[0]


def forget(connection: sqlite3.Connection, segment: int) -> None:
    """Know no more of a segment that is empty of what counts."""
    connection.execute("DELETE FROM segments WHERE segment = ?", (segment,))


def totals(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return how many buckets there are, and the versions and bytes in all of them."""
    query = "SELECT coalesce(sum(objects), 0), coalesce(sum(bytes), 0) FROM usage"
    return store.count_buckets(connection), *connection.execute(query).fetchone()


def scrubbed_to(connection: sqlite3.Connection) -> tuple[int, str, str, str]:
    """Return when the last look at all bytes began, and up to which version it has come."""
    query = "SELECT begun_at_ns, bucket, key, version_id FROM scrubbing"
    return connection.execute(query).fetchone()


def keep_scrubbed(connection: sqlite3.Connection, to: tuple[int, str, str, str]) -> None:
    """Keep what `scrubbed_to` returns."""
    query = "UPDATE scrubbing SET begun_at_ns = ?, bucket = ?, key = ?, version_id = ?"
    connection.execute(query, to)


def counts(connection: sqlite3.Connection, at: Place, record: Record) -> bool:
    """Tell whether a record of the oldest segment is the last word on what it tells of.

    What is gone needs no word there: nothing older tells of it.
    """
    match record:
        case Version():
            row = store.version(connection, record.bucket, record.key, record.version_id)
            return row is not None and row.place == at
        case Part():
            row = store.part(connection, record.upload_id, record.number)
            return row is not None and row.place == at
        case Upload():
            query = "SELECT segment, offset FROM uploads WHERE upload_id = ?"
            return connection.execute(query, (record.upload_id,)).fetchone() == at
        case Bucket():
            query = "SELECT segment, offset FROM buckets WHERE number = ?"
            return connection.execute(query, (record.number,)).fetchone() == at
        case User() | Key():
            return key_store.place(connection, record) == at
        case VersionGone() | UploadGone() | BucketGone() | UserGone() | KeyGone() | Counters():
            return False
        case _:
            assert_never(record)
