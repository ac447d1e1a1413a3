"""The verbs of multipart uploads: begin, put a part, list, complete, give up."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.base import Invalid, LimitReached, NotFound
from skerry.objects import buckets, locks, quotas, store
from skerry.objects.formers import end_formers
from skerry.objects.model import PARTS_MAX, Part, Piece, Upload, Version, object_key
from skerry.objects.records import UploadGone
from skerry.objects.versions import NO_CONDITION, Condition, check_replaceable, next_version_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from skerry.objects.context import Objects
    from skerry.objects.model import Algorithm, Bucket, Checksum
    from skerry.objects.records import Buffer
    from skerry.objects.versions import Told
    from skerry.objects.writer import Transaction

UPLOADS_MAX = 100_000  # under way, in one bucket
PART_BYTES_MIN = 5 << 20  # of all but the last
_ID_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A part that an object shall have, as its client knows it: the etag is the MD5 in hexadecimal."""

    number: int
    etag: str
    checksum: bytes | None = None


@dataclass(frozen=True, slots=True)
class Summing:
    """Which checksums an upload has. algorithm: of its parts. is_whole: and one of all bytes."""

    algorithm: Algorithm | None = None
    is_whole: bool = False


NO_SUMMING = Summing()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the bytes of a part beside their MD5. salt: see `Part`."""

    checksum: Checksum | None = None
    salt: bytes = b""


NOTHING = Known()


def find(objects: Objects, bucket: Bucket, key: str, upload_id: str) -> Upload:
    """Return an upload under way. Raises NotFound(no_such_upload)."""
    return _found(objects.reader, bucket, key, upload_id)


def parts(objects: Objects, upload_id: str, after: int, limit: int) -> list[Part]:
    """Return the parts of an upload by number, those above `after`."""
    return [row.part for row in store.parts(objects.reader, upload_id, after, limit)]


async def begin(
    objects: Objects,
    bucket: str,
    key: str,
    owner: str,
    told: Told,
    summing: Summing = NO_SUMMING,
    sealed: bytes = b"",
) -> Upload:
    """Begin an upload. sealed: how its bytes will be encrypted, see `sealing`.

    Raises NotFound(no_such_bucket), Invalid(bad_key, key_too_long, no_lock, bad_retention),
    LimitReached, and as writing does.
    """
    object_key(key)
    upload_id = objects.entropy(_ID_BYTES).hex()

    def work(made: Transaction) -> Upload:
        place = buckets.found(made.connection, bucket)
        if store.count_uploads(made.connection, place.number, UPLOADS_MAX) >= UPLOADS_MAX:
            raise LimitReached(
                "too_many_uploads", f"A bucket has at most {UPLOADS_MAX} uploads under way."
            )
        locks.check_new(place, told.lock, made.now_ns)
        upload = Upload(
            upload_id=upload_id, bucket=place.number, key=key, owner=owner,
            begun_at_ns=made.now_ns, headers=told.headers, metadata=told.metadata, tags=told.tags,
            storage_class=told.storage_class, lock=told.lock, algorithm=summing.algorithm,
            is_whole=summing.is_whole, sealed=sealed,
        )  # fmt: skip
        made.put(upload)
        return upload

    return await objects.writer.write(work)


async def put_part(
    objects: Objects,
    upload: Upload,
    number: int,
    piece: Piece,
    data: Sequence[Buffer],
    md5: bytes,
    known: Known = NOTHING,
) -> Part:
    """Put a part, in place of the one of that number. data: its bytes if piece names no file.

    Raises Invalid(bad_part_number), NotFound(no_such_upload), LimitReached(quota_exceeded), and as
    writing does.
    """
    if not 1 <= number <= PARTS_MAX:
        raise Invalid("bad_part_number", f"Parts are numbered from 1 to {PARTS_MAX}.")

    assert bool(known.salt) == bool(upload.sealed), (
        "either all of an object is encrypted, or nothing"
    )

    def work(made: Transaction) -> Part:
        if store.upload(made.connection, upload.upload_id) is None:
            raise _no_upload()
        part = Part(upload.upload_id, number, piece, md5, made.now_ns, known.checksum, known.salt)
        quotas.check_part(
            made.connection, upload.bucket, upload.upload_id, number, part.size, made.changes
        )
        made.put(part, data, piece.crc if data else 0)
        return part

    return await objects.write(work, piece, data)


async def complete(
    objects: Objects,
    bucket: str,
    key: str,
    upload_id: str,
    chosen: Sequence[Chosen],
    condition: Condition = NO_CONDITION,
    checksum_of: Callable[[Upload, Sequence[Part]], Checksum | None] | None = None,
) -> Version:
    """Make the object of the chosen parts; the others are deleted. Doing it again is well.

    checksum_of: returns the checksum of the whole, and may raise. Raises NotFound(no_such_bucket,
    no_such_upload), Invalid(bad_part, bad_part_order, part_too_small), Conflict(condition_failed),
    LimitReached(quota_exceeded), and as writing does.
    """
    random = objects.entropy(8)

    def work(made: Transaction) -> Version:
        place = buckets.found(made.connection, bucket)
        current = store.current(made.connection, place.number, key)
        if current is not None and current.version.upload_id == upload_id:
            return current.version
        upload = _found(made.connection, place, key, upload_id)
        condition.check(current.version if current else None)
        check_replaceable(place, current.version if current else None, made.now_ns)
        quotas.check_complete(made.connection, place, key, made.now_ns, made.changes)
        found = _chosen(made.connection, upload_id, chosen)
        checksum = checksum_of(upload, found) if checksum_of is not None else None
        version = _whole(made, place, upload, found, checksum, random)
        made.put(version)
        end_formers(made, place, key)
        return version

    return await objects.writer.write(work)


async def give_up(objects: Objects, bucket: str, key: str, upload_id: str) -> None:
    """Give an upload up, and delete its parts. Raises NotFound(no_such_bucket, no_such_upload)."""

    def work(made: Transaction) -> None:
        place = buckets.found(made.connection, bucket)
        _found(made.connection, place, key, upload_id)
        made.put(UploadGone(upload_id))

    await objects.writer.write(work, makes_room=True)


def _found(connection: sqlite3.Connection, bucket: Bucket, key: str, upload_id: str) -> Upload:
    upload = store.upload(connection, upload_id)
    if upload is None or (upload.bucket, upload.key) != (bucket.number, key):
        raise _no_upload()
    return upload


def _chosen(connection: sqlite3.Connection, upload_id: str, chosen: Sequence[Chosen]) -> list[Part]:
    if not chosen:
        raise Invalid("bad_part", "Name the parts that the object shall have.")
    there = {row.part.number: row.part for row in store.parts(connection, upload_id)}
    found: list[Part] = []
    for each in chosen:
        part = there.get(each.number)
        if part is None or part.md5.hex() != each.etag:
            raise Invalid("bad_part", f"Part {each.number} is not there, or has another ETag.")
        if each.checksum is not None and (
            part.checksum is None or part.checksum.value != each.checksum
        ):
            raise Invalid("bad_part", f"Part {each.number} has another checksum.")
        if found and found[-1].number >= part.number:
            raise Invalid("bad_part_order", "Name the parts in the order of their numbers.")
        if found and found[-1].size < PART_BYTES_MIN:
            raise Invalid(
                "part_too_small", f"Part {found[-1].number} is too small: all but the last have at "
                f"least {PART_BYTES_MIN} bytes."
            )  # fmt: skip
        found.append(part)
    return found


def _whole(
    made: Transaction,
    bucket: Bucket,
    upload: Upload,
    found: Sequence[Part],
    checksum: Checksum | None,
    random: bytes,
) -> Version:
    sequence = made.next_sequence()
    digest = hashlib.md5(b"".join(part.md5 for part in found), usedforsecurity=False)
    return Version(
        bucket=bucket.number, key=upload.key, sequence=sequence,
        version_id=next_version_id(bucket, sequence, random), modified_at_ns=made.now_ns,
        size=sum(part.size for part in found), etag=f"{digest.hexdigest()}-{len(found)}",
        upload_id=upload.upload_id, parts=tuple((part.number, part.size) for part in found),
        headers=upload.headers, metadata=upload.metadata, tags=upload.tags,
        storage_class=upload.storage_class, checksum=checksum,
        lock=locks.with_default(bucket, upload.lock, made.now_ns), sealed=upload.sealed,
    )  # fmt: skip


def _no_upload() -> NotFound:
    return NotFound(
        "no_such_upload", "There is no such upload: it was completed or given up, or never begun."
    )
