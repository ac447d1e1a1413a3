"""Looking for rot: all bytes of all versions are read now and then, slowly, and checked.

A pass goes through buckets, keys and versions in order, and goes on where it was after a restart.
What is found is told; it is not mended, since there is no other copy here.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.base import Failed, NotAvailable, NotFound
from skerry.objects import buckets, listing, segments, versions
from skerry.objects.reading import stored_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skerry.objects.context import Objects
    from skerry.objects.model import Bucket, Version
    from skerry.objects.records import Buffer

PASS_S = 7 * 86_400.0
"""How long from the beginning of a pass to that of the next one, at least."""

_BYTES_PER_S = 32 << 20
_LEAST_BYTES = 32 << 10  # as which a small version counts: to find it takes its time too
_PAGE = 100
_LOOK_NS = 600 * 10**9


@dataclass(slots=True)
class Scrubbed:
    """What was looked at since the start, and how many of the versions cannot be read."""

    versions: int = 0
    bytes: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where a pass has come. bucket: empty when it is over."""

    begun_at_ns: int
    bucket: str = ""
    key: str = ""
    version_id: str = ""


async def keep_looking(
    objects: Objects, scrubbed: Scrubbed, tell: Callable[[str, Version, Failed], None]
) -> None:
    """Make one pass after another, for ever. tell: gets the bucket's name and what is wrong."""
    while True:
        cursor = cursor_of(objects)
        now_ns = objects.clock.now_ns()
        if cursor.bucket or now_ns >= cursor.begun_at_ns + int(PASS_S) * 10**9:
            await look(objects, scrubbed, tell, cursor if cursor.bucket else Cursor(now_ns))
        await objects.clock.sleep_ns(_LOOK_NS)


async def look(
    objects: Objects,
    scrubbed: Scrubbed,
    tell: Callable[[str, Version, Failed], None],
    cursor: Cursor,
    bytes_per_s: float = _BYTES_PER_S,
) -> None:
    """Make a pass, or the rest of one. Raises as writing does."""
    name = cursor.bucket
    found = [buckets.find(objects, name)] if name and buckets.is_there(objects, name) else []
    found = found or buckets.page(objects, "", name, 1)
    while found:
        (bucket,) = found
        after = (cursor.key, cursor.version_id) if bucket.name == cursor.bucket else ("", "")
        while True:
            page = listing.version_page(
                objects, bucket, prefix="", delimiter="", after=after, limit=_PAGE
            )
            for version, _ in page.versions:
                await _check(objects, scrubbed, tell, bucket, version, bytes_per_s)
            if page.next is None:
                break
            after = page.next
            await _keep(objects, Cursor(cursor.begun_at_ns, bucket.name, *after))
        found = buckets.page(objects, "", bucket.name, 1)
    await _keep(objects, Cursor(cursor.begun_at_ns))


def cursor_of(objects: Objects) -> Cursor:
    """Return how far the last pass has come."""
    return Cursor(*segments.scrubbed_to(objects.reader))


async def _keep(objects: Objects, cursor: Cursor) -> None:
    values = (cursor.begun_at_ns, cursor.bucket, cursor.key, cursor.version_id)
    await objects.writer.write(lambda made: segments.keep_scrubbed(made.connection, values))


async def _check(
    objects: Objects,
    scrubbed: Scrubbed,
    tell: Callable[[str, Version, Failed], None],
    bucket: Bucket,
    version: Version,
    bytes_per_s: float,
) -> None:
    try:
        row = versions.find(objects, bucket, version.key, version.version_id)
        with stored_blocks(objects, row) as blocks:
            await _read(objects, blocks, bytes_per_s)
    except (NotFound, NotAvailable):
        return  # it went meanwhile
    except Failed as error:
        scrubbed.damaged += 1
        tell(bucket.name, version, error)
    scrubbed.versions += 1
    scrubbed.bytes += version.size


async def _read(objects: Objects, blocks: Iterator[Buffer], bytes_per_s: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        block = await loop.run_in_executor(objects.threads, next, blocks, None)
        if block is None:
            return
        await objects.clock.sleep_ns(int(max(len(block), _LEAST_BYTES) * 1e9 / bytes_per_s))
