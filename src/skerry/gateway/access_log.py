"""The access log: a line of JSON for each request, without anything that could be a secret.

Lines are made and written once a moment, in a thread, so that requests do not wait for the disk.
The file is bounded: at its limit it becomes the older one, in place of the one before.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Sequence

import msgspec

from skerry.base import rfc3339

_BYTES_MAX = 32 << 20
_WAITING_MAX = 100_000  # of lines that a disk does not take; more are counted, not kept


class Entry(msgspec.Struct):
    """One request. path: without the query, which often holds secrets."""

    at_ns: int
    client: str
    host: str
    method: str
    path: str
    status: int
    bytes_out: int
    duration_ms: float
    box_id: str | None


class AccessLog:
    """A file of entries, and those that wait to be written into it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: list[Entry] = []
        self._lost = 0

    def add(self, entry: Entry) -> None:
        """Remember an entry."""
        if len(self._waiting) < _WAITING_MAX:
            self._waiting.append(entry)
        else:
            self._lost += 1

    async def flush(self) -> None:
        """Write what waits. What a full disk does not take is counted as lost in a later line."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        try:
            await asyncio.to_thread(self._write, waiting, lost)
        except OSError:
            self._lost += lost + len(waiting)

    def _write(self, entries: Sequence[Entry], lost: int) -> None:
        lines = [_line(entry) for entry in entries]
        if lost:
            lines.append(msgspec.json.encode({"lost": lost}))
        self._append(b"\n".join(lines) + b"\n")

    def _append(self, data: bytes) -> None:
        # Opened each time: whoever rotates it from outside need tell nobody.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            if os.write(file, data) < len(data):
                os.ftruncate(file, size)  # no line is left in half
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)
        if size + len(data) > _BYTES_MAX:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._path, self._path + ".1")


def _line(entry: Entry) -> bytes:
    shape = {"time": rfc3339(entry.at_ns)}
    shape.update(
        {name: value for name, value in msgspec.structs.asdict(entry).items() if name != "at_ns"}
    )
    return msgspec.json.encode(shape)
