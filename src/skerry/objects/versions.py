"""The verbs of objects: put, get, delete, and change what is said of a version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skerry.base import Conflict, Denied, NotFound
from skerry.objects import buckets, locks, quotas, store
from skerry.objects.formers import end_formers
from skerry.objects.model import (
    NULL_VERSION,
    Bucket,
    Checksum,
    Lock,
    Piece,
    Version,
    new_version_id,
    object_key,
)
from skerry.objects.records import VersionGone

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from skerry.objects.context import Objects
    from skerry.objects.records import Buffer
    from skerry.objects.store import Row
    from skerry.objects.writer import Transaction

RANDOM_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The bytes of a new version: in memory, or in a file that is kept already.

    crc: CRC-64/NVME of data.
    """

    size: int
    etag: str
    data: Sequence[Buffer] = ()
    piece: Piece
    checksum: Checksum | None = None
    sealed: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a client says of a new version."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    storage_class: str = ""
    lock: Lock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What must hold for the current version, or nothing is done. A marker is as no version.

    etag: its ETag is one of these; `*`: there is one. is_absent: there is none.
    """

    etags: frozenset[str] = frozenset()
    is_absent: bool = False
    modified_at_s: int | None = None
    size: int | None = None

    def check(self, current: Version | None) -> None:
        """Raise Conflict(condition_failed), NotFound(no_such_key) if it does not hold."""
        there = None if current is None or current.is_marker else current
        if self.is_absent:
            if there is not None:
                raise _failed("There is an object of that key already.")
            return
        if there is None:
            if self.etags:
                raise NotFound("no_such_key", "There is no object of that key.")
            return
        if self.etags and not self.etags & {"*", there.etag}:
            raise _failed("The object is another one by now: its ETag differs.")
        if self.modified_at_s is not None and there.modified_at_ns // 10**9 != self.modified_at_s:
            raise _failed("The object was modified at another time.")
        if self.size is not None and there.size != self.size:
            raise _failed("The object has another size.")


NO_CONDITION = Condition()


def find(objects: Objects, bucket: Bucket, key: str, version_id: str | None = None) -> Row:
    """Return the row of a version, the current one if no id is given; it may be a delete marker.

    Raises NotFound(no_such_key, no_such_version).
    """
    return found(objects.reader, bucket, key, version_id)


def found(connection: sqlite3.Connection, bucket: Bucket, key: str, version_id: str | None) -> Row:
    """Return what `find` does, within a write too."""
    if version_id is None:
        row = store.current(connection, bucket.number, key)
        if row is None:
            raise NotFound("no_such_key", "There is no object of that key.")
        return row
    row = store.version(connection, bucket.number, key, version_id)
    if row is None:
        raise NotFound("no_such_version", "The object has no version of that id.")
    return row


async def put(
    objects: Objects,
    bucket: str,
    key: str,
    content: Content,
    told: Told,
    condition: Condition = NO_CONDITION,
) -> Version:
    """Put an object: a new current version, in place of `null` where the bucket keeps none.

    Raises NotFound(no_such_bucket, no_such_key), Conflict(condition_failed), Invalid(bad_key,
    key_too_long, no_lock, bad_retention), LimitReached(quota_exceeded), and as writing does.
    """
    object_key(key)
    random = objects.entropy(RANDOM_BYTES)

    def work(made: Transaction) -> Version:
        place = buckets.found(made.connection, bucket)
        current = _current(made, place, key)
        condition.check(current)
        check_replaceable(place, current, made.now_ns)
        quotas.check_put(made.connection, place, key, content.size, made.now_ns, made.changes)
        version = new_version(made, place, key, random, content, told)
        made.put(version, content.data, content.piece.crc if content.data else 0)
        end_formers(made, place, key)
        return version

    return await objects.write(work, content.piece, content.data)


def new_version(
    made: Transaction, bucket: Bucket, key: str, random: bytes, content: Content, told: Told
) -> Version:
    """Return the version that a put makes; it must be allowed to replace what it does.

    Raises Invalid(no_lock, bad_retention).
    """
    locks.check_new(bucket, told.lock, made.now_ns)
    sequence = made.next_sequence()
    return Version(
        bucket=bucket.number, key=key, sequence=sequence, modified_at_ns=made.now_ns,
        version_id=next_version_id(bucket, sequence, random), size=content.size, etag=content.etag,
        piece=content.piece, checksum=content.checksum, sealed=content.sealed,
        headers=told.headers, metadata=told.metadata, tags=told.tags,
        storage_class=told.storage_class,
        lock=locks.with_default(bucket, told.lock, made.now_ns),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion did. version_id: of what went or, if is_marker, of the marker that was made.

    was_marker: what went was one.
    """

    version_id: str | None = None
    is_marker: bool = False
    was_marker: bool = False


async def delete(
    objects: Objects,
    bucket: str,
    key: str,
    version_id: str | None = None,
    condition: Condition = NO_CONDITION,
    *,
    bypasses_governance: bool = False,
) -> Deleted:
    """Delete a version for good or, without an id, have the key name nothing from now on.

    What is not there is well. Raises NotFound(no_such_bucket), Conflict(condition_failed),
    Denied(version_locked), Invalid(bad_key, key_too_long), and as writing does.
    """
    object_key(key)
    random = objects.entropy(RANDOM_BYTES)

    def work(made: Transaction) -> Deleted:
        place = buckets.found(made.connection, bucket)
        if condition is not NO_CONDITION:
            condition.check(_current(made, place, key))
        if version_id is None and place.versioning != "off":
            return put_marker(made, place, key, random)
        wanted = version_id if version_id is not None else NULL_VERSION
        row = store.version(made.connection, place.number, key, wanted)
        if row is None:
            return Deleted(version_id)
        version = row.version
        check_lock(version, made.now_ns, bypasses_governance=bypasses_governance)
        made.put(VersionGone(place.number, key, wanted))
        return Deleted(version_id, was_marker=version.is_marker)

    return await objects.writer.write(work, makes_room=True)


async def change(
    objects: Objects, bucket: str, key: str, version_id: str | None,
    changed: Callable[[Version, int], Version],
) -> Version:  # fmt: skip
    """Change what is said of a version; its bytes stay. changed: also gets the moment.

    Raises NotFound(no_such_bucket, no_such_key, no_such_version), and what changed raises.
    """

    def work(made: Transaction) -> Version:
        place = buckets.found(made.connection, bucket)
        row = found(made.connection, place, key, version_id)
        version = changed(row.version, made.now_ns)
        piece = version.piece
        if piece is None or piece.file or not row.data_size:
            made.put(version)
        else:
            made.put(version, made.data_of(row, piece), piece.crc)
        return version

    return await objects.writer.write(work)


def check_lock(version: Version, now_ns: int, *, bypasses_governance: bool) -> None:
    """Raise Denied(version_locked) where a version may not be deleted now."""
    lock = version.lock
    if lock is None:
        return
    is_kept = lock.until_ns > now_ns and not (lock.mode == "GOVERNANCE" and bypasses_governance)
    if lock.is_held or is_kept:
        raise Denied("version_locked", "The version is locked: it can not be deleted yet.")


def check_replaceable(bucket: Bucket, current: Version | None, now_ns: int) -> None:
    """Raise Denied(version_locked) where a new `null` version would end a locked one."""
    if bucket.versioning != "enabled" and current is not None and current.lock is not None:
        check_lock(current, now_ns, bypasses_governance=False)


def put_marker(made: Transaction, bucket: Bucket, key: str, random: bytes) -> Deleted:
    """Have a key name nothing from now on, in a bucket that keeps or kept versions."""
    sequence = made.next_sequence()
    version_id = next_version_id(bucket, sequence, random)
    made.put(
        Version(
            bucket=bucket.number, key=key, version_id=version_id, sequence=sequence,
            modified_at_ns=made.now_ns, is_marker=True,
        )
    )  # fmt: skip
    end_formers(made, bucket, key)
    return Deleted(version_id, is_marker=True)


def next_version_id(bucket: Bucket, sequence: int, random: bytes) -> str:
    """Return the id of a new version: `null` where the bucket keeps none now."""
    return new_version_id(sequence, random) if bucket.versioning == "enabled" else NULL_VERSION


def _current(made: Transaction, bucket: Bucket, key: str) -> Version | None:
    row = store.current(made.connection, bucket.number, key)
    return row.version if row else None


def _failed(message: str) -> Conflict:
    return Conflict("condition_failed", message)
