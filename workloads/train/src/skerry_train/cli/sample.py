"""`skerry-train sample`: has a run's model write on from a text."""

from __future__ import annotations

import argparse

from skerry_train.cli.subject import add_subject, computing_as, open_subject
from skerry_train.cli.words import add_words, open_words


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("sample", help="have a model write on", description=__doc__)
    add_subject(parser)
    add_words(parser)
    parser.add_argument(
        "--prompt", default="Every effort moves you", help="the text it goes on from"
    )
    parser.add_argument("--new-tokens", type=int, default=20, help="how many at most (default: 20)")
    parser.add_argument("--top-k", type=int, default=25, help="draw from so many; 0: from all")
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--count", type=int, default=1, help="texts to write (default: 1)")
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from skerry_train.errors import BadSettings
    from skerry_train.evaluate import Sampling, continue_texts, picker

    if min(told.new_tokens, told.count) < 1 or told.top_k < 0:
        raise BadSettings("--new-tokens and --count have to be 1 or more, --top-k 0 or more")
    sampling = Sampling(temperature=told.temperature, top_k=told.top_k or None, seed=told.seed)
    subject = open_subject(told)
    words = open_words(told, subject)
    begin = list(words.encode(told.prompt)) or [words.eot]
    with computing_as("fp32", subject.model):
        texts = continue_texts(
            subject.model, [begin] * told.count, told.new_tokens, picker(sampling), words.eot
        )
    for text in texts:
        print(told.prompt + words.decode(text))
    return 0
