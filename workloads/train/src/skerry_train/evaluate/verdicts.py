"""The file of verdicts: one line for each question, on the disk before the next is counted.

A question that was answered is never asked again, also after a kill; a torn last line is cut off.
It does not know how a question is asked.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

import msgspec

from skerry_train.errors import BadData, BadSettings
from skerry_train.evaluate.findings import not_written


class Judgement(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="judgement"):
    """What the judge said about one exercise. order: the models as they were shown."""

    item: int
    repeat: int
    order: list[str]
    scores: dict[str, int]
    comments: dict[str, str]
    asked: int
    tokens_in: int = 0
    tokens_out: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="failed"):
    """An exercise to which the judge gave no reply that can be used."""

    item: int
    repeat: int
    reason: str


class _Begun(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="judging"):
    digest: str


Verdict = Judgement | Failed
_LINE = msgspec.json.Decoder(Judgement | Failed | _Begun)


class VerdictFile:
    """An open file of verdicts. verdicts: what is known by item and repeat; the later line of a question holds."""

    def __init__(
        self, path: Path, file: BufferedRandom, verdicts: dict[tuple[int, int], Verdict]
    ) -> None:
        self.path, self._file, self.verdicts = path, file, verdicts

    def is_open(self, item: int, repeat: int) -> bool:
        """Say whether a question is to be asked: it was not yet, or without success."""
        return not isinstance(self.verdicts.get((item, repeat)), Judgement)

    def add(self, verdict: Verdict) -> None:
        """Put a verdict on the disk."""
        _append(self.path, self._file, verdict)
        self.verdicts[verdict.item, verdict.repeat] = verdict


@contextmanager
def open_verdicts(path: Path, digest: str) -> Generator[VerdictFile]:
    """Open a file of verdicts, or begin one. digest: of all that makes verdicts comparable.

    Raises BadSettings if it is another judging's or another process has it, BadData if it is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise not_written(path, error) from None
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadSettings(f"{path} is in use by another judging; wait for its end") from None
        lines = _whole_lines(file)
        if not lines:
            _append(path, file, _Begun(digest=digest))
        yield VerdictFile(path, file, _verdicts(path, lines, digest))


def _whole_lines(file: BufferedRandom) -> list[bytes]:
    """Read the lines, and cut off what follows the last line end: a write that a kill cut short."""
    data = file.read()
    end = data.rfind(b"\n") + 1
    if end < len(data):
        file.truncate(end)
    file.seek(end)
    return data[:end].splitlines()


def _verdicts(path: Path, lines: list[bytes], digest: str) -> dict[tuple[int, int], Verdict]:
    verdicts: dict[tuple[int, int], Verdict] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = _LINE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise BadData(
                f"{path} is damaged in line {number}; take the line out, or move the file away"
            ) from None
        if isinstance(record, _Begun):
            if record.digest != digest:
                raise BadSettings(
                    f"{path} is of a judging of other answers, another judge or another seed;"
                    " give another --out, or move it away"
                )
        else:
            verdicts[record.item, record.repeat] = record
    return verdicts


def _append(path: Path, file: BufferedRandom, record: Verdict | _Begun) -> None:
    try:
        file.write(json.dumps(msgspec.to_builtins(record), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise not_written(path, error) from None
