"""SQLite as the one store of state: durable when a write returns, migrated by number.

Knows no table: each domain brings its migrations and runs its own SQL on the connection it is given.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from skerry.base import Failed
from skerry.host.data_errors import writing_to

_T = TypeVar("_T")
_BUSY_S = 10  # only another program that looks into the file can hold a lock for so long


class Database:
    """One SQLite file: one writer in a thread of its own, reads on the caller's thread.

    Reads are for the thread that opened it (the event loop's) and must be short.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._directory = path.parent
        self._writer = writer
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, "database")

    @classmethod
    def open(cls, path: Path, migrations: Mapping[str, Sequence[str]]) -> Self:
        """Open or make the file and bring each domain's tables to their newest form.

        migrations: by domain, in order; what was released is never changed, only added to. Raises
        Failed(database_newer) if the file was written by a later version, LimitReached(data_full),
        NotAvailable(data_unwritable).
        """
        with writing_to(path.parent):
            writer = _connect(path)
            try:
                _migrate(writer, migrations)
                return cls(path, writer, _connect(path))
            except BaseException:
                writer.close()
                raise

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what work reads."""
        return work(self._reader)

    async def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run work in one transaction; it is on disk when this returns, or not done at all.

        Raises LimitReached(data_full), NotAvailable(data_unwritable), and what work raises.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transaction, work)

    def _transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with writing_to(self._directory):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # SQLite takes some back by itself
                    self._writer.execute("ROLLBACK")
                raise
        return result

    def close(self) -> None:
        """Finish the write under way and close the file."""
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit that was acknowledged survives a power cut, not only a crash of ours.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, migrations: Mapping[str, Sequence[str]]) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (domain TEXT PRIMARY KEY, done INTEGER NOT NULL)"
    )
    for domain, steps in migrations.items():
        row = connection.execute(
            "SELECT done FROM migrations WHERE domain = ?", (domain,)
        ).fetchone()
        done = row[0] if row else 0
        if done > len(steps):
            raise Failed(
                "database_newer",
                f"The database was written by a later version of Skerry ({domain} {done}). "
                "Start that version.",
            )
        for number, step in enumerate(steps[done:], start=done + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE; {step}; "  # noqa: S608 - our own text, no values of others
                f"INSERT OR REPLACE INTO migrations VALUES ('{domain}', {number}); COMMIT;"
            )
