"""Giving out the bytes of a version: a range of it, each piece checked before it is handed on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from skerry.base import NotAvailable
from skerry.objects import store
from skerry.objects.blocks import checked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from skerry.objects.context import Objects
    from skerry.objects.model import Piece
    from skerry.objects.records import Buffer
    from skerry.objects.rows import Row


async def open_range(
    objects: Objects, row: Row, begin: int, size: int
) -> bytes | AsyncGenerator[Buffer]:
    """Return a range of a version's bytes: whole if it is small, else piece by piece.

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
        return bytes(checked(piece, data)[begin : begin + size])
    with contextlib.ExitStack() as pins:
        blocks = pins.enter_context(opened_blocks(objects, row, begin, size))
        first = await _next(objects, blocks)
        return _rest(objects, blocks, first, pins.pop_all())


@contextlib.contextmanager
def opened_blocks(objects: Objects, row: Row, begin: int, size: int) -> Generator[Iterator[Buffer]]:
    """Give the block an iterator of a range's bytes, by blocking reads, for threads.

    The bytes stay while the block lasts, whatever becomes of the version; to be entered in the
    event loop's thread, at once when the row was found. The iterator raises as `open_range` does.
    """
    pieces = _pieces(objects, row, begin, size)
    pins = {piece.file or each.place.segment for each, piece, _, _ in pieces}
    with objects.files.pinned(pins):
        yield _blocks(objects, pieces)


def _blocks(objects: Objects, pieces: list[tuple[Row, Piece, int, int]]) -> Iterator[Buffer]:
    for each, piece, offset, count in pieces:
        yield from objects.read(each, piece, offset, count)


def _pieces(objects: Objects, row: Row, begin: int, size: int) -> list[tuple[Row, Piece, int, int]]:
    """Return which pieces make up a range, and of each the offset and size in it."""
    version = row.version
    if version.piece is not None:
        return [(row, version.piece, begin, size)]
    found: list[tuple[Row, Piece, int, int]] = []
    at, end = 0, begin + size
    wanted = {number for number, _ in version.parts}
    for each in store.parts(objects.reader, version.upload_id):
        part = each.part
        if part.number not in wanted:
            continue
        low, high = max(begin, at), min(end, at + part.piece.size)
        if low < high:
            found.append((each, part.piece, low - at, high - low))
        at += part.piece.size
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
