"""Making a data set of text: documents one after another, each ended by a token of its own.

Neither the text nor the tokens are ever held whole, and a broken-off attempt is gone on with: what comes
out is the same, bit for bit. It does not know how files are read or written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skerry_train.errors import BadData
from skerry_train.tokens.documents import Piece, find_files, read_pieces
from skerry_train.tokens.output import Output
from skerry_train.tokens.words import Words, learn_words

_BATCH_PIECES = 1000
_BATCH_CHARACTERS = 8 << 20
_LEARN_CHARACTERS = 64 << 20  # more text changes few of a tokenizer's pairs, and takes long

Advance = Callable[[int], None]
"""Told how many characters were tokenised."""


@dataclass(frozen=True)
class Wish:
    """What is made of what. `held_back`: the part of the documents, the last ones, to validate on."""

    sources: Sequence[Path]
    folder: Path
    held_back: float = 0.01


def learn(wish: Wish, vocab_size: int) -> Words:
    """Make a tokenizer for the beginning of the text. Raises BadData if there is none."""
    return learn_words(_beginning(find_files(wish.sources)), vocab_size)


def prepare(wish: Wish, words: Words, advance: Advance = lambda _: None) -> dict[str, Any]:
    """Make a data set and return what is said of it in its `dataset.json`.

    Raises BadData if a file can not be read, NoRoom if the disk is full; either can be gone on from.
    """
    files = find_files(wish.sources)
    if (wish.folder / "dataset.json").exists():
        raise BadData(f"{wish.folder} has a data set already; take another folder, or remove it")
    tokenizer = words.as_json()
    told: dict[str, Any] = {
        "vocab_size": words.vocab_size,
        "eot": words.eot,
        "held_back": wish.held_back,
        "tokenizer_sha256": hashlib.sha256(tokenizer).hexdigest(),
        "sources": [str(each) for each in wish.sources],
    }
    order = told | {"files": [[str(each), each.stat().st_size] for each in files]}
    wish.folder.mkdir(parents=True, exist_ok=True)
    output = Output(wish.folder, order, is_wide=words.vocab_size > 1 << 16)
    try:
        for batch in _batches(read_pieces(files, output.mark.file, output.mark.place)):
            tokens, ends = _tokens(batch, words)
            output.add(tokens, ends, batch[-1].file, batch[-1].place)
            advance(sum(len(each.text) for each in batch))
        if not output.mark.tokens:
            raise BadData(f"there is no text in {', '.join(map(str, wish.sources))}")
        return output.finish(wish.held_back, told, tokenizer)
    finally:
        output.close()


def _tokens(
    batch: list[Piece], words: Words
) -> tuple[np.ndarray[Any, np.dtype[np.uint32]], list[int]]:
    """Return the tokens of pieces, and where in them documents end."""
    parts: list[list[int]] = []
    ends: list[int] = []
    count = 0
    for piece, ids in zip(batch, words.encode_all([each.text for each in batch]), strict=True):
        parts.append(ids)
        count += len(ids)
        if piece.ends:
            parts.append([words.eot])
            count += 1
            ends.append(count)
    flat = (number for part in parts for number in part)
    return np.fromiter(flat, np.uint32, count), ends


def _batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    characters = 0
    for piece in pieces:
        batch.append(piece)
        characters += len(piece.text)
        if len(batch) >= _BATCH_PIECES or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _beginning(files: list[Path]) -> Iterator[str]:
    left = _LEARN_CHARACTERS
    for piece in read_pieces(files):
        yield piece.text
        left -= len(piece.text)
        if left <= 0:
            return
