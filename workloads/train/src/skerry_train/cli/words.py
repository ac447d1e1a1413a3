"""Which tokenizer a command is about: one that is named, the run's own, or that of its data set.

It does not know what is done with text.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skerry_train.cli.subject import Subject
    from skerry_train.tokens import Words


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
    from skerry_train.tokens import load_words

    words = load_words(_find(told, subject))
    size, vocab_size = words.tokenizer.get_vocab_size(), subject.model.settings.vocab_size
    if size > vocab_size:
        raise BadData(
            f"the tokenizer has {size:,} tokens and the model {vocab_size:,}; name the one that the"
            " model was trained with by --tokenizer"
        )
    return words


def _find(told: argparse.Namespace, subject: Subject) -> Path:
    from skerry_train.errors import BadData
    from skerry_train.settings import read_train
    from skerry_train.tokens import FILE

    if told.tokenizer is not None:
        return told.tokenizer
    if (subject.run / FILE).exists():
        return subject.run
    if told.datasets is not None and (subject.run / "train.json").exists():
        return told.datasets / read_train(subject.run).dataset
    raise BadData(
        f"{subject.run} has no {FILE}; name one by --tokenizer, or the data sets' folder by --datasets"
    )
