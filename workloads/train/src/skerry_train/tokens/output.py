"""The files of a data set while they are made: tokens are added, and a break loses only the last batch.

    DIR/.preparing/    train.safetensors, its header still empty; journal.jsonl; tokenizer.json
    DIR/               train.safetensors validation.safetensors tokenizer.json dataset.json

A header has the same length whatever it says, so tokens are written where they stay. It does not know
where tokens come from.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from skerry_train.record import full, replace

_HEADER_BYTES = 256
_COPY_BYTES = 16 << 20
_WORK = ".preparing"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far the work is: documents and tokens on disk, and where to read on."""

    documents: int = 0
    tokens: int = 0
    file: int = 0
    place: int = 0


class Output:
    """A data set that is being made. `order` says what is made of what: another begins anew."""

    def __init__(self, folder: Path, order: dict[str, Any], *, is_wide: bool) -> None:
        self._folder, self._work = folder, folder / _WORK
        self._dtype = np.dtype("<u4" if is_wide else "<u2")
        self._order = json.dumps(order, sort_keys=True)
        self.mark = self._resumed()
        self._tokens = (self._work / "train.safetensors").open("r+b")
        self._ends = (self._work / "ends").open("r+b")
        self._journal = (self._work / "journal.jsonl").open("ab")
        self._tokens.truncate(_HEADER_BYTES + self.mark.tokens * self._dtype.itemsize)
        self._tokens.seek(0, os.SEEK_END)
        self._ends.truncate(self.mark.documents * 8)
        self._ends.seek(0, os.SEEK_END)

    def add(self, tokens: npt.NDArray[np.uint32], ends: list[int], file: int, place: int) -> None:
        """Add tokens, and where in them documents end. Raises NoRoom if the disk is full."""
        try:
            self._tokens.write(tokens.astype(self._dtype).data)
            self._ends.write((np.asarray(ends, "<u8") + self.mark.tokens).data)
            for each in (self._tokens, self._ends):
                each.flush()
                os.fsync(each.fileno())
            self.mark = Mark(
                documents=self.mark.documents + len(ends), tokens=self.mark.tokens + len(tokens),
                file=file, place=place,
            )  # fmt: skip
            self._journal.write(msgspec.json.encode(self.mark) + b"\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise full(error, str(self._folder)) from error

    def split(self, held_back: float) -> int:
        """Return the token at which the validation split begins: where a document does.

        Of a single document, the last part is held back.
        """
        if not held_back:
            return self.mark.tokens
        if self.mark.documents < 2:
            return round(self.mark.tokens * (1 - held_back))
        first = max(min(self.mark.documents - 1, round(self.mark.documents * (1 - held_back))), 1)
        ends = np.memmap(self._work / "ends", "<u8", "r", shape=(self.mark.documents,))
        return int(ends[first - 1])

    def finish(self, held_back: float, told: dict[str, Any], tokenizer: bytes) -> dict[str, Any]:
        """Cut the last documents off into a split of their own and put everything in its place."""
        begin = self.split(held_back)
        try:
            counts = {"train_tokens": begin, "validation_tokens": self.mark.tokens - begin}
            if begin < self.mark.tokens:
                self._cut_off(begin)
            self._head(self._tokens.fileno(), begin)
            self._tokens.truncate(_HEADER_BYTES + begin * self._dtype.itemsize)
            self.close()
            record = {"documents": self.mark.documents, **counts, **told}
            for name in ("train.safetensors", "validation.safetensors"):
                if (self._work / name).exists():
                    (self._work / name).replace(self._folder / name)
            replace(self._folder / "tokenizer.json", tokenizer)
            replace(self._folder / "dataset.json", json.dumps(record, indent=2).encode() + b"\n")
            shutil.rmtree(self._work)
        except OSError as error:
            raise full(error, str(self._folder)) from error
        return record

    def close(self) -> None:
        """Put what was added on disk and close it."""
        for each in (self._tokens, self._ends, self._journal):
            if not each.closed:
                with each, contextlib.suppress(OSError):
                    each.flush()
                    os.fsync(each.fileno())

    def _cut_off(self, begin: int) -> None:
        """Copy the tokens from one on into the validation split."""
        with (self._work / "validation.safetensors").open("w+b") as file:
            self._head(file.fileno(), self.mark.tokens - begin)
            file.seek(_HEADER_BYTES)
            self._tokens.seek(_HEADER_BYTES + begin * self._dtype.itemsize)
            shutil.copyfileobj(self._tokens, file, _COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())

    def _head(self, number: int, count: int) -> None:
        """Write the header of a file of so many tokens. Source: the safetensors format."""
        kind, size = ("U32", 4) if self._dtype.itemsize == 4 else ("U16", 2)
        header = {"tokens": {"dtype": kind, "shape": [count], "data_offsets": [0, count * size]}}
        text = json.dumps(header).encode().ljust(_HEADER_BYTES - 8)
        os.pwrite(number, len(text).to_bytes(8, "little") + text, 0)

    def _resumed(self) -> Mark:
        """Return how far an earlier attempt at the same came; empty the place of any other."""
        order, journal = self._work / "order.json", self._work / "journal.jsonl"
        try:
            if order.exists() and order.read_text() == self._order:
                mark = _last(journal.read_bytes())
                if self._holds(mark):
                    return mark
            shutil.rmtree(self._work, ignore_errors=True)
            self._work.mkdir(parents=True)
            for name in ("train.safetensors", "ends", "journal.jsonl"):
                (self._work / name).write_bytes(
                    bytes(_HEADER_BYTES) if name.startswith("train") else b""
                )
            replace(order, self._order.encode())
        except OSError as error:
            raise full(error, str(self._folder)) from error
        return Mark()

    def _holds(self, mark: Mark) -> bool:
        """Tell whether all that is marked is there: what ended while it was cut to its length is not."""
        sizes = {
            "train.safetensors": _HEADER_BYTES + mark.tokens * self._dtype.itemsize,
            "ends": mark.documents * 8,
        }
        return all(
            (self._work / name).exists() and (self._work / name).stat().st_size >= size
            for name, size in sizes.items()
        )


def _last(journal: bytes) -> Mark:
    """Return the last mark that was written whole."""
    for line in reversed(journal.splitlines()):
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=Mark)
    return Mark()
