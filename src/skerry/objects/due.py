"""When to look at which key: the index of what lifecycle rules will end. SQL of the index.

It follows from the log as all of the index does: `note` is called with each record. What it says
may be too early, never too late; what becomes of a key is judged when its time has come, by
the rules of that moment.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from skerry.objects import rules, store
from skerry.objects.model import Bucket, Upload, Version
from skerry.objects.records import BucketGone, VersionGone
from skerry.objects.rows import Applied, Changes
from skerry.objects.rules import Rule

_AT_ONCE_NS = 0
_LAST_NS = (1 << 63) - 1  # of what the index can hold, in the year 2262


class Due(NamedTuple):
    """A key, or an upload, that is to be looked at. bucket: its number."""

    bucket: int
    key: str
    upload_id: str


def note(connection: sqlite3.Connection, changes: Changes, applied: Applied) -> None:
    """Have the index know when to look at what a record tells of."""
    match applied.record:
        case Version() as version if in_force := rules_in(connection, changes, version.bucket):
            row = store.current(connection, version.bucket, version.key)
            is_current = row is not None and row.place == applied.place
            at_ns = rules.soonest_ns(version, in_force) if is_current else _AT_ONCE_NS
            look_at(connection, version.bucket, version.key, at_ns)
        case VersionGone() as gone if rules_in(connection, changes, gone.bucket):
            look_at(connection, gone.bucket, gone.key, _AT_ONCE_NS)
        case Upload() as upload if in_force := rules_in(connection, changes, upload.bucket):
            at_ns = rules.upload_end_ns(upload.key, upload.begun_at_ns, in_force)
            look_at(connection, upload.bucket, upload.key, at_ns, upload.upload_id)
        case Bucket() as bucket:
            _note_rules(connection, bucket)
            changes.rules.pop(bucket.number, None)
            changes.subscriptions.pop(bucket.number, None)
        case BucketGone() as gone:
            connection.execute("DELETE FROM ruled WHERE bucket = ?", (gone.number,))
        case _:
            pass


def look_at(
    connection: sqlite3.Connection, bucket: int, key: str, at_ns: int | None, upload_id: str = ""
) -> None:
    """Have a key or upload looked at then, if not before. at_ns: None for never."""
    if at_ns is not None:
        connection.execute(
            "INSERT INTO due VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET at_ns = min(at_ns, excluded.at_ns)",
            (bucket, key.encode(), upload_id, min(at_ns, _LAST_NS)),
        )


def looked_at(connection: sqlite3.Connection, due: Due) -> None:
    """Have no more looked at now."""
    connection.execute(
        "DELETE FROM due WHERE bucket = ? AND key = ? AND upload_id = ?",
        (due.bucket, due.key.encode(), due.upload_id),
    )


def next_at_ns(connection: sqlite3.Connection) -> int | None:
    """Return when the next key or upload is to be looked at."""
    return connection.execute("SELECT min(at_ns) FROM due").fetchone()[0]


def due_by(connection: sqlite3.Connection, now_ns: int, limit: int) -> list[Due]:
    """Return what is to be looked at by now, the longest overdue first."""
    found = connection.execute(
        "SELECT bucket, key, upload_id FROM due WHERE at_ns <= ? ORDER BY at_ns LIMIT ?",
        (now_ns, limit),
    )
    return [Due(bucket, key.decode(), upload_id) for bucket, key, upload_id in found]


def rules_of(connection: sqlite3.Connection, bucket: int) -> list[Rule]:
    """Return the rules in force in a bucket."""
    query = "SELECT rules FROM ruled WHERE bucket = ?"
    found = connection.execute(query, (bucket,)).fetchone()
    return rules.hear_rules(found[0]) if found else []


def rules_in(connection: sqlite3.Connection, changes: Changes, bucket: int) -> Sequence[Rule]:
    """Return what `rules_of` does, within a write, which asks often."""
    found = changes.rules.get(bucket)
    if found is None:
        found = changes.rules[bucket] = rules_of(connection, bucket)
    return found


def is_ruled(connection: sqlite3.Connection) -> bool:
    """Tell whether any bucket has rules."""
    return connection.execute("SELECT 1 FROM ruled LIMIT 1").fetchone() is not None


# -- all keys of a bucket whose rules have changed --


def changed_rules(connection: sqlite3.Connection) -> tuple[int, bytes] | None:
    """Return a bucket whose rules have changed, and the key from which on it was not looked at."""
    query = "SELECT bucket, from_key FROM ruled WHERE from_key IS NOT NULL LIMIT 1"
    return connection.execute(query).fetchone()


def looked_through(connection: sqlite3.Connection, bucket: int, from_key: bytes | None) -> None:
    """Keep from which key on a bucket is to be looked through; None: no more."""
    connection.execute("UPDATE ruled SET from_key = ? WHERE bucket = ?", (from_key, bucket))


def keys_from(
    connection: sqlite3.Connection, bucket: int, from_key: bytes, limit: int
) -> list[bytes]:
    """Return keys of a bucket in order, from one on."""
    query = "SELECT key FROM current WHERE bucket = ? AND key >= ? ORDER BY key LIMIT ?"
    return [key for (key,) in connection.execute(query, (bucket, from_key, limit))]


def all_of_key(connection: sqlite3.Connection, bucket: int, key: str) -> list[Version]:
    """Return all versions of a key, the newest first."""
    low, high = key.encode(), key.encode() + b"\0"
    return [version for version, _ in store.versions_from(connection, bucket, low, high)]


def _note_rules(connection: sqlite3.Connection, bucket: Bucket) -> None:
    said = bucket.settings.get(rules.SETTING)
    query = "SELECT rules FROM ruled WHERE bucket = ?"
    before = connection.execute(query, (bucket.number,)).fetchone()
    if said is None:
        connection.execute("DELETE FROM ruled WHERE bucket = ?", (bucket.number,))
    elif before is None or before[0] != said:
        connection.execute(
            "INSERT OR REPLACE INTO ruled VALUES (?, ?, ?)", (bucket.number, said, b"")
        )
        for upload in store.uploads_of(connection, bucket.number):
            look_at(connection, bucket.number, upload.key, _AT_ONCE_NS, upload.upload_id)
