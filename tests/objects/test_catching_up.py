"""An index that is made anew from the log, or brought to its end: whole, or not at all."""

import asyncio
from pathlib import Path

import pytest

from skerry.base import Failed
from skerry.objects import buckets, context, notices, outbox
from tests.objects.place import Ground, get, put
from tests.objects.test_outbox import wanted

SEGMENT_BYTES = 600


def test_a_new_index_that_was_not_finished_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing of old is told again, as if it had happened since."""
    ground = Ground(tmp_path)
    monkeypatch.setattr(context, "_REPLAY_BATCH", 2)

    def read(segment: int, offset: int, size: int) -> bytes:
        if segment == 3:
            raise Failed("data_unreadable", "It cannot be read.")
        return bytes(ground.disk.logs[segment][offset : offset + size])

    async def story() -> None:
        async with ground.open(SEGMENT_BYTES) as objects:
            await buckets.make(objects, "bkt", "me")
            said = notices.say_subscriptions([wanted()])
            await buckets.put_setting(objects, "bkt", notices.SETTING, said)
            for number in range(9):
                await put(objects, f"{number}", b"x" * 100)
        ground.forget_index()
        with monkeypatch.context() as broken:
            broken.setattr(ground.disk, "read", read)
            with pytest.raises(Failed):
                await ground.open().__aenter__()
        async with ground.open() as objects:
            assert await get(objects, "bkt", "8") == b"x" * 100
            assert outbox.waiting(objects.reader, "t", 100) == []

    asyncio.run(story())


def test_an_index_that_knows_more_than_the_log_is_not_gone_on_with(tmp_path: Path) -> None:
    """What is written now would be lost with the index: it would lie behind a hole."""
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "k", b"1")
            size = ground.disk.size(1)
            await put(objects, "later", b"2")
        ground.disk.cut(1, size)
        with pytest.raises(Failed, match="or remove"):
            await ground.open().__aenter__()
        ground.forget_index()
        async with ground.open() as objects:
            assert await get(objects, "bkt", "k") == b"1"

    asyncio.run(story())


@pytest.mark.parametrize("place", [0, 4096])
def test_a_damaged_index_is_told_and_can_be_made_anew(tmp_path: Path, place: int) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "k", b"1")
        with (tmp_path / "index.db").open("r+b") as file:
            file.seek(place)
            file.write(b"?" * 32_768)
        with pytest.raises(Failed, match=r"Remove index\.db"):
            await ground.open().__aenter__()
        ground.forget_index()
        async with ground.open() as objects:
            assert await get(objects, "bkt", "k") == b"1"

    asyncio.run(story())
