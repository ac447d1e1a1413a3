"""The database: transactions, migrations, and what a crash or another version leaves."""

import asyncio
import sqlite3
import subprocess
from pathlib import Path

import pytest

from skerry.base import Failed, LimitReached, NotAvailable
from skerry.host.database import Database

THINGS = "CREATE TABLE things (name TEXT PRIMARY KEY) STRICT;"
SIZES = "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7;"


def add(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("INSERT INTO things (name) VALUES (?)", (name,))


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM things ORDER BY name")]


def opened(folder: Path, *steps: str) -> Database:
    return Database.open(folder / "skerry.db", {"things": steps})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    database = opened(tmp_path, THINGS)

    asyncio.run(database.write(lambda c: add(c, "a")))

    assert database.read(names) == ["a"]
    database.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path, THINGS)

    def work(connection: sqlite3.Connection) -> None:
        add(connection, "a")
        add(connection, "a")

    with pytest.raises(sqlite3.IntegrityError):
        asyncio.run(database.write(work))
    asyncio.run(database.write(lambda c: add(c, "b")))

    assert database.read(names) == ["b"]
    database.close()


def test_writes_at_once_take_turns(tmp_path: Path) -> None:
    database = opened(tmp_path, THINGS)

    async def work() -> None:
        await asyncio.gather(*(database.write(lambda c, n=n: add(c, f"{n:02}")) for n in range(20)))

    asyncio.run(work())

    assert database.read(names) == [f"{n:02}" for n in range(20)]
    database.close()


def test_a_later_version_brings_tables_up_to_date_once(tmp_path: Path) -> None:
    database = opened(tmp_path, THINGS)
    asyncio.run(database.write(lambda c: add(c, "a")))
    database.close()

    for _ in range(2):
        database = opened(tmp_path, THINGS, SIZES)
        found = database.read(lambda c: c.execute("SELECT name, size FROM things").fetchall())
        database.close()
        assert found == [("a", 7)]


def test_a_migration_that_fails_is_not_half_done(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        opened(tmp_path, f"{THINGS} CREATE TABLE bad (;")

    database = opened(tmp_path, THINGS)

    assert database.read(names) == []
    database.close()


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    opened(tmp_path, THINGS, SIZES).close()

    with pytest.raises(Failed) as caught:
        opened(tmp_path, THINGS)

    assert caught.value.code == "database_newer"


def test_a_commit_is_on_the_disk_when_it_is_acknowledged(tmp_path: Path) -> None:
    database = opened(tmp_path, THINGS)

    def settings(connection: sqlite3.Connection) -> list[object]:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]

    assert asyncio.run(database.write(settings)) == ["wal", 2, 1]
    database.close()


def fill(database: Database) -> None:
    for number in range(1000):
        asyncio.run(database.write(lambda c, n=number: add(c, f"{n}" + "x" * 4000)))


@pytest.mark.machine
def test_a_full_file_system_is_told_and_room_mends_it(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", tmp_path], check=True)
    try:
        database = opened(tmp_path, THINGS)
        (tmp_path / "filler").write_bytes(b"x" * 600_000)
        with pytest.raises((LimitReached, NotAvailable)) as caught:
            fill(database)
        assert caught.value.code in ("data_full", "data_unwritable")
        assert str(tmp_path) in caught.value.message
        kept = len(database.read(names))
        (tmp_path / "filler").unlink()
        asyncio.run(database.write(lambda c: add(c, "after")))
        assert len(database.read(names)) == kept + 1
        database.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
