"""Quotas: how much a bucket takes. They are checked within each write, by what is there then.

The bytes of parts count from the moment when they are put, so that uploads which nobody completes
fill no disk. Where a version takes the place of another, only what it is larger counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from skerry.base import LimitReached
from skerry.objects import due, rules, store
from skerry.objects.model import NULL_VERSION, Version
from skerry.objects.usage import Usage, usage_of

if TYPE_CHECKING:
    import sqlite3

    from skerry.objects.context import Objects
    from skerry.objects.model import Bucket, Upload
    from skerry.objects.rows import Changes

SETTING = "quota"
"""The setting of a bucket with its quota."""


class Quota(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The most that a bucket takes: bytes of all versions and parts, objects of all versions."""

    bytes: int | None = None
    objects: int | None = None


def quota_of(bucket: Bucket) -> Quota | None:
    """Return the quota of a bucket."""
    document = bucket.settings.get(SETTING)
    return msgspec.json.decode(document, type=Quota) if document else None


def check_put(
    connection: sqlite3.Connection, bucket: Bucket, key: str, size: int, now_ns: int,
    changes: Changes | None = None,
) -> None:  # fmt: skip
    """Raise LimitReached(quota_exceeded) where a bucket takes no version of that size."""
    quota = quota_of(bucket)
    if quota is not None:
        replaced = _replaced(connection, bucket, key, now_ns)
        more = Usage(size - replaced.bytes, 1 - replaced.objects)
        _check(quota, usage_of(connection, bucket.number, changes), more)


def check_part(
    connection: sqlite3.Connection, bucket: int, upload_id: str, number: int, size: int,
    changes: Changes | None = None,
) -> None:  # fmt: skip
    """Raise LimitReached(quota_exceeded) where a bucket takes no part of that size."""
    place = store.bucket_of_number(connection, bucket)
    quota = None if place is None else quota_of(place)
    if quota is not None:
        row = store.part(connection, upload_id, number)
        more = Usage(size - (row.part.size if row else 0), 0)
        _check(quota, usage_of(connection, bucket, changes), more)


def check_complete(
    connection: sqlite3.Connection, bucket: Bucket, key: str, now_ns: int,
    changes: Changes | None = None,
) -> None:  # fmt: skip
    """Raise LimitReached(quota_exceeded) where a bucket takes no object more; its bytes are there."""
    quota = quota_of(bucket)
    if quota is not None:
        more = Usage(0, 1 - _replaced(connection, bucket, key, now_ns).objects)
        _check(quota, usage_of(connection, bucket.number, changes), more)


def foresee_put(objects: Objects, bucket: Bucket, key: str, size: int) -> None:
    """Raise as `check_put` before the bytes are taken in, for nothing as it seems now."""
    check_put(objects.reader, bucket, key, size, objects.clock.now_ns())


def foresee_part(objects: Objects, upload: Upload, number: int, size: int) -> None:
    """Raise as `check_part` before the bytes are taken in, for nothing as it seems now."""
    check_part(objects.reader, upload.bucket, upload.upload_id, number, size)


def exceeds(quota: Quota, there: Usage, more: Usage) -> bool:
    """Tell whether a quota is exceeded by what comes on top; what makes it no more never does."""
    too_large = (
        quota.bytes is not None and more.bytes > 0 and there.bytes + more.bytes > quota.bytes
    )
    too_many = (
        quota.objects is not None
        and more.objects > 0
        and there.objects + more.objects > quota.objects
    )
    return too_large or too_many


def _check(quota: Quota, there: Usage, more: Usage) -> None:
    if exceeds(quota, there, more):
        raise LimitReached(
            "quota_exceeded",
            "The bucket's quota is exceeded: delete objects, former versions and unfinished uploads, "
            "or ask for more.",
        )


def _replaced(connection: sqlite3.Connection, bucket: Bucket, key: str, now_ns: int) -> Usage:
    """Return what goes when a version of a key is put."""
    if bucket.versioning == "enabled":
        gone = _ended(connection, bucket, key, now_ns)
    else:
        row = store.version(connection, bucket.number, key, NULL_VERSION)
        gone = [row.version] if row else []
    return Usage(sum(each.size for each in gone), sum(not each.is_marker for each in gone))


def _ended(connection: sqlite3.Connection, bucket: Bucket, key: str, now_ns: int) -> list[Version]:
    """Return the former versions that a lifecycle rule ends in the write itself."""
    in_force = due.rules_of(connection, bucket.number)
    if not rules.ends_formers_at_once(in_force):
        return []
    coming = Version(
        bucket=bucket.number, key=key, version_id="", sequence=0, modified_at_ns=now_ns
    )
    known = rules.seen([coming, *due.all_of_key(connection, bucket.number, key)])
    ended = rules.plan(known, in_force, now_ns).ended
    return [each.version for each in ended if each.former_since_ns is not None]
