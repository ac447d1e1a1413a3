"""Reading the log: records by their place, or all from a place on."""

from collections.abc import Iterator

from skerry.base import Failed
from skerry.objects.disk import Disk
from skerry.objects.records import (
    HEAD_BYTES,
    BadRecord,
    Framed,
    framed_size,
    head_sizes,
    read,
)
from skerry.objects.rows import Place

_READ_BYTES = 4 << 20


def read_from(disk: Disk, place: Place, after_serial: int) -> Iterator[tuple[Place, Framed]]:
    """Yield the records from a place on, to the end of the log or to what is no whole record.

    after_serial: of the last one before; serials only grow, or what lies there is older than that
    end. Raises Failed(data_unreadable, log_broken): the latter where something whole cannot be read
    although more comes after it.
    """
    serial = after_serial
    segments = [each for each in disk.segments() if each >= place.segment]
    for segment in segments:
        if segment - segments[0] != segments.index(segment):
            raise _broken(f"The log has no segment {segment - 1}.")
        end = place.offset if segment == place.segment else 0
        for offset, framed in _records(disk, segment, end):
            if framed.serial <= serial:
                break
            serial, end = framed.serial, offset + framed.size
            yield Place(segment, offset), framed
        if segment != segments[-1] and end < disk.size(segment):
            raise _broken(f"Segment {segment} of the log cannot be read from byte {end} on.")


def batches(disk: Disk, segment: int, bytes_max: int) -> Iterator[list[tuple[Place, Framed]]]:
    """Yield the records of a segment that has its end, with their data, about so much at once.

    Raises Failed(data_unreadable, log_broken).
    """
    batch: list[tuple[Place, Framed]] = []
    size = end = 0
    for offset, framed in _records(disk, segment, 0):
        batch.append((Place(segment, offset), framed))
        size, end = size + framed.size, offset + framed.size
        if size >= bytes_max:
            yield batch
            batch, size = [], 0
    if end < disk.size(segment):
        raise _broken(f"Segment {segment} of the log cannot be read from byte {end} on.")
    yield batch


def _broken(message: str) -> Failed:
    return Failed(
        "log_broken", f"{message} The disk has changed it. Take the directory from a backup."
    )


def _records(disk: Disk, segment: int, offset: int) -> Iterator[tuple[int, Framed]]:
    """Yield the records of a segment and where they begin, up to what is none."""
    begin, block = offset, b""
    while True:
        have = begin + len(block) - offset
        size = _size(block[offset - begin : offset - begin + HEAD_BYTES]) if have else None
        if size is None and have >= HEAD_BYTES:
            return
        if size is None or have < size:
            more = disk.read(segment, offset, max(_READ_BYTES, size or 0))
            if len(more) <= have or (size is not None and len(more) < size):
                return
            begin, block = offset, more
            continue
        try:
            framed = read(memoryview(block)[offset - begin : offset - begin + size], with_data=True)
        except BadRecord:
            return
        yield offset, framed
        offset += size


def _size(head: bytes) -> int | None:
    try:
        return framed_size(*head_sizes(head))
    except BadRecord:
        return None
