"""`skerry-train evaluate`: measures a run's loss on text that it never looked at."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import get_args

from skerry_train.cli.subject import Subject, add_subject, computing_as, open_subject
from skerry_train.settings import Precision


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "evaluate", help="measure the loss on text held back", description=__doc__
    )
    add_subject(parser)
    parser.add_argument("datasets", type=Path, help="where data sets are")
    parser.add_argument("--dataset", metavar="NAME", help="default: that of the run's train.json")
    parser.add_argument("--start", type=int, help="first token of the slice (default: 50,000,000)")
    parser.add_argument("--tokens", type=int, help="how many to predict (default: 19,660,800)")
    parser.add_argument("--batch", type=int, default=6, help="sequences at once; changes no loss")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    parser.add_argument(
        "--overlap", action="store_true", help="measure even what the run validated on"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from tqdm import tqdm

    from skerry_train.data import open_split
    from skerry_train.errors import BadSettings
    from skerry_train.evaluate import START, TOKENS, held_back_slice, mean_loss, note

    start = START if told.start is None else told.start
    count = TOKENS if told.tokens is None else told.tokens
    if start < 0 or count < 1 or told.batch < 1:
        raise BadSettings("--start has to be 0 or more, --tokens and --batch 1 or more")
    dataset, used = _validated(told)
    split = open_split(told.datasets / dataset, "validation")
    part = held_back_slice(start, count, len(split), range(0) if told.overlap else used)
    subject = open_subject(told)
    began = perf_counter()
    with (
        computing_as(told.precision, subject.model),
        tqdm(total=count, unit="token", unit_scale=True, disable=not sys.stderr.isatty()) as bar,
    ):
        loss = mean_loss(
            subject.model,
            split.tokens[part],
            batch=told.batch,
            precision=told.precision,
            tell=bar.update,
        )
    seconds = perf_counter() - began
    print(
        f"{subject.name}, {subject.checkpoint}: {loss:.6f} over {count:,} tokens, {seconds:.1f} s"
    )
    note(subject.run, held_back_loss=loss, held_back=_how(told, subject, dataset, start, count))
    return 0


def _validated(told: argparse.Namespace) -> tuple[str, range]:
    """Return the data set to measure on, and what of it the run has validated on."""
    from skerry_train.errors import BadSettings
    from skerry_train.evaluate import validated
    from skerry_train.record import read_records
    from skerry_train.settings import read_model, read_train

    if not (told.run / "train.json").exists():  # weights that were taken in from elsewhere
        if told.dataset is None:
            raise BadSettings(f"{told.run} has no train.json, so --dataset has to name a data set")
        return told.dataset, range(0)
    train = read_train(told.run)
    if told.dataset not in (None, train.dataset):
        return told.dataset, range(0)
    sessions = read_records(told.run).sessions
    batches = [session.global_batch for session in sessions]
    if not batches:  # its records are elsewhere: what one process would have taken
        batches = [train.global_batch_size or train.microbatch_size * train.accumulation(1)]
    return train.dataset, validated(train, read_model(told.run).context_length, max(batches))


def _how(
    told: argparse.Namespace, subject: Subject, dataset: str, start: int, count: int
) -> dict[str, object]:
    return {
        "checkpoint": subject.checkpoint,
        "dataset": dataset,
        "start": start,
        "tokens": count,
        "precision": told.precision,
    }
