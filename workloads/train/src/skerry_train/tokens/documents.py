"""Reading documents out of files, in an order that does not change, a piece at a time.

A text file is one document; of a file of JSON lines each line is one. No more than a piece is held. It
does not know what is done with them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from skerry_train.errors import BadData

SUFFIXES = (".txt", ".md", ".rst", ".py", ".jsonl")
_PIECE_BYTES = 1 << 20
_LINE_BYTES_MAX = 256 << 20


@dataclass(frozen=True)
class Piece:
    """A part of a document. ends: whether it is the last. file, place: where the next one is read."""

    text: str
    ends: bool
    file: int
    place: int


def find_files(paths: Sequence[Path], suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the files that paths name: each itself, and all below a folder that have a known suffix.

    In the order given. Below a folder the order has nothing to do with names, and is the same each
    time: neighbours in a folder are alike, and a step that reads only such learns little, as does a
    validation of the last of them. Raises BadData if there are none.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (
                each for each in path.rglob("*") if each.is_file() and _suffix(each) in suffixes
            )
            files.extend(sorted(below, key=lambda each: _scattered(each.relative_to(path))))
        elif path.exists():
            files.append(path)
        else:
            raise BadData(f"there is no {path}")
    if not files:
        raise BadData(
            f"there is no text in {', '.join(map(str, paths))}: files with one of the suffixes"
            f" {' '.join(suffixes)}, or those with .gz, are read"
        )
    return files


def read_pieces(files: Sequence[Path], file: int = 0, place: int = 0) -> Iterator[Piece]:
    """Yield the pieces of all documents, from a place on that an earlier piece has told.

    Raises BadData if a file can not be read.
    """
    for number in range(file, len(files)):
        path = files[number]
        try:
            with _opened(path) as opened:
                opened.seek(place)
                read = _lines if _suffix(path) == ".jsonl" else _text
                yield from read(opened, path, number)
        except (OSError, EOFError) as error:
            raise BadData(f"{path} can not be read: {error}") from None
        place = 0


def _text(file: IO[bytes], _path: Path, number: int) -> Iterator[Piece]:
    """Yield a document in pieces that end with a line, where lines end."""
    piece = file.read(_PIECE_BYTES)
    while piece:
        # A piece ends with a line: so no word and no letter is cut in two, but in a line as long.
        piece += file.readline(_PIECE_BYTES)
        place = file.tell()
        after = file.read(_PIECE_BYTES)
        is_last = not after
        yield Piece(
            piece.decode(errors="replace"), is_last, number + is_last, 0 if is_last else place
        )
        piece = after


def _lines(file: IO[bytes], path: Path, number: int) -> Iterator[Piece]:
    """Yield the documents of JSON lines: each line's `text`."""
    line = file.readline(_LINE_BYTES_MAX)
    while line:
        place = file.tell()
        after = file.readline(_LINE_BYTES_MAX)
        if line.strip():
            is_last = not after
            yield Piece(_told(line, path), True, number + is_last, 0 if is_last else place)  # noqa: FBT003
        line = after


def _told(line: bytes, path: Path) -> str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise BadData(f"{path} has a line that is not JSON: {line[:60]!r}") from None
    text = cast("dict[str, object]", document).get("text") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise BadData(f"{path} has a line without a `text`: {line[:60]!r}")
    # What stands alone of a pair can be told by no bytes.
    return text.encode(errors="replace").decode()


def _scattered(path: Path) -> bytes:
    return hashlib.sha256(os.fsencode(path)).digest()


def _suffix(path: Path) -> str:
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
