"""Making room: what counts of the log's oldest segment is written anew at its end, the rest goes.

Always the oldest first, so that the log is whole from some place on, and no record that says that
something is gone has to outlive what it speaks of. What never changes is copied along; since it
begins when a third of the log is dead, about two bytes are copied for each that is written, at worst,
and the log takes half as much again as what counts in it.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from skerry.objects import log, segments
from skerry.objects.records import Counters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skerry.objects.context import Objects
    from skerry.objects.records import Framed
    from skerry.objects.rows import Place
    from skerry.objects.writer import Transaction

_BATCH_BYTES = 1 << 20  # others who write wait for so much
_DEAD_SHARE = 1 / 3
_LOOK_NS = 30 * 10**9


async def keep_room(objects: Objects) -> None:
    """Make room whenever much of the log counts no more, for ever. Raises as `compact` does."""
    while True:
        while is_wanted(objects):
            await compact(objects)
        await objects.clock.sleep_ns(_LOOK_NS)


def is_wanted(objects: Objects) -> bool:
    """Tell whether it is worth it: a third of the log is dead, and that is a segment at least."""
    there = objects.disk.segments()
    if len(there) < 2:
        return False
    size, dead = sum(map(objects.disk.size, there)), segments.dead_bytes(objects.reader)
    return dead >= max(size * _DEAD_SHARE, objects.writer.segment_bytes)


async def compact(objects: Objects) -> int:
    """Give back the oldest segment, if it has its end; return how many bytes were written for it.

    At any moment of it the log says the same. Raises Failed(data_unreadable, log_broken),
    LimitReached(data_full), NotAvailable(data_unwritable, store_broken, slow_down).
    """
    there = objects.disk.segments()
    if len(there) < 2:
        return 0
    oldest, written = there[0], 0
    loop = asyncio.get_running_loop()
    batches = log.batches(objects.disk, oldest, _BATCH_BYTES)
    while (batch := await loop.run_in_executor(objects.threads, next, batches, None)) is not None:
        began_ns = objects.clock.monotonic_ns()
        written += await objects.writer.write(
            functools.partial(_again, batch), _BATCH_BYTES, makes_room=True
        )
        # Half of the writer's time is for others.
        await objects.clock.sleep_ns(objects.clock.monotonic_ns() - began_ns)
    await objects.writer.write(functools.partial(_leave, oldest), makes_room=True)
    # Else the index, set back by a power cut, might ask for records of the segment again.
    await objects.writer.settle()
    await objects.files.remove_segment(oldest)
    return written


def _again(batch: Sequence[tuple[Place, Framed]], made: Transaction) -> int:
    before = made.pending_bytes
    for place, framed in batch:
        if segments.counts(made.connection, place, framed.record):
            made.put(framed.record, [framed.data] if framed.data_size else [], framed.data_crc)
    return made.pending_bytes - before


def _leave(segment: int, made: Transaction) -> None:
    made.put(Counters(made.sequence, made.bucket))
    segments.forget(made.connection, segment)
