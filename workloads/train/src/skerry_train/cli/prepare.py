"""`skerry-train prepare`: makes a data set of text."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skerry_train.tokens import Wish, Words


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("prepare", help="make a data set of text", description=__doc__)
    parser.add_argument(
        "text",
        nargs="+",
        type=Path,
        help="files of text or JSON lines, or folders of them; .gz too",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="the data set's folder"
    )
    parser.add_argument(
        "--tokenizer", default="bpe", metavar="WHICH",
        help="bpe learns one from the text; gpt2 is OpenAI's; or a path to one (bpe)",
    )  # fmt: skip
    parser.add_argument("--vocab-size", type=int, default=4096, metavar="N", help="of bpe (4096)")
    parser.add_argument(
        "--ranks", type=Path, default=Path("data/gpt2.tiktoken"), metavar="PATH", help="of gpt2"
    )
    parser.add_argument(
        "--held-back", type=float, default=1.0, metavar="PERCENT",
        help="of the documents, the last ones, to validate on (1)",
    )  # fmt: skip
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from tqdm import tqdm

    from skerry_train.errors import BadSettings
    from skerry_train.tokens import Wish, prepare

    if not 0 <= told.held_back < 100:
        raise BadSettings("--held-back is a percentage, from 0 to below 100")
    wish = Wish(told.text, told.out, told.held_back / 100)
    words = _words(told, wish)
    with tqdm(unit="char", unit_scale=True, desc="tokenise", file=sys.stderr) as bar:

        def advance(characters: int) -> None:
            bar.update(characters)

        record = prepare(wish, words, advance)
    print(
        f"{told.out}: {record['documents']:,} documents, {record['train_tokens']:,} tokens to train on,"
        f" {record['validation_tokens']:,} to validate on, a vocabulary of {record['vocab_size']:,}"
    )
    return 0


def _words(told: argparse.Namespace, wish: Wish) -> Words:
    from skerry_train.tokens import learn, load_gpt2, load_words

    if told.tokenizer == "gpt2":
        return load_gpt2(told.ranks)
    if told.tokenizer == "bpe":
        return learn(wish, told.vocab_size)
    return load_words(Path(told.tokenizer))
