"""The store as a whole: opened from what is on disk, read by all, written through one writer."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from skerry.base import Clock, Failed
from skerry.objects import index, segments, store
from skerry.objects.blocks import FileWriter, checked, read_blocks
from skerry.objects.disk import Disk
from skerry.objects.files import Files
from skerry.objects.log import read_from
from skerry.objects.masters import Masters
from skerry.objects.model import Key, Piece, User
from skerry.objects.records import Buffer
from skerry.objects.rows import Applied, Changes, Place, Row
from skerry.objects.writer import SEGMENT_BYTES, Transaction, Writer

_T = TypeVar("_T")
INLINE_BYTES_MAX = 1 << 20
"""What is larger lies in a file of its own. A byte in the log may be copied when room is made."""

_KIND_BITS = 0xFF  # of SQLite's result codes; those above say more of the same kind
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REPLAY_BATCH = 10_000
_FILE_BYTES_OF_ID = 12


class Holder(NamedTuple):
    """An access key and whose it is."""

    key: Key
    user: User


@dataclass(slots=True)
class Objects:
    """The context of every verb. reader: for the event loop's thread alone; its uses are short.

    holders: access keys that were looked for and found; emptied when any of them changes. ruled: set
    when the rules of a bucket have changed; noticed: when somebody is to be told of something.
    targets: whom notices may be told. masters: by which versions are sealed, where any are.
    """

    disk: Disk
    writer: Writer
    reader: sqlite3.Connection
    clock: Clock
    entropy: Callable[[int], bytes]
    threads: ThreadPoolExecutor
    files: Files
    holders: dict[str, Holder] = field(default_factory=dict[str, Holder])
    ruled: asyncio.Event = field(default_factory=asyncio.Event)
    noticed: asyncio.Event = field(default_factory=asyncio.Event)
    targets: Collection[str] = ()
    masters: Masters | None = field(default=None, repr=False)

    async def write(
        self, work: Callable[[Transaction], _T], piece: Piece, data: Sequence[Buffer]
    ) -> _T:
        """Write what names a new piece, whose file goes again if that fails. Raises as it does."""
        try:
            return await self.writer.write(work, piece.size if data else 0)
        except Exception:
            # Where the log could not be put back it may name the file yet.
            if piece.file and not self.writer.is_broken:
                self.files.free([piece.file])
            raise

    async def close(self) -> None:
        """Finish what is being written, and close."""
        await asyncio.to_thread(self.writer.close)
        self.threads.shutdown()
        self.reader.close()

    def scratch(self) -> FileWriter:
        """Begin a file for the bytes of a big object. Raises as writing does."""
        return FileWriter(self.disk.scratch())

    def new_file_id(self) -> str:
        """Return the id for a new file."""
        return self.entropy(_FILE_BYTES_OF_ID).hex()

    def read(self, row: Row, piece: Piece, offset: int, size: int) -> Iterator[Buffer]:
        """Yield a range of a piece's bytes, checked, by blocking reads.

        Raises Failed(data_unreadable, data_changed).
        """
        if piece.file:
            yield from read_blocks(self.disk, piece, offset, size)
            return
        data = self.disk.read(row.place.segment, row.data_offset, piece.size)
        yield checked(piece, data)[offset : offset + size]


def open_objects(
    disk: Disk,
    connect: Callable[[], sqlite3.Connection],
    clock: Clock,
    entropy: Callable[[int], bytes],
    segment_bytes: int = SEGMENT_BYTES,
) -> Objects:
    """Open the store, with the index brought to where the log ends; to be called in the loop.

    connect: opens the index, an SQLite file whose commits need not be synced; an empty one is made
    anew from the log. segment_bytes: see `Writer`. Raises Failed(log_broken, index_broken,
    data_unreadable), LimitReached(data_full), NotAvailable(data_unwritable).
    """
    with _index_told():
        writing = connect()
    try:
        with _index_told():
            catch_up(disk, writing, clock.now_ns())
            # Before anybody writes: what is kept from now on is named by the index a moment later.
            orphans = [file for file in disk.files() if not store.has_file(writing, file)]
        threads = ThreadPoolExecutor(4, "object-disk")
        files, loop = Files(disk, threads), asyncio.get_running_loop()
        files.free(orphans)
        noticed = asyncio.Event()

        def committed(changes: Changes) -> None:
            if changes.freed:
                loop.call_soon_threadsafe(files.free, changes.freed)
            if changes.has_notices:
                loop.call_soon_threadsafe(noticed.set)

        writer = Writer(disk, writing, clock.now_ns, committed, segment_bytes)
    except BaseException:
        writing.close()
        raise
    return Objects(disk, writer, connect(), clock, entropy, threads, files, noticed=noticed)


def catch_up(disk: Disk, connection: sqlite3.Connection, now_ns: int) -> None:
    """Have the index say what the log says, and the log end with its last whole record."""
    segments.lay_out(connection)
    end, serial = segments.place(connection)
    there = disk.segments()
    if serial and there and end.segment < there[0]:  # it is older than what was compacted
        segments.forget_all(connection)
        end, serial = segments.place(connection)
    elif serial and end.segment not in there:
        raise Failed("log_broken", f"Segment {end.segment} of the log is not there.")
    elif serial and disk.size(end.segment) < end.offset:
        # As in a copy that was made while the store was written. What is written now would lie
        # behind a hole, and be lost with the index.
        raise Failed(
            "log_broken",
            f"Segment {end.segment} of the log ends at byte {disk.size(end.segment)}, the index knows "
            f"of {end.offset}. Take the directory from a backup, or remove index.db to go on with what "
            "the log has.",
        )
    count = 0
    connection.execute("BEGIN IMMEDIATE")
    tells = serial > 0  # what an index that is made anew learns has happened long ago
    changes = Changes(sequence=segments.sequence(connection), tells=tells)
    for place, framed in read_from(disk, end, serial):
        applied = Applied(place, framed.record, framed.said, framed.data_size)
        index.apply(connection, changes, applied, now_ns)
        end, serial, count = (
            Place(place.segment, place.offset + framed.size),
            framed.serial,
            count + 1,
        )
        if count % _REPLAY_BATCH == 0:
            _commit(connection, changes, end, serial)
            changes = Changes(sequence=changes.sequence, tells=tells)
            connection.execute("BEGIN IMMEDIATE")
    end = Place(there[-1], 0) if there and there[-1] > end.segment else end
    if not tells:
        segments.forget_lost_parts(connection, changes)
        segments.finish(connection)
    _commit(connection, changes, end, serial)
    if end.segment not in there:
        disk.make_segment(end.segment)
    elif disk.size(end.segment) > end.offset:
        disk.cut(end.segment, end.offset)


@contextlib.contextmanager
def _index_told() -> Generator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & _KIND_BITS not in _BROKEN:
            raise
        raise Failed(
            "index_broken",
            "The index of the objects has been damaged. Remove index.db, index.db-wal and "
            f"index.db-shm: it is made anew from the log, which has all that it said. ({error})",
        ) from error


def _commit(connection: sqlite3.Connection, changes: Changes, end: Place, serial: int) -> None:
    store.settle(connection, changes)
    connection.execute(
        "UPDATE place SET segment = ?, offset = ?, serial = ?, "
        "sequence = max(sequence, ?), bucket = max(bucket, ?)",
        (*end, serial, changes.sequence, changes.bucket),
    )
    connection.execute("COMMIT")
