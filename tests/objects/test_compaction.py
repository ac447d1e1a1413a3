"""Making room in the log: nothing is lost on the way, and what is dead goes."""

import asyncio
from pathlib import Path

import pytest

from skerry.base import Failed
from skerry.objects import Objects, buckets, compaction, reading, uploads, versions
from skerry.objects.model import Piece
from skerry.objects.records import crc_of
from skerry.objects.versions import Told
from skerry.testing.object_disk import PowerCut
from tests.objects.place import Ground, get, put, put_big

SEGMENT_BYTES = 2000
DATA = {f"k{n}": b"%d" % n * 300 for n in range(10)}


async def filled(objects: Objects) -> None:
    """Put everything twice, so that half of the log is dead."""
    await buckets.make(objects, "bkt", "me")
    for _ in range(2):
        for key, data in DATA.items():
            await put(objects, key, data)
    await put_big(objects, "big", b"big")


async def compact_all(objects: Objects) -> None:
    while True:
        await compaction.compact(objects)


def sizes(objects: Objects) -> int:
    return sum(map(objects.disk.size, objects.disk.segments()))


def test_the_log_takes_little_more_than_what_counts(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open(SEGMENT_BYTES) as objects:
            await filled(objects)
            before = sizes(objects)
            while compaction.is_wanted(objects):
                await compaction.compact(objects)
            assert sizes(objects) < before * 2 / 3
        ground.forget_index()
        async with ground.open(SEGMENT_BYTES) as objects:
            for key, data in DATA.items():
                assert await get(objects, "bkt", key) == data
            assert buckets.usage(objects, buckets.find(objects, "bkt")) == (11, 3 + 2 * 1500)

    asyncio.run(story())


@pytest.mark.parametrize("when", ["make segment", "write", "sync", "synced", "remove segment"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("lost_index", [False, True])
def test_a_power_cut_while_room_is_made_loses_nothing(
    tmp_path: Path, when: str, number: int, *, lost_index: bool
) -> None:
    ground = Ground(tmp_path)

    async def before() -> None:
        left = number
        async with ground.open(SEGMENT_BYTES) as objects:
            await filled(objects)
            await versions.delete(objects, "bkt", "k0")

            def fail(name: str) -> None:
                nonlocal left
                left -= name == when
                if left <= 0:
                    raise PowerCut

            ground.disk.before = fail
            with pytest.raises(PowerCut):
                await compact_all(objects)
            objects.threads.shutdown()

    async def after() -> None:
        async with ground.open(SEGMENT_BYTES) as objects:
            for key, data in {**DATA, "big": b"big"}.items():
                if key != "k0":
                    assert await get(objects, "bkt", key) == data
            assert buckets.usage(objects, buckets.find(objects, "bkt"))[0] == 10

    asyncio.run(before())
    if lost_index:
        ground.forget_index()
    ground.disk = ground.disk.after_power_cut(lambda low, high: (low + high) // 2)
    asyncio.run(after())


def test_who_reads_keeps_a_segment_until_all_is_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open(SEGMENT_BYTES) as objects:
            bucket = await buckets.make(objects, "bkt", "me")
            upload = await uploads.begin(objects, "bkt", "k", "me", Told())
            data = b"x" * 3000
            part = await uploads.put_part(
                objects, upload, 1, Piece(len(data), crc_of(data)), [data], b"md5"
            )
            chosen = [uploads.Chosen(number=1, etag=part.md5.hex())]
            await uploads.complete(objects, "bkt", "k", upload.upload_id, chosen)
            row = versions.find(objects, bucket, "k")
            with reading.opened_blocks(objects, row, 0, len(data)) as blocks:
                compacting = asyncio.create_task(compaction.compact(objects))
                while not objects.disk.segments()[2:]:
                    await asyncio.sleep(0)
                found = b"".join(bytes(each) for each in blocks)
            await compacting
            assert found == data == await get(objects, "bkt", "k")
            assert 1 not in objects.disk.segments()

    asyncio.run(story())


def test_a_segment_that_cannot_be_read_is_not_given_back(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open(SEGMENT_BYTES) as objects:
            await filled(objects)
            ground.disk.logs[1][-400] ^= 1
            with pytest.raises(Failed, match="cannot be read"):
                await compaction.compact(objects)
            assert 1 in objects.disk.segments()
            assert await get(objects, "bkt", "k9") == DATA["k9"]

    asyncio.run(story())


def test_a_log_without_one_of_its_segments_is_not_opened(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open(SEGMENT_BYTES) as objects:
            await filled(objects)
        ground.disk.remove_segment(2)
        ground.forget_index()
        with pytest.raises(Failed, match="no segment 2"):
            async with ground.open(SEGMENT_BYTES):
                pass

    asyncio.run(story())


async def in_parts(objects: Objects, key: str) -> None:
    """Upload an object whose record lies some segments behind that of its part."""
    upload = await uploads.begin(objects, "bkt", key, "me", Told())
    file = objects.scratch()
    file.write(b"abc")
    part = await uploads.put_part(objects, upload, 1, file.keep(objects.new_file_id()), [], b"m")
    for number in range(20):
        await put(objects, f"between-{number}", b"x" * 300)
    chosen = [uploads.Chosen(number=1, etag=part.md5.hex())]
    await uploads.complete(objects, "bkt", key, upload.upload_id, chosen)
    await put(objects, "last", b"x" * SEGMENT_BYTES)


@pytest.mark.parametrize("is_kept", [False, True])
def test_no_part_outlives_its_version_in_a_new_index(tmp_path: Path, *, is_kept: bool) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open(SEGMENT_BYTES) as objects:
            await buckets.make(objects, "bkt", "me")
            await in_parts(objects, "kept" if is_kept else "k")
            await compaction.compact(objects)  # its part is written anew, behind it
            await put(objects, "k", b"new")
            for _ in objects.disk.segments()[:-2]:
                await compaction.compact(objects)
        ground.forget_index()
        async with ground.open(SEGMENT_BYTES) as objects:
            (count,) = objects.reader.execute("SELECT count(*) FROM parts").fetchone()
            (files,) = objects.reader.execute("SELECT count(*) FROM files").fetchone()
            assert (count, files) == (is_kept, is_kept)
            if is_kept:
                assert await get(objects, "bkt", "kept") == b"abc"

    asyncio.run(story())
