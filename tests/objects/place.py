"""A store on a simulated disk, with an index in a file that a power cut may set back."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from skerry.host.object_disk import connect_index
from skerry.objects import Objects, open_objects, reading, versions
from skerry.objects.model import Piece, Version
from skerry.objects.records import crc_of
from skerry.objects.versions import NO_CONDITION, Condition, Content, Told
from skerry.testing.clock import HandClock
from skerry.testing.object_disk import SimulatedDisk


class Ground:
    """What outlives a store: its disk, its index, a clock, and what is drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = SimulatedDisk()
        self.clock = HandClock()
        self._drawn = 0

    def entropy(self, count: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_128(b"%d" % self._drawn).digest(count)

    def connect(self) -> sqlite3.Connection:
        return connect_index(self.folder)

    @asynccontextmanager
    async def open(self, segment_bytes: int = 256 << 20) -> AsyncGenerator[Objects]:
        objects = open_objects(
            self.disk, self.connect, self.clock, self.entropy, segment_bytes=segment_bytes
        )
        try:
            yield objects
        finally:
            await objects.close()

    def forget_index(self) -> None:
        for path in self.folder.glob("index.db*"):
            path.unlink()

    def keep_index(self) -> Path:
        """Copy the index as it is now, between two writes."""
        kept = self.folder.parent / f"kept-{self._drawn}"
        shutil.copytree(self.folder, kept, dirs_exist_ok=True)
        return kept

    def bring_back_index(self, kept: Path) -> None:
        self.forget_index()
        for path in kept.glob("index.db*"):
            shutil.copy(path, self.folder / path.name)


def content(data: bytes) -> Content:
    digest = hashlib.md5(data).hexdigest()
    return Content(
        size=len(data),
        etag=digest,
        data=[data] if data else [],
        piece=Piece(len(data), crc_of(data)),
    )


async def put(
    objects: Objects,
    key: str,
    data: bytes,
    bucket: str = "bkt",
    condition: Condition = NO_CONDITION,
) -> Version:
    return await versions.put(objects, bucket, key, content(data), Told(), condition)


async def put_big(
    objects: Objects,
    key: str,
    data: bytes,
    bucket: str = "bkt",
    condition: Condition = NO_CONDITION,
) -> Version:
    """Put an object whose bytes lie in a file."""
    file = objects.scratch()
    file.write(data)
    piece = file.keep(objects.new_file_id())
    made = Content(size=len(data), etag=hashlib.md5(data).hexdigest(), piece=piece)
    return await versions.put(objects, bucket, key, made, Told(), condition)


async def get(objects: Objects, bucket: str, key: str, version_id: str | None = None) -> bytes:
    from skerry.objects import buckets  # noqa: PLC0415

    row = versions.find(objects, buckets.find(objects, bucket), key, version_id)
    body = await reading.open_range(objects, row, 0, row.version.size)
    if isinstance(body, bytes):
        return body
    return b"".join([bytes(piece) async for piece in body])


def run(folder: Path, *stories: Callable[[Objects, Ground], object]) -> Ground:
    """Tell stories one after another, each with the store opened anew."""
    ground = Ground(folder)

    async def whole() -> None:
        for story in stories:
            async with asyncio.timeout(60), ground.open() as objects:
                await story(objects, ground)  # type: ignore[misc]

    asyncio.run(whole())
    return ground


def names(found: Sequence[Version]) -> list[str]:
    return [version.key for version in found]
