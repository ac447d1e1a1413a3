"""Which tokenizer a command is about: one that is named, the run's own, or that of its data set.

It does not know what is done with text.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

    from skerry_train.cli.subject import Subject

FILE = "tokenizer.json"
END = "<|endoftext|>"


@dataclass(frozen=True)
class Words:
    """A tokenizer. eot: the token that ends a text."""

    tokenizer: tokenizers.Tokenizer
    eot: int

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens."""
        return self.tokenizer.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that tokens stand for."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    def as_json(self) -> bytes:
        """Return it as Hugging Face's libraries read it."""
        return self.tokenizer.to_str().encode()


def add_words(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which tokenizer."""
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="PATH",
        help="tokenizer.json, its folder, or tiktoken's ranks (default: the run's, or its data set's)",
    )
    parser.add_argument(
        "--datasets",
        type=Path,
        metavar="DIR",
        help="where data sets are, by the names in train.json",
    )


def open_words(told: argparse.Namespace, subject: Subject) -> Words:
    """Return the tokenizer that a command line names. Raises BadData if there is none that fits."""
    from skerry_train.errors import BadData

    words = load_words(_find(told, subject))
    size, vocab_size = words.tokenizer.get_vocab_size(), subject.model.settings.vocab_size
    if size > vocab_size:
        raise BadData(
            f"the tokenizer has {size:,} tokens and the model {vocab_size:,}; name the one that the"
            " model was trained with by --tokenizer"
        )
    return words


def load_words(path: Path) -> Words:
    """Read a tokenizer. Raises BadData if it can not be read."""
    from tokenizers import Tokenizer

    from skerry_train.errors import BadData

    file = path / FILE if path.is_dir() else path
    try:
        data = file.read_bytes()
        made = data if data.lstrip()[:1] == b"{" else _from_ranks(data)
        tokenizer = Tokenizer.from_buffer(made)
    except OSError as error:
        raise BadData(
            f"{file} can not be read ({error.strerror}); name a tokenizer by --tokenizer"
        ) from None
    except Exception as error:  # noqa: BLE001 - what the library raises has no name of its own
        raise BadData(f"{file} is no tokenizer: {error}") from None
    end = tokenizer.token_to_id(END)
    if end is None:
        raise BadData(f"{file} has no token {END}, which ends a text")
    return Words(tokenizer, end)


def _from_ranks(data: bytes) -> bytes:
    """Return the tokenizer of tiktoken's ranks: a line for each, its bytes in base 64 and its number."""
    import base64

    from skerry_train.export import from_ranks

    pairs = (line.split() for line in data.splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return from_ranks(ranks, END, len(ranks))


def _find(told: argparse.Namespace, subject: Subject) -> Path:
    from skerry_train.errors import BadData
    from skerry_train.settings import read_train

    if told.tokenizer is not None:
        return told.tokenizer
    if (subject.run / FILE).exists():
        return subject.run
    if told.datasets is not None and (subject.run / "train.json").exists():
        return told.datasets / read_train(subject.run).dataset
    raise BadData(
        f"{subject.run} has no {FILE}; name one by --tokenizer, or the data sets' folder by --datasets"
    )
