"""Giving out the bytes of a version: a range of it, each piece checked before it is handed on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, NamedTuple

from skerry.base import NotAvailable
from skerry.objects import store
from skerry.objects.blocks import checked, data_changed
from skerry.objects.packages import BadPackage, unpack

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from skerry.objects.context import Objects
    from skerry.objects.model import Piece
    from skerry.objects.records import Buffer
    from skerry.objects.rows import Row
    from skerry.objects.sealing import Sealing

_HERE_BYTES = 64 << 10  # decrypted sooner than a thread is asked


async def open_range(
    objects: Objects, row: Row, begin: int, size: int, sealing: Sealing | None = None
) -> bytes | AsyncGenerator[Buffer]:
    """Return a range of a version's bytes: whole if it is small, else piece by piece.

    sealing: of a version that is encrypted.
    The first piece is read before this returns, so that what cannot be read is told and not begun.
    Raises Failed(data_unreadable, data_changed), as the pieces may, and NotAvailable(slow_down) if
    the version has been replaced since the row was found.
    """
    piece = row.version.piece
    if size == 0:
        return b""
    if piece is not None and not piece.file:
        data = objects.disk.read_cached(row.place.segment, row.data_offset, piece.size)
        if data is None:
            with objects.files.pinned({row.place.segment}):
                data = await asyncio.get_running_loop().run_in_executor(
                    objects.threads, objects.disk.read,
                    row.place.segment, row.data_offset, piece.size,
                )  # fmt: skip
        whole = checked(piece, data)
        if sealing is None:
            return bytes(whole[begin : begin + size])
        opening = functools.partial(_opened, sealing, whole, begin, size)
        if size <= _HERE_BYTES:
            return opening()
        return await asyncio.get_running_loop().run_in_executor(objects.threads, opening)
    with contextlib.ExitStack() as pins:
        blocks = pins.enter_context(opened_blocks(objects, row, begin, size, sealing))
        first = await _next(objects, blocks)
        return _rest(objects, blocks, first, pins.pop_all())


@contextlib.contextmanager
def opened_blocks(
    objects: Objects, row: Row, begin: int, size: int, sealing: Sealing | None = None
) -> Generator[Iterator[Buffer]]:
    """Give the block an iterator of a range's bytes, by blocking reads, for threads.

    sealing: see `open_range`. The bytes stay while the block lasts, whatever becomes of the version; to be entered in the
    event loop's thread, at once when the row was found. The iterator raises as `open_range` does.
    """
    assert bool(row.version.sealed) == (sealing is not None), "nobody takes packages for bytes"
    pieces = _pieces(objects, row, begin, size)
    with objects.files.pinned({each.pin for each in pieces}):
        yield _blocks(objects, pieces, sealing)


@contextlib.contextmanager
def stored_blocks(objects: Objects, row: Row) -> Generator[Iterator[Buffer]]:
    """Give the block what `opened_blocks` does: all bytes as they lie on disk, encrypted or not."""
    pieces = [
        each._replace(offset=0, size=each.piece.size)
        for each in _pieces(objects, row, 0, row.version.size)
    ]
    with objects.files.pinned({each.pin for each in pieces}):
        yield _blocks(objects, pieces, None)


def _opened(sealing: Sealing, packages: memoryview, begin: int, size: int) -> bytes:
    def read(at: int, count: int) -> Iterator[memoryview]:
        yield packages[at : at + count]

    try:
        return b"".join(unpack(sealing.key, len(packages), begin, size, read))
    except BadPackage:
        raise data_changed() from None


class _Range(NamedTuple):
    """What of a piece is wanted: of the bytes in it, where these are encrypted. salt: see `Part`."""

    row: Row
    piece: Piece
    offset: int
    size: int
    salt: bytes = b""

    @property
    def pin(self) -> str | int:
        return self.piece.file or self.row.place.segment


def _blocks(objects: Objects, pieces: list[_Range], sealing: Sealing | None) -> Iterator[Buffer]:
    for each in pieces:
        read = functools.partial(objects.read, each.row, each.piece)
        if sealing is None:
            yield from read(each.offset, each.size)
            continue
        key = sealing.salted(each.salt).key
        try:
            yield from unpack(key, each.piece.size, each.offset, each.size, read)
        except BadPackage:
            raise data_changed() from None


def _pieces(objects: Objects, row: Row, begin: int, size: int) -> list[_Range]:
    """Return what makes up a range of a version."""
    version = row.version
    if version.piece is not None:
        return [_Range(row, version.piece, begin, size)]
    found: list[_Range] = []
    at, end = 0, begin + size
    wanted = {number for number, _ in version.parts}
    for each in store.parts(objects.reader, version.upload_id):
        part = each.part
        if part.number not in wanted:
            continue
        low, high = max(begin, at), min(end, at + part.size)
        if low < high:
            found.append(_Range(each, part.piece, low - at, high - low, part.salt))
        at += part.size
    if at != version.size:  # its parts went with it, in a moment between two looks at the index
        raise NotAvailable("slow_down", "The object has just been replaced. Ask again.")
    return found


async def _rest(
    objects: Objects, blocks: Iterator[Buffer], first: Buffer | None, pins: contextlib.ExitStack
) -> AsyncGenerator[Buffer]:
    with pins:
        piece = first
        while piece is not None:
            following = asyncio.ensure_future(_next(objects, blocks))
            try:
                yield piece
            finally:
                await asyncio.wait([following])
            piece = following.result()


async def _next(objects: Objects, blocks: Iterator[Buffer]) -> Buffer | None:
    return await asyncio.get_running_loop().run_in_executor(objects.threads, next, blocks, None)
