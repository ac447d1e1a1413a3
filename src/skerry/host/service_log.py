"""Reading the log of a service: its last lines, through older files too, and what comes after."""

import asyncio
import contextlib
import fcntl
import gzip
import os
import time
import zlib
from collections.abc import AsyncIterator

from skerry.holder.log_file import archives

LINES_MAX = 100_000
_LOOK_EVERY_S = 0.1
_PUMP_END_S_MAX, _PUMP_LOOK_S = 5.0, 0.005
_BLOCK_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024


async def read_log(directory: str, name: str, *, lines: int, follow: bool) -> AsyncIterator[bytes]:
    """Yield pieces of whole lines: the last so many, then, if follow, all until the log is deleted.

    A file that was put aside is read to its end first; who reads so slowly that another one is put
    aside meanwhile misses that. No log yet: nothing, until there is one.
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
                while file >= 0 and (rest := await asyncio.to_thread(_whole_lines, file)):
                    yield rest
                following = _open(path)
                if following < 0 and file >= 0 and os.fstat(file).st_nlink == 0:
                    return
                if following >= 0:
                    _close(file)
                    file = following
    finally:
        _close(file)


def delete_log(directory: str, name: str) -> None:
    """Delete a service's log and the older files of it, as far as they are there.

    The service has ended; waits until what it said last is written.
    """
    _wait_for_pump(f"{directory}/{name}.pid")
    with contextlib.suppress(FileNotFoundError):
        for file in (f"{name}.log", f"{name}.pid", *archives(directory, name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{directory}/{file}")


def _wait_for_pump(path: str) -> None:
    """Wait until no pump has the file that names it, see `holder.pump`; not for ever."""
    try:
        claim = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        deadline_s = time.monotonic() + _PUMP_END_S_MAX
        while time.monotonic() < deadline_s:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(_PUMP_LOOK_S)
    finally:
        os.close(claim)


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
    there = archives(directory, name)
    for archive in reversed(there):
        if missing <= 0:
            break
        if f"{archive}.gz" in there:  # compressed just now
            continue
        lines = _lines(_unpacked(f"{directory}/{archive}"))[-missing:]
        older.insert(0, b"".join(lines))
        missing -= len(lines)
    return file, [piece for piece in (*older, found) if piece]


def _unpacked(path: str) -> bytes:
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:  # compressed or dropped in this moment
        return b"" if path.endswith(".gz") else _unpacked(f"{path}.gz")
    except (
        OSError,
        EOFError,
        zlib.error,
    ):  # the disk broke, or the machine fell while it was written
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
    blocks: list[bytes] = []
    begin, newlines = end, 0
    while begin > 0 and newlines <= count:
        step = min(begin, _BLOCK_BYTES)
        begin -= step
        blocks.append(os.pread(file, step, begin))
        newlines += blocks[-1].count(b"\n")
    return b"".join(_lines(b"".join(reversed(blocks)))[-count:]) if count > 0 else b""


def _lines(data: bytes) -> list[bytes]:
    """Return the lines with their ends; a carriage return ends none, as progress is shown by it."""
    return [line + b"\n" for line in data.removesuffix(b"\n").split(b"\n")] if data else []


def _whole_lines(file: int) -> bytes:
    """Read on, up to the end of the last whole line; one that fills all is taken as it is."""
    data = os.read(file, _READ_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and len(data) == _READ_BYTES:
        return data
    if len(whole) < len(data):
        os.lseek(file, len(whole) - len(data), os.SEEK_CUR)
    return whole


def _is_aside(file: int, path: str) -> bool:
    """Tell whether path is another file by now: the open one was renamed or deleted."""
    status = os.fstat(file)
    try:
        return not os.path.samestat(status, os.stat(path))
    except FileNotFoundError:
        return status.st_nlink == 0
