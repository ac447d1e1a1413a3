"""Writing a run's lines down, and its summary.

It does not know what happens in the run.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from skerry_train.errors import NoRoom
from skerry_train.record.lines import METRICS, Clock, Line

SUMMARY = "summary.json"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to, over all its sessions. Money in millionths of a dollar."""

    run: str
    reason: str
    steps: int
    tokens: int
    tokens_per_s: float | None
    final_train_loss: float | None
    final_val_loss: float | None
    best_step: int | None
    best_loss: float | None
    clock_s: Clock
    world_size: int
    device: str
    machine: str | None
    price_usd_micros_per_hour: int | None
    cost_usd_micros: int | None
    cost_without_validation_usd_micros: int | None
    parameters: int
    global_batch: int
    microbatch: int
    peak_memory_bytes: int | None = None


class Journal:
    """`metrics.jsonl` of a run, open to be added to."""

    def __init__(self, run: Path) -> None:
        self._file = (run / METRICS).open("ab", buffering=0)
        # What was cut off in the middle of a line must not take the next one with it.
        if self._file.tell() and not _ends_with_a_line(run / METRICS):
            self._file.write(b"\n")

    def add(self, lines: Iterable[Line]) -> None:
        """Add lines in one write. Raises NoRoom if the disk is full."""
        text = b"".join(msgspec.json.encode(each) + b"\n" for each in lines)
        try:
            while text:
                text = text[self._file.write(text) :]
        except OSError as error:
            raise full(error, METRICS) from error

    def close(self) -> None:
        """Put it on disk and close it."""
        with self._file:
            os.fsync(self._file.fileno())


def write_summary(run: Path, summary: Summary) -> None:
    """Write a run's summary in place of an earlier one. Raises NoRoom if the disk is full."""
    text = msgspec.json.format(msgspec.json.encode(summary), indent=2)
    replace(run / SUMMARY, text + b"\n")


def read_summary(run: Path) -> Summary | None:
    """Return a run's summary, None if there is none that can be read."""
    try:
        return msgspec.json.decode((run / SUMMARY).read_bytes(), type=Summary)
    except (OSError, msgspec.DecodeError):
        return None


def replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises NoRoom if the disk is full."""
    written = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise full(error, path.name) from error


def full(error: OSError, name: str) -> Exception:
    """Return the error to raise for one of the system's: NoRoom for a full disk, else itself."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(f"the disk is full: {name} could not be written; make room and run it again")
    return error


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
