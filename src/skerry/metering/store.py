"""The tables of the meter: the ledger, up to where each box has been counted, and budgets.

The only SQL of this domain. A row of the ledger is what one box used for one account in one hour.
What a reading adds and the reading itself are written in one transaction, so that a crash can
neither count twice nor forget what was counted.

Rows that get too old are not thrown away but added up: into the row of the box for `FOLDED_HOUR`,
or of no box once the box is gone. So the sum of all is always everything that was ever used.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal, TypeAlias

from skerry.metering.budgets import Budget
from skerry.metering.model import FIELDS, Counted, Reading, Usage

FOLDED_HOUR = 0
"""Stands for all the hours that are too old to be kept one by one."""

By: TypeAlias = Literal["hour", "day", "box", "total"]

# The hour is first: what one interval writes lies side by side, whatever the number of boxes.
_LEDGER = """
    CREATE TABLE ledger (
        hour INTEGER NOT NULL,
        box_id TEXT NOT NULL,
        account TEXT NOT NULL,
        box_name TEXT NOT NULL,
        cpu_us INTEGER,
        memory_kib_seconds INTEGER,
        warm_memory_kib_seconds INTEGER,
        written_bytes INTEGER,
        received_bytes INTEGER,
        sent_bytes INTEGER,
        stored_kib_seconds INTEGER,
        hot_kib_seconds INTEGER,
        running_ms INTEGER NOT NULL,
        warm_ms INTEGER NOT NULL,
        cold_ms INTEGER NOT NULL,
        machine_ms INTEGER NOT NULL,
        gap_ms INTEGER NOT NULL,
        PRIMARY KEY (hour, box_id, account)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ledger_by_box ON ledger (box_id, hour);
    CREATE INDEX ledger_by_name ON ledger (box_name, hour);
"""
MIGRATIONS: Sequence[str] = (
    _LEDGER
    + """
    CREATE TABLE readings (
        box_id TEXT PRIMARY KEY,
        at_ns INTEGER NOT NULL,
        box_name TEXT NOT NULL,
        account TEXT NOT NULL,
        state TEXT NOT NULL,
        epoch TEXT,
        cpu_ns INTEGER,
        memory_bytes INTEGER,
        written_bytes INTEGER,
        received_bytes INTEGER,
        sent_bytes INTEGER,
        stored_bytes INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE budgets (
        scope TEXT NOT NULL,
        target TEXT NOT NULL,
        name TEXT NOT NULL,
        period TEXT NOT NULL,
        cap INTEGER NOT NULL,
        book TEXT,
        set_at_ns INTEGER NOT NULL,
        PRIMARY KEY (scope, target)
    ) STRICT, WITHOUT ROWID;
    """,
)

_ADDED = ", ".join(
    f"{name} = CASE WHEN excluded.{name} IS NULL THEN {name} "
    f"ELSE COALESCE({name}, 0) + excluded.{name} END"
    for name in FIELDS
)
_SUMS = ", ".join(f"SUM({name})" for name in FIELDS)
_COLUMNS = ", ".join(FIELDS)
_ADD = f"ON CONFLICT (hour, box_id, account) DO UPDATE SET box_name = excluded.box_name, {_ADDED}"
_FOLD_HOURS_AT_ONCE = 2
_BY: Mapping[str, str] = {"hour": "hour", "day": "hour / 24", "box": "box_id, account", "total": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which rows of the ledger: from begin on, before end. box: an id or a name. None: all."""

    begin: int
    end: int
    box_id: str | None = None
    box: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Use added up. hour: the last that is in it; box_id, box_name: of the latest row in it."""

    hour: int
    box_id: str
    box_name: str
    account: str
    usage: Usage


# -- the ledger -----------------------------------------------------------------------------------


def add_usage(connection: sqlite3.Connection, hour: int, reading: Reading, usage: Usage) -> None:
    """Add to what a box has used in an hour."""
    values = (hour, reading.box_id, reading.account, reading.box_name, *astuple(usage))
    connection.execute(
        f"INSERT INTO ledger VALUES ({_marks(values)}) {_ADD}",  # noqa: S608 - names of columns
        values,
    )


def rows(connection: sqlite3.Connection, which: Which, by: By) -> list[Row]:
    """Return what was used, added up as by says; those that used nothing at all are not in it."""
    where, values = _where(which)
    group = f"GROUP BY {_BY[by]} ORDER BY {_BY[by]}" if _BY[by] else ""
    # With one MAX in it, SQLite takes the other columns from the row that has the greatest.
    query = (
        f"SELECT MAX(hour), box_id, box_name, account, {_SUMS} "  # noqa: S608 - names of columns
        f"FROM ledger WHERE {where} {group}"
    )
    found = connection.execute(query, values)
    return [
        Row(each[0], each[1], each[2], each[3], _usage(each[4:]))
        for each in found
        if each[0] is not None
    ]


def bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the first hour that is kept by itself, and the one after the last."""
    query = "SELECT MIN(hour), MAX(hour) + 1 FROM ledger WHERE hour > ?"
    first, end = connection.execute(query, (FOLDED_HOUR,)).fetchone()
    return (first, end) if first is not None else (FOLDED_HOUR + 1, FOLDED_HOUR + 1)


def days_of(which: Which, first: int, end: int) -> Iterator[Which]:
    """Yield which in parts of a day at most, within the hours that there are; the old first."""
    if which.begin <= FOLDED_HOUR < which.end:
        yield replace(which, begin=FOLDED_HOUR, end=FOLDED_HOUR + 1)
    begin, end = max(which.begin, first), min(which.end, end)
    while begin < end:
        following = min((begin // 24 + 1) * 24, end)
        yield replace(which, begin=begin, end=following)
        begin = following


def total(connection: sqlite3.Connection, which: Which) -> Usage:
    """Return all that was used, added up."""
    where, values = _where(which)
    query = f"SELECT {_SUMS} FROM ledger WHERE {where}"  # noqa: S608 - names of columns
    return _usage(connection.execute(query, values).fetchone())


def longest_metered_ms(connection: sqlite3.Connection, which: Which) -> int:
    """Return for how long the box that was there longest has been counted."""
    where, values = _where(which)
    times = (
        "SELECT SUM(running_ms + warm_ms + cold_ms) AS ms FROM ledger "  # noqa: S608
        f"WHERE {where} GROUP BY box_id"
    )
    return connection.execute(f"SELECT MAX(ms) FROM ({times})", values).fetchone()[0] or 0  # noqa: S608


def fold(connection: sqlite3.Connection, before_hour: int) -> None:
    """Add the oldest hours up, if they are older than before_hour, a few at a time.

    Few, because a clock that is years ahead for a moment must not cost the whole history: hours go
    twice as fast as they come, and no faster.
    """
    oldest = connection.execute(
        "SELECT DISTINCT hour FROM ledger WHERE hour > ? AND hour < ? ORDER BY hour LIMIT ?",
        (FOLDED_HOUR, before_hour, _FOLD_HOURS_AT_ONCE),
    ).fetchall()
    for (hour,) in oldest:
        connection.execute(
            f"INSERT INTO ledger SELECT {FOLDED_HOUR}, "  # noqa: S608 - names of columns
            "CASE WHEN box_id IN (SELECT box_id FROM readings) THEN box_id ELSE '' END AS kept, "
            "account, CASE WHEN box_id IN (SELECT box_id FROM readings) THEN box_name ELSE '' END, "
            f"{_SUMS} FROM ledger WHERE hour = ? GROUP BY kept, account {_ADD}",
            (hour,),
        )
        connection.execute("DELETE FROM ledger WHERE hour = ?", (hour,))


# -- readings -------------------------------------------------------------------------------------


def counted(connection: sqlite3.Connection) -> dict[str, Counted]:
    """Return up to where each box has been counted."""
    found = connection.execute(
        "SELECT at_ns, box_id, box_name, account, state, epoch, cpu_ns, memory_bytes, "
        "written_bytes, received_bytes, sent_bytes, stored_bytes FROM readings"
    )
    return {each[1]: _counted(each) for each in found}


def keep_counted(connection: sqlite3.Connection, done: Counted) -> None:
    """Write down up to where a box has been counted."""
    reading = done.reading
    values = (
        reading.box_id, done.at_ns, reading.box_name, reading.account, reading.state, reading.epoch,
        reading.cpu_ns, reading.memory_bytes, reading.written_bytes, reading.received_bytes,
        reading.sent_bytes, reading.stored_bytes,
    )  # fmt: skip
    connection.execute(
        f"INSERT OR REPLACE INTO readings VALUES ({_marks(values)})",  # noqa: S608 - only marks
        values,
    )


def forget_boxes(connection: sqlite3.Connection, box_ids: Collection[str]) -> None:
    """Drop what is kept of boxes that are gone for good, but for the ledger."""
    each = [(box_id,) for box_id in box_ids]
    connection.executemany("DELETE FROM readings WHERE box_id = ?", each)
    connection.executemany("DELETE FROM budgets WHERE scope = 'box' AND target = ?", each)


# -- budgets --------------------------------------------------------------------------------------


def put_budget(connection: sqlite3.Connection, budget: Budget) -> None:
    """Set a budget in place of the one that there was."""
    connection.execute(
        "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            budget.scope, budget.target, budget.name, budget.period, budget.cap, budget.book,
            budget.set_at_ns,
        ),
    )  # fmt: skip


def budgets(connection: sqlite3.Connection) -> list[Budget]:
    """Return all budgets, in the order of names."""
    found = connection.execute(
        "SELECT scope, target, name, period, cap, book, set_at_ns FROM budgets "
        "ORDER BY scope, name, target"
    )
    return [Budget(*each) for each in found]


def delete_budget(connection: sqlite3.Connection, scope: str, target: str) -> int:
    """Remove a budget; return how many there were."""
    return connection.execute(
        "DELETE FROM budgets WHERE scope = ? AND target = ?", (scope, target)
    ).rowcount


def _where(which: Which) -> tuple[str, list[object]]:
    where = ["hour >= ?", "hour < ?"]
    values: list[object] = [which.begin, which.end]
    if which.box_id is not None:
        where.append("box_id = ?")
        values.append(which.box_id)
    if which.box is not None:
        where.append("(box_id = ? OR box_name = ?)")
        values += [which.box, which.box]
    if which.account is not None:
        where.append("account = ?")
        values.append(which.account)
    return " AND ".join(where), values


def _usage(sums: Sequence[Any]) -> Usage:
    told = dict(zip(FIELDS, sums, strict=True))
    times = {name: told[name] or 0 for name in FIELDS if name.endswith("_ms")}
    return Usage(**(told | times))


def _counted(row: Sequence[Any]) -> Counted:
    reading = Reading(
        box_id=row[1],
        box_name=row[2],
        account=row[3],
        state=row[4],
        taken_ns=0,
        epoch=row[5],
        cpu_ns=row[6],
        memory_bytes=row[7],
        written_bytes=row[8],
        received_bytes=row[9],
        sent_bytes=row[10],
        stored_bytes=row[11],
    )
    return Counted(reading, row[0])


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
