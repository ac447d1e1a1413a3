"""Deleting the files of tables that were dropped for good: in the background, from the leaves up.

What is to be purged is written down with the drop, and forgotten when all is gone. A purge that was
cut short begins again: what names files goes after the files that it names. Nothing outside the
table's own location is touched, whatever the metadata says.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from typing import TYPE_CHECKING

from skerry.base import NotFound, SkerryError
from skerry.objects import buckets, versions
from skerry.objects.model import Bucket
from skerry.tables import files, store
from skerry.tables.context import Tables
from skerry.tables.model import METADATA_BYTES_MAX, Purge, is_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyiceberg.manifest import ManifestFile

_MANIFEST_BYTES_MAX = 256 << 20


async def run(tables: Tables, say: Callable[[str], None]) -> None:
    """Purge what is written down, and what will be, until cancelled. say: writes a line.

    What can not be purged now is told and tried again at the next start.
    """
    last = 0
    while True:
        await tables.purge_wanted.wait()
        tables.purge_wanted.clear()
        while (wanted := _next(tables, last)) is not None:
            last = wanted.number
            try:
                await purge(tables, wanted)
            except SkerryError as error:
                say(f"{error.code}: {wanted.location!a} is not purged yet. {error.message}")
            except Exception as error:  # noqa: BLE001 - the last resort: the others are purged
                traceback.print_exception(error, file=sys.stderr)


async def purge(tables: Tables, wanted: Purge) -> None:
    """Delete the files of one table, then what says that they are to go. Raises as reading does."""
    found = buckets.page(tables.objects, "", "", buckets.BUCKETS_MAX)
    bucket = next((each for each in found if each.number == wanted.bucket), None)
    if bucket is not None:
        await _delete_all(tables, bucket, wanted)
    await tables.database.write(lambda connection: store.drop_purge(connection, wanted.number))


def _next(tables: Tables, after: int) -> Purge | None:
    return tables.database.read(lambda connection: store.next_purge(connection, after))


async def _delete_all(tables: Tables, bucket: Bucket, wanted: Purge) -> None:
    try:
        data = await files.read_metadata(tables, bucket, wanted.metadata_key, METADATA_BYTES_MAX)
    except NotFound:  # it goes last: all is gone already
        return
    lists, others, may_go = await tables.think(lambda: _named_by_metadata(data))
    if not may_go:
        return
    manifests: dict[str, None] = {}
    for url in lists:
        for manifest in await _manifests(tables, bucket, wanted, url):
            if manifest.manifest_path not in manifests:
                manifests[manifest.manifest_path] = None
                await _delete_named(tables, bucket, wanted, manifest)
    for url in (*manifests, *lists, *others):
        await _delete(tables, bucket, wanted, url)
    await _delete_key(tables, bucket, wanted, wanted.metadata_key)


async def _manifests(tables: Tables, bucket: Bucket, wanted: Purge, url: str) -> list[ManifestFile]:
    data = await _read(tables, bucket, wanted, url)
    return await tables.think(lambda: _manifests_of(data)) if data is not None else []


async def _delete_named(
    tables: Tables, bucket: Bucket, wanted: Purge, manifest: ManifestFile
) -> None:
    """Delete the files that a manifest names."""
    data = await _read(tables, bucket, wanted, manifest.manifest_path)
    if data is None:
        return
    for url in await tables.think(lambda: _files_of(manifest, data)):
        await _delete(tables, bucket, wanted, url)


async def _read(tables: Tables, bucket: Bucket, wanted: Purge, url: str) -> bytes | None:
    """Return a file of the table, None if it is gone, or none of its."""
    key = _key(bucket, wanted, url)
    if key is None:
        return None
    with contextlib.suppress(NotFound):
        return await files.read(tables, bucket, key, _MANIFEST_BYTES_MAX)
    return None


async def _delete(tables: Tables, bucket: Bucket, wanted: Purge, url: str) -> None:
    key = _key(bucket, wanted, url)
    if key is not None:
        await _delete_key(tables, bucket, wanted, key)


async def _delete_key(tables: Tables, bucket: Bucket, wanted: Purge, key: str) -> None:
    if is_within(key, wanted.location):
        with contextlib.suppress(NotFound):
            row = versions.find(tables.objects, bucket, key)
            if not row.version.is_marker:
                await versions.delete(tables.objects, bucket.name, key)


def _key(bucket: Bucket, wanted: Purge, url: str) -> str | None:
    key = url.removeprefix(f"s3://{bucket.name}/")
    return key if key != url and is_within(key, wanted.location) else None


# These run in the catalogue's thread, where the library is imported first.


def _named_by_metadata(data: bytes) -> tuple[list[str], list[str], bool]:
    from skerry.tables import manifests  # noqa: PLC0415

    return manifests.named_by_metadata(data)


def _manifests_of(data: bytes) -> list[ManifestFile]:
    from skerry.tables import manifests  # noqa: PLC0415

    return manifests.manifests_of(data)


def _files_of(manifest: ManifestFile, data: bytes) -> list[str]:
    from skerry.tables import manifests  # noqa: PLC0415

    return manifests.files_of(manifest, data)
