"""The one who writes: many at once share one sync of the log and one transaction of the index.

What is asked for while a batch is being synced makes up the next one. Each *work* looks at the
index and puts records; its caller hears of it once both are durable: the records synced in the log,
the index committed. The index itself may lose its last transactions in a power cut; when the store
is opened they are read again from the log.

**Invariant:** the index never names a record that is not synced, and nobody is answered before both
say the same. A work that raises has put nothing.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from skerry.base import Failed, LimitReached, NotAvailable, SkerryError
from skerry.objects import index, store
from skerry.objects.blocks import checked
from skerry.objects.disk import Disk
from skerry.objects.model import Piece
from skerry.objects.records import Buffer, Record, frame, say
from skerry.objects.rows import Applied, Changes, Place, Row

_T = TypeVar("_T")
SEGMENT_BYTES = 256 << 20
_KIND_BITS = 0xFF  # of SQLite's result codes; those above say more of the same kind
_BATCH_MAX = 256
_BATCH_BYTES_MAX = 16 << 20
_CHECKPOINT_RECORDS = (
    4000  # each dirties a few pages of the index; reading so many again takes 0.1 s
)


@dataclass(slots=True)
class Transaction:
    """What a work may do: look at the index, and put records. now_ns: one moment for all of it.

    The index shows what earlier works of the batch have put. pending: the bytes for the log.
    """

    disk: Disk
    connection: sqlite3.Connection
    now_ns: int
    segment: int
    offset: int
    serial: int
    sequence: int
    bucket: int
    pending: list[Buffer] = field(default_factory=list[Buffer])
    pending_bytes: int = 0
    changes: Changes = field(default_factory=Changes)
    _data: dict[Place, Sequence[Buffer]] = field(default_factory=dict[Place, Sequence[Buffer]])

    def next_sequence(self) -> int:
        """Return a number that is higher than all before."""
        self.sequence += 1
        return self.sequence

    def next_bucket(self) -> int:
        """Return the number for a new bucket, which none had before."""
        self.bucket += 1
        return self.bucket

    def put(self, record: Record, data: Sequence[Buffer] = (), data_crc: int = 0) -> None:
        """Write a record and have the index know it. data_crc: the CRC-64/NVME of all data."""
        self.serial += 1
        said = say(record)
        pieces = frame(record, said, self.serial, data, data_crc)
        place = Place(self.segment, self.offset + self.pending_bytes)
        size = sum(map(len, pieces))
        self.pending += pieces
        self.pending_bytes += size
        data_size = sum(map(len, data))
        if data:
            self._data[place] = data
        applied = Applied(place, record, said, data_size)
        index.apply(self.connection, self.changes, applied, self.now_ns)

    def data_of(self, row: Row, piece: Piece) -> Sequence[Buffer]:
        """Return the bytes of a piece that lies in the log, which may be on its way there only now.

        Raises Failed(data_unreadable, data_changed).
        """
        coming = self._data.get(row.place)
        if coming is not None:
            return coming
        data = self.disk.read(row.place.segment, row.data_offset, piece.size)
        return [checked(piece, data)]


@dataclass(slots=True)
class _Asked(Generic[_T]):
    work: Callable[[Transaction], _T]
    answer: asyncio.Future[_T]
    size: int
    makes_room: bool = False
    settles: bool = False


class Writer:
    """A thread with the store's one writing connection."""

    def __init__(
        self,
        disk: Disk,
        connection: sqlite3.Connection,
        now_ns: Callable[[], int],
        committed: Callable[[Changes], None],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Begin.

        committed: told of files that nothing names any more, and of notices, in the writer's thread.
        segment_bytes: how long a segment of the log grows before the next one begins.
        """
        self._disk = disk
        self._connection = connection
        self._now_ns = now_ns
        self._committed = committed
        self.segment_bytes = segment_bytes
        self._asked: queue.SimpleQueue[_Asked[Any] | None] = queue.SimpleQueue()
        self._checkpointed = 0
        self._broken: SkerryError | None = None
        self._thread = threading.Thread(target=self._run, name="object-writer")
        self._thread.start()

    async def write(
        self, work: Callable[[Transaction], _T], size: int = 0, *, makes_room: bool = False
    ) -> _T:
        """Run work and return what it returns, once that is durable.

        size: about how many bytes it writes. makes_room: it takes away more in the end, and is done
        on a disk that has only its reserve left. Raises what work raises, LimitReached(data_full),
        NotAvailable(data_unwritable, store_broken).
        """
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._asked.put(_Asked(work, answer, size, makes_room))
        return await answer

    async def settle(self) -> None:
        """Return once all of the index is on disk: what it follows from is not needed any more.

        Raises NotAvailable(slow_down) where somebody reads it all the time, and as `write` does.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.put(_Asked(lambda _made: None, answer, 0, makes_room=True, settles=True))
        await answer

    @property
    def is_broken(self) -> bool:
        """Whether it will never write again, since the log could not be put back."""
        return self._broken is not None

    def close(self) -> None:
        """Finish what was asked for, and end."""
        self._asked.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._batch()
            if batch:
                self._write(batch)

    def _batch(self) -> tuple[list[_Asked[Any]], bool]:
        """Return what was asked for, at least one, and whether more may come."""
        batch: list[_Asked[Any]] = []
        size = 0
        first = self._asked.get()
        while first is not None:
            batch.append(first)
            size += first.size
            if len(batch) == _BATCH_MAX or size > _BATCH_BYTES_MAX:
                return batch, True
            try:
                first = self._asked.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _write(self, batch: Sequence[_Asked[Any]]) -> None:
        answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        taken = batch
        try:
            if self._broken is not None:
                raise self._broken
            if (refused := self._refusal()) is not None:
                taken = [asked for asked in batch if asked.makes_room]
                answers += [(each.answer, None, refused) for each in batch if not each.makes_room]
            answers += [
                (asked.answer, result, error) for asked, result, error in self._commit(taken)
            ]
        except sqlite3.OperationalError as error:
            answers += [(asked.answer, None, _of_index(error)) for asked in taken]
        except Exception as error:  # noqa: BLE001 - all of them have callers who wait
            answers += [(asked.answer, None, error) for asked in taken]
        loop = batch[0].answer.get_loop()
        loop.call_soon_threadsafe(_answer, answers)

    def _refusal(self) -> SkerryError | None:
        """Return why only what makes room may be written now, None where all may."""
        try:
            self._disk.check_room()
        except SkerryError as error:
            return error
        return None

    def _commit(
        self, batch: Sequence[_Asked[Any]]
    ) -> list[tuple[_Asked[Any], Any, BaseException | None]]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = self._transaction()
            results = [(asked, *_result_of(asked.work, transaction)) for asked in batch]
            self._make_durable(transaction)
        except BaseException:
            if connection.in_transaction:  # SQLite takes some back by itself
                connection.execute("ROLLBACK")
            raise
        if transaction.changes.freed or transaction.changes.has_notices:
            self._committed(transaction.changes)
        if not any(asked.settles for asked in batch):
            self._checkpoint(transaction.serial)
            return results
        # All of it is durable by now: whoever else is in the batch is told so, whatever comes.
        unsettled = self._settle(transaction.serial)
        return [
            (asked, result, unsettled if asked.settles else error)
            for asked, result, error in results
        ]

    def _settle(self, serial: int) -> BaseException | None:
        """Have all of the index on disk; return why that can not be, None if it is."""
        self._checkpointed = serial
        query = "PRAGMA wal_checkpoint(FULL)"
        try:
            is_busy, pages, moved = self._connection.execute(query).fetchone()
        except sqlite3.OperationalError as error:
            return _of_index(error)
        is_whole = not is_busy and pages == moved
        return (
            None if is_whole else NotAvailable("slow_down", "The index is being read. Try again.")
        )

    def _checkpoint(self, serial: int) -> None:
        """Move what the index has in its write-ahead log into it, now and then."""
        if serial - self._checkpointed < _CHECKPOINT_RECORDS:
            return
        self._checkpointed = serial
        with contextlib.suppress(
            sqlite3.OperationalError
        ):  # no room for it now: a later one does it
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _transaction(self) -> Transaction:
        place = self._connection.execute(
            "SELECT segment, offset, serial, sequence, bucket FROM place"
        ).fetchone()
        made = Transaction(self._disk, self._connection, self._now_ns(), *place)
        made.changes.sequence = made.sequence
        return made

    def _make_durable(self, made: Transaction) -> None:
        if not made.pending:
            self._connection.execute("COMMIT")
            return
        try:
            self._disk.write(made.segment, made.offset, made.pending)
            segment, offset = made.segment, made.offset + made.pending_bytes
            if offset >= self.segment_bytes:
                segment, offset = segment + 1, 0
                self._disk.make_segment(segment)
            store.settle(self._connection, made.changes)
            self._connection.execute(
                "UPDATE place SET segment = ?, offset = ?, serial = ?, sequence = ?, bucket = ?",
                (segment, offset, made.serial, made.sequence, made.bucket),
            )
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._take_back(made.segment, made.offset, error)
            raise

    def _take_back(self, segment: int, offset: int, error: BaseException) -> None:
        """Have the log end where it did, or never write again: nothing that failed may stay in it."""
        try:
            self._disk.cut(segment, offset)
            self._disk.remove_segment(segment + 1)  # or what tears in this one would be an error
        except SkerryError:
            self._broken = NotAvailable(
                "store_broken",
                "The disk refused a write and could not be put back. Objects can be read; to write "
                f"again, look after the disk and start Skerry anew. ({error})",
            )


def _result_of(
    work: Callable[[Transaction], _T], transaction: Transaction
) -> tuple[_T | None, BaseException | None]:
    before = transaction.serial
    try:
        return work(transaction), None
    except sqlite3.OperationalError:
        raise  # SQLite may have taken all back by itself: nothing of the batch can be kept
    except Exception as error:
        if transaction.serial != before:
            raise Failed("half_written", "A write was given up in its middle.") from error
        return None, error


def _of_index(error: sqlite3.OperationalError) -> BaseException:
    """Return what a caller is told of an index that could not be written."""
    if error.sqlite_errorcode & _KIND_BITS == sqlite3.SQLITE_FULL:
        return LimitReached(
            "data_full",
            "The disk is full: the index of the objects takes no more. Make room on it.",
        )
    return error


def _answer(answers: Sequence[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.cancelled():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
