"""The one who writes: what fails for one of a batch is not told to those whose write is durable."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable
from pathlib import Path

from skerry.base import LimitReached, NotAvailable
from skerry.objects import Objects, buckets
from tests.objects.place import Ground, get, put, put_big


class Impatient(Ground):
    """Whose index waits for nobody who reads it."""

    def connect(self) -> sqlite3.Connection:
        connection = super().connect()
        connection.execute("PRAGMA busy_timeout = 0")
        return connection


class Small(Ground):
    """Whose index has little room."""

    def connect(self) -> sqlite3.Connection:
        connection = super().connect()
        connection.execute("PRAGMA max_page_count = 60")
        return connection


async def in_one_batch(objects: Objects, *writes: Awaitable[object]) -> list[object]:
    """Return what becomes of writes that share a batch."""
    began, gate = threading.Event(), threading.Event()
    held = asyncio.ensure_future(objects.writer.write(lambda _made: began.set() or gate.wait(9)))
    await asyncio.to_thread(began.wait, 9)
    together = asyncio.gather(*writes, return_exceptions=True)
    asyncio.get_running_loop().call_soon(gate.set)  # once they wait for the next batch
    await held
    return list(await together)


def test_an_index_that_cannot_be_settled_takes_nothing_from_who_wrote_beside(
    tmp_path: Path,
) -> None:
    ground = Impatient(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            reader = ground.connect()
            reader.execute("BEGIN")
            reader.execute("SELECT serial FROM place").fetchall()
            done = await in_one_batch(
                objects, put_big(objects, "k", b"x" * 100), objects.writer.settle()
            )
            reader.close()
            assert not isinstance(done[0], Exception)
            assert isinstance(done[1], NotAvailable)
            assert await get(objects, "bkt", "k") == b"x" * 100

    asyncio.run(story())
    assert len(ground.disk.kept) == 1


def test_an_index_that_takes_no_more_is_a_full_disk(tmp_path: Path) -> None:
    async def story() -> None:
        async with Small(tmp_path).open() as objects:
            await buckets.make(objects, "bkt", "me")
            writes = (put(objects, f"{number:0500}", b"1") for number in range(500))
            done = await asyncio.gather(*writes, return_exceptions=True)
            refused = {type(each) for each in done if isinstance(each, BaseException)}
            assert refused == {LimitReached}

    asyncio.run(story())
