"""The verbs of buckets: make, find, list, change, delete."""

import sqlite3
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from skerry.base import Conflict, LimitReached, NotFound
from skerry.objects import store
from skerry.objects.context import Objects
from skerry.objects.model import Bucket, bucket_name
from skerry.objects.records import BucketGone, UploadGone
from skerry.objects.usage import Usage, usage_of
from skerry.objects.writer import Transaction

BUCKETS_MAX = 10_000


def find(objects: Objects, name: str) -> Bucket:
    """Return the bucket of that name. Raises NotFound(no_such_bucket)."""
    return found(objects.reader, name)


def is_there(objects: Objects, name: str) -> bool:
    """Tell whether there is a bucket of that name."""
    return store.bucket(objects.reader, name) is not None


def found(connection: sqlite3.Connection, name: str) -> Bucket:
    """Return the bucket of that name, within a write too. Raises NotFound(no_such_bucket)."""
    bucket = store.bucket(connection, name)
    if bucket is None:
        raise NotFound("no_such_bucket", f"There is no bucket called {name[:80]!r}.")
    return bucket


def page(objects: Objects, prefix: str, after: str, limit: int) -> list[Bucket]:
    """Return the buckets whose names begin with prefix and come after a name, in order."""
    return store.buckets(objects.reader, prefix, after, limit)


def usage(objects: Objects, bucket: Bucket) -> tuple[int, int]:
    """Return how many versions a bucket has that are no markers, and the bytes of them all."""
    return store.usage(objects.reader, bucket.number)


def used(objects: Objects, bucket: Bucket) -> Usage:
    """Return what counts against the quota of a bucket: parts of unfinished uploads too."""
    return usage_of(objects.reader, bucket.number)


async def make(
    objects: Objects, name: str, owner: str, *, has_lock: bool = False,
    settings: Mapping[str, bytes] = MappingProxyType({}),
) -> Bucket:  # fmt: skip
    """Make a bucket. has_lock: its versions can be locked, for which it keeps them.

    Raises Invalid(bad_bucket_name), Conflict(bucket_exists, bucket_is_yours), LimitReached.
    """
    bucket_name(name)

    def work(made: Transaction) -> Bucket:
        there = store.bucket(made.connection, name)
        if there is not None:
            code = "bucket_is_yours" if there.owner == owner else "bucket_exists"
            raise Conflict(code, f"There is a bucket called {name} already.")
        if store.count_buckets(made.connection) >= BUCKETS_MAX:
            raise LimitReached("too_many_buckets", f"There are at most {BUCKETS_MAX} buckets.")
        bucket = Bucket(
            number=made.next_bucket(), name=name, owner=owner, created_at_ns=made.now_ns,
            versioning="enabled" if has_lock else "off", has_lock=has_lock,
            settings=dict(settings),
        )  # fmt: skip
        made.put(bucket)
        return bucket

    return await objects.writer.write(work)


async def change(objects: Objects, name: str, changed: Callable[[Bucket], Bucket]) -> Bucket:
    """Change what is set for a bucket. Raises NotFound(no_such_bucket), and what changed raises."""

    def work(made: Transaction) -> Bucket:
        bucket = changed(found(made.connection, name))
        made.put(bucket)
        return bucket

    return await objects.writer.write(work)


async def put_setting(objects: Objects, name: str, setting: str, document: bytes | None) -> Bucket:
    """Set a document for a bucket, or have none. Raises NotFound(no_such_bucket)."""

    def changed(bucket: Bucket) -> Bucket:
        others = {key: value for key, value in bucket.settings.items() if key != setting}
        settings = others if document is None else {**others, setting: document}
        return msgspec.structs.replace(bucket, settings=settings)

    return await change(objects, name, changed)


async def delete(objects: Objects, name: str) -> None:
    """Delete a bucket that is empty, with its unfinished uploads.

    Raises NotFound(no_such_bucket), Conflict(bucket_not_empty).
    """

    def work(made: Transaction) -> None:
        bucket = found(made.connection, name)
        if store.has_versions(made.connection, bucket.number):
            raise Conflict(
                "bucket_not_empty",
                f"The bucket {name} is not empty. Delete its objects first, former versions and "
                "delete markers too.",
            )
        for upload in store.uploads_of(made.connection, bucket.number):
            made.put(UploadGone(upload.upload_id))
        made.put(BucketGone(bucket.number))

    await objects.writer.write(work, makes_room=True)
