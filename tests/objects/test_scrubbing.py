"""Looking for rot: what has changed on the disk is told, once, wherever it lies."""

import asyncio
from pathlib import Path

from skerry.base import Failed
from skerry.objects import Objects, buckets, scrubbing
from skerry.objects.model import Version
from skerry.objects.scrubbing import Cursor, Scrubbed
from tests.objects.place import Ground, put, put_big

FAST = 1e12  # bytes a second


async def looked(objects: Objects, cursor: Cursor) -> tuple[list[tuple[str, str]], Scrubbed]:
    """Return which versions a pass finds damaged, and what it looked at."""
    told: list[tuple[str, str]] = []
    scrubbed = Scrubbed()

    def tell(bucket: str, version: Version, _error: Failed) -> None:
        told.append((bucket, version.key))

    await scrubbing.look(objects, scrubbed, tell, cursor, FAST)
    return told, scrubbed


async def filled(objects: Objects) -> None:
    for bucket in ("one", "two"):
        await buckets.make(objects, bucket, "me")
        for number in range(150):
            await put(objects, f"{number:03d}", b"%d" % number * 100, bucket)
        await put_big(objects, "big", bucket.encode() * 1000, bucket)


def test_all_that_has_changed_on_the_disk_is_found(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await filled(objects)
            assert await looked(objects, Cursor(1)) == ([], Scrubbed(302, 2 * 34_000 + 6000, 0))
            log = ground.disk.logs[1]
            log[log.rindex(b"149" * 100)] ^= 1
            file = next(file for file, data in ground.disk.kept.items() if b"one" in data)
            ground.disk.kept[file] = b"x" + ground.disk.kept[file][1:]
            told, scrubbed = await looked(objects, Cursor(1))
            assert told == [("one", "big"), ("two", "149")]
            assert scrubbed.damaged == 2

    asyncio.run(story())


def test_a_pass_goes_on_where_it_was(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def begin() -> None:
        async with ground.open() as objects:
            await filled(objects)
            passing = asyncio.create_task(looked(objects, Cursor(7)))
            while not scrubbing.cursor_of(objects).bucket:
                await asyncio.sleep(0)
            passing.cancel()
            await asyncio.wait([passing])

    async def go_on() -> None:
        async with ground.open() as objects:
            cursor = scrubbing.cursor_of(objects)
            _, scrubbed = await looked(objects, cursor)
            assert (cursor.begun_at_ns, cursor.bucket) == (7, "one")
            assert 151 <= scrubbed.versions < 302
            assert scrubbing.cursor_of(objects) == Cursor(7)

    asyncio.run(begin())
    asyncio.run(go_on())
