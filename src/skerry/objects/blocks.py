"""The bytes of big objects: files whose blocks each have a checksum, in a table at the file's end.

A range is read without the rest, and nothing is handed on that does not fit its checksum.
"""

import struct
from collections.abc import Iterator

from skerry.base import Failed
from skerry.objects.disk import Disk, Scratch
from skerry.objects.model import Piece
from skerry.objects.records import Buffer, crc_of

BLOCK_BYTES = 1 << 20
_CRC_BYTES = 8


class FileWriter:
    """A file that is being written, block by block."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._crcs: list[int] = []
        self._crc = 0
        self._filled = 0
        self.size = 0

    def write(self, data: Buffer) -> None:
        """Append data. Raises LimitReached(data_full), NotAvailable(data_unwritable)."""
        self._scratch.write(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            piece = view[: BLOCK_BYTES - self._filled]
            self._crc = crc_of(piece, self._crc)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == BLOCK_BYTES:
                self._end_block()

    def keep(self, file_id: str) -> Piece:
        """Have it on disk for good; return the piece that names it. Raises as `write` does."""
        if self._filled:
            self._end_block()
        table = struct.pack(f"<{len(self._crcs)}Q", *self._crcs)
        self._scratch.write(table)
        self._scratch.keep(file_id)
        return Piece(self.size, crc_of(table), file_id)

    def discard(self) -> None:
        """Let go of it. After `keep` nothing happens."""
        self._scratch.discard()

    def _end_block(self) -> None:
        self._crcs.append(self._crc)
        self._crc = self._filled = 0


def read_blocks(disk: Disk, piece: Piece, offset: int, size: int) -> Iterator[Buffer]:
    """Yield the bytes of a range, checked. Raises Failed(data_unreadable, data_changed)."""
    crcs = _table(disk, piece)
    end = offset + size
    for number in range(offset // BLOCK_BYTES, -(-end // BLOCK_BYTES)):
        begin = number * BLOCK_BYTES
        block = disk.read_file(piece.file, begin, min(BLOCK_BYTES, piece.size - begin))
        if crc_of(block) != crcs[number]:
            raise data_changed()
        yield memoryview(block)[max(0, offset - begin) : end - begin]


def checked(piece: Piece, data: bytes) -> memoryview:
    """Return the bytes of a piece that lies in the log. Raises Failed(data_changed)."""
    if len(data) != piece.size or crc_of(data) != piece.crc:
        raise data_changed()
    return memoryview(data)


def data_changed() -> Failed:
    """Return the error of bytes that are not those that were written."""
    return Failed(
        "data_changed",
        "The object's bytes have changed on the disk and are not given out. Put it again, and look "
        "after the disk.",
    )


def _table(disk: Disk, piece: Piece) -> tuple[int, ...]:
    count = -(-piece.size // BLOCK_BYTES)
    table = disk.read_file(piece.file, piece.size, count * _CRC_BYTES)
    if len(table) != count * _CRC_BYTES or crc_of(table) != piece.crc:
        raise data_changed()
    return struct.unpack(f"<{count}Q", table)
