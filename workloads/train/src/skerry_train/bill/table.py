"""Tables: rows of values, as Markdown for people and as CSV for programs.

It does not know what the values mean; each column knows how to write its own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from skerry_train.bill.money import dollars, duration

Value: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column. name: its head in CSV, with the unit. show: writes a value for people."""

    name: str
    head: str
    show: Callable[[Value], str]
    is_text: bool = False


@dataclass(frozen=True)
class Table:
    """A table. name: what its CSV file is called. Notes stand below it."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    notes: Sequence[str] = field(default_factory=tuple[str, ...])

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows)


def markdown(table: Table) -> str:
    """Return a table as Markdown, below its title; what a column can not tell is `-`."""
    heads = [each.head for each in table.columns]
    rules = [":---" if each.is_text else "---:" for each in table.columns]
    rows = [
        [_cell(each.show(value)) for each, value in zip(table.columns, row, strict=True)]
        for row in table.rows
    ]
    lines = [f"| {' | '.join(row)} |" for row in ([_cell(head) for head in heads], rules, *rows)]
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([f"## {table.title}", "", *lines, *notes, ""])


def csv_text(table: Table) -> str:
    """Return a table as CSV: exact values, an empty field for what is not known."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([each.name for each in table.columns])
    writer.writerows([_field(value) for value in row] for row in table.rows)
    return file.getvalue()


def text(name: str, head: str) -> Column:
    """Return a column of words."""
    return Column(name, head, lambda value: str(value or "-"), is_text=True)


def whole(name: str, head: str) -> Column:
    """Return a column of whole numbers."""
    return Column(name, head, lambda value: _written(value, ",.0f"))


def decimal(name: str, head: str, places: int, *, sign: str = "") -> Column:
    """Return a column of numbers with so many decimal places. sign: `+` writes one for gains too."""
    return Column(name, head, lambda value: _written(value, f"{sign}.{places}f"))


def money(name: str, head: str) -> Column:
    """Return a column of micro-dollars."""
    return Column(f"{name}_usd_micros", head, lambda value: dollars(_int(value)))


def seconds(name: str, head: str) -> Column:
    """Return a column of seconds."""
    return Column(
        f"{name}_s", head, lambda value: duration(None if value is None else float(value))
    )


def _written(value: Value, form: str) -> str:
    return "-" if value is None else format(float(value), form)


def _int(value: Value) -> int | None:
    return None if value is None else int(value)


def _field(value: Value) -> Value:
    if isinstance(value, str):
        return " ".join(value.split())  # a lone carriage return would not be quoted
    return "" if value is None else value


def _cell(words: str) -> str:
    # A bar or a line end in a run's name would break the row.
    return " ".join(words.replace("\\", "\\\\").replace("|", "\\|").split())
