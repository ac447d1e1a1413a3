"""What is to be told to whom, until they have heard it: written with the change itself. SQL of the index.

It follows from the log as far as the index does: a power cut that sets the index back takes nothing
from it, since what is read again is noted again. Only an index that is made anew from nothing begins
with an empty outbox, or all that ever happened would be told once more.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from skerry.objects import notices, store
from skerry.objects.model import Version
from skerry.objects.notices import Notice, Subscription
from skerry.objects.records import VersionGone
from skerry.objects.rows import Applied, Changes

WAITING_MAX = 100_000
"""How many notices wait for one target; of more, the oldest are dropped."""

_LOOK_EVERY = 1000


class Waiting(NamedTuple):
    """A notice that waits. number: its place in the order of all."""

    number: int
    notice: Notice


class Noted(NamedTuple):
    """What is to be known before a record is applied, to tell afterwards what it changed."""

    version: Version
    before: Version | None
    is_new: bool = False
    is_gone: bool = False


def look(connection: sqlite3.Connection, changes: Changes, applied: Applied) -> Noted | None:
    """Return what `note` needs, looked at before a record is applied; None if nobody wants to know."""
    match applied.record:
        case Version() as version if subscribed(connection, changes, version.bucket):
            row = store.version(connection, version.bucket, version.key, version.version_id)
            is_new = version.sequence > changes.sequence
            return Noted(version, row.version if row else None, is_new=is_new)
        case VersionGone() as gone if subscribed(connection, changes, gone.bucket):
            row = store.version(connection, gone.bucket, gone.key, gone.version_id)
            return Noted(row.version, row.version, is_gone=True) if row is not None else None
        case _:
            return None


def note(connection: sqlite3.Connection, changes: Changes, noted: Noted, now_ns: int) -> None:
    """Have everybody told who wants to be."""
    version = noted.version
    event: str | None = notices.DELETED
    if not noted.is_gone:
        event = notices.event_of(version, noted.before, is_new=noted.is_new)
    bucket = store.bucket_of_number(connection, version.bucket)
    if event is None or bucket is None:
        return
    at_ns = version.modified_at_ns if noted.is_new else now_ns
    wanted = subscribed(connection, changes, version.bucket)
    for target, notice in notices.notices(event, version, bucket.name, bucket.owner, at_ns, wanted):
        said = msgspec.msgpack.encode(notice)
        query = "INSERT INTO outbox (target, said) VALUES (?, ?) RETURNING number"
        (number,) = connection.execute(query, (target, said)).fetchone()
        if number % _LOOK_EVERY == 0:
            _drop_oldest(connection, target)
        changes.has_notices = True


def subscribed(
    connection: sqlite3.Connection, changes: Changes, bucket: int
) -> Sequence[Subscription]:
    """Return the subscriptions of a bucket."""
    found = changes.subscriptions.get(bucket)
    if found is None:
        row = store.bucket_of_number(connection, bucket)
        said = row.settings.get(notices.SETTING) if row is not None else None
        found = notices.hear_subscriptions(said) if said is not None else []
        changes.subscriptions[bucket] = found
    return found


def waiting(connection: sqlite3.Connection, target: str, limit: int) -> list[Waiting]:
    """Return the oldest notices that wait for a target."""
    found = connection.execute(
        "SELECT number, said FROM outbox WHERE target = ? ORDER BY number LIMIT ?", (target, limit)
    )
    return [Waiting(number, msgspec.msgpack.decode(said, type=Notice)) for number, said in found]


def told(connection: sqlite3.Connection, target: str, up_to: int) -> None:
    """Forget the notices for a target, up to one."""
    connection.execute("DELETE FROM outbox WHERE target = ? AND number <= ?", (target, up_to))


def _drop_oldest(connection: sqlite3.Connection, target: str) -> None:
    query = "SELECT number FROM outbox WHERE target = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
    first = connection.execute(query, (target, WAITING_MAX)).fetchone()
    if first is not None:
        told(connection, target, first[0])
