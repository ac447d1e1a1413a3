"""What commands print: tables, JSON, sizes, ages, progress. Answers on stdout, the rest on stderr."""

import datetime as dt
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

from skerry.base import format_duration, format_size

_CLEAR_LINE = "\r\x1b[K"


def print_json(value: object) -> None:
    """Print value, of msgspec shapes, as JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_error(code: str, message: str, details: Mapping[str, object], *, as_json: bool) -> None:
    """Print an error as one line; as JSON in the shape that the API has."""
    if as_json:
        shape = {"error": code, "message": message, "details": dict(details)}
        print(msgspec.json.encode(shape).decode(), file=sys.stderr)
    else:
        print(f"skerry: {printable(message)}", file=sys.stderr)


def say(message: str) -> None:
    """Print a note about what was done, on stderr."""
    print(message, file=sys.stderr)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as they must be; nothing is cut."""
    if not rows:
        return
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    for row in [head, *shown]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())


def printable(text: str) -> str:
    """Return text with what would move a terminal's cursor or change its state escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(size_bytes: int | None) -> str:
    """Return a size as people write it, `-` where it is not known."""
    return "-" if size_bytes is None else format_size(size_bytes)


def age(moment: str | None) -> str:
    """Return how long ago an RFC 3339 time was, `-` where there is none."""
    if moment is None:
        return "-"
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - for a person's eyes, at the very rim
    past = now - dt.datetime.fromisoformat(moment)
    return f"{_whole(past)} ago"


def until(moment: str) -> str:
    """Return how long from now an RFC 3339 time is."""
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - for a person's eyes, at the very rim
    left = dt.datetime.fromisoformat(moment) - now
    return f"in {_whole(left)}"


def _whole(time: dt.timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    return f"{seconds} s" if seconds < 120 else format_duration(seconds * 10**9)


class ProgressLine:
    """One line on a terminal that says how far a piece of work is; silent where there is none."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shows = self._stream.isatty()

    def show(self, text: str) -> None:
        """Show text in place of what stood there."""
        if self._shows:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(_CLEAR_LINE + printable(text)[:width])
            self._stream.flush()

    def log(self, text: str) -> None:
        """Show text; where there is no terminal print it as a line of its own."""
        if self._shows:
            self.show(text)
        else:
            self._stream.write(printable(text) + os.linesep)

    def clear(self) -> None:
        """Take the line away."""
        if self._shows:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {printable(value)}".rstrip())
