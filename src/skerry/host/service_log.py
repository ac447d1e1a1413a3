"""Reading the log of a service: its last lines, through older files too, and what comes after."""

import asyncio
import gzip
import os
from collections.abc import AsyncIterator

from skerry.holder.log_file import archives

LINES_MAX = 100_000
_LOOK_EVERY_S = 0.1
_BLOCK_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024


async def read_log(directory: str, name: str, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
    """Yield pieces of whole lines: the last so many, then, if follow, all that come, for ever.

    A file that was put aside is read to its end first. No log yet: nothing, until there is one.
    """
    path = f"{directory}/{name}.log"
    file, last = await asyncio.to_thread(
        _open_at_tail, directory, name, path, min(lines, LINES_MAX)
    )
    try:
        for piece in last:
            yield piece
        while follow:
            piece = await asyncio.to_thread(_whole_lines, file) if file >= 0 else b""
            if piece:
                yield piece
                continue
            await asyncio.sleep(_LOOK_EVERY_S)
            if file < 0 or await asyncio.to_thread(_is_aside, file, path):
                rest = await asyncio.to_thread(_whole_lines, file) if file >= 0 else b""
                if rest:
                    yield rest
                following = _open(path)
                if following >= 0:
                    _close(file)
                    file = following
    finally:
        _close(file)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _close(file: int) -> None:
    if file >= 0:
        os.close(file)


def _open_at_tail(directory: str, name: str, path: str, count: int) -> tuple[int, list[bytes]]:
    """Return the open log, at the end of its last whole line, and the last lines in pieces."""
    file = _open(path)
    if file < 0:
        return file, []
    end = _last_line_end(file, os.fstat(file).st_size)
    os.lseek(file, end, os.SEEK_SET)
    found = _last_lines(file, end, count)
    missing = count - found.count(b"\n")
    older: list[bytes] = []
    for archive in sorted(archives(directory, name), reverse=True):
        if missing <= 0:
            break
        lines = _unpacked(f"{directory}/{archive}").splitlines(keepends=True)[-missing:]
        older.insert(0, b"".join(lines))
        missing -= len(lines)
    return file, [piece for piece in (*older, found) if piece]


def _unpacked(path: str) -> bytes:
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            return file.read()
    except (OSError, EOFError):  # compressed or dropped in this moment
        return b""


def _last_line_end(file: int, size: int) -> int:
    while size > 0:
        begin = max(0, size - _BLOCK_BYTES)
        at = os.pread(file, size - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        size = begin
    return 0


def _last_lines(file: int, end: int, count: int) -> bytes:
    found, begin = b"", end
    while begin > 0 and found.count(b"\n") <= count:
        step = min(begin, _BLOCK_BYTES)
        begin -= step
        found = os.pread(file, step, begin) + found
    lines = found.splitlines(keepends=True)
    return b"".join(lines[-count:]) if count > 0 else b""


def _whole_lines(file: int) -> bytes:
    """Read on, up to the end of the last whole line."""
    data = os.read(file, _READ_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.lseek(file, len(whole) - len(data), os.SEEK_CUR)
    return whole


def _is_aside(file: int, path: str) -> bool:
    """Tell whether path is another file by now: the open one was renamed, and gets no more."""
    try:
        return not os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
