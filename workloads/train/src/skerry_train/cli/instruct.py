"""`skerry-train instruct`: tunes a run's model on instructions and keeps its answers for a judge."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from skerry_train.cli.subject import Subject, add_subject, computing_as, open_subject
from skerry_train.cli.words import add_words, open_words

if TYPE_CHECKING:
    from skerry_train.evaluate import Epoch, Item, Plan, Split, Tuned, Words


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "instruct", help="make a model answer instructions", description=__doc__
    )
    add_subject(parser)
    parser.add_argument(
        "data", type=Path, help="a JSON list of rows with instruction, input and output"
    )
    add_words(parser)
    parser.add_argument(
        "--name", help="what judges' tables call the model (default: the run's name)"
    )
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length-max", type=int, default=1024, help="tokens of a row")
    parser.add_argument("--epochs-max", type=int, default=50)
    parser.add_argument("--answer-max", type=int, default=256, help="tokens of an answer")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--dropout", type=float, default=0.0, help="while tuning (default: 0, as in the book)"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from skerry_train.errors import BadSettings
    from skerry_train.evaluate import ANSWERS, Answers, read_rows, write_answers

    if not 0 <= told.dropout < 1 or told.answer_max < 1:
        raise BadSettings("--dropout has to be below 1 and not below 0, --answer-max 1 or more")
    plan, split = _plan(told), read_rows(told.data)
    subject = open_subject(told, drop_rate=told.dropout)
    words = open_words(told, subject)
    with computing_as("fp32", subject.model):
        tuned = _tune(subject, words, split, plan)
        items = _answer(subject, words, split, told.answer_max)
    answers = Answers(
        model=told.name or subject.name,
        checkpoint=subject.checkpoint,
        data=str(told.data),
        data_sha256=split.sha256,
        seed=plan.seed,
        epochs=tuned.best,
        trained=tuned.epochs,
        plan=asdict(plan) | {"dropout": told.dropout, "answer_max": told.answer_max},
        items=items,
    )
    if tuned.best == plan.epochs_max:
        print("note: it was still getting better at the last of --epochs-max", file=sys.stderr)
    write_answers(subject.run / ANSWERS, answers)
    print(f"{len(items)} answers after epoch {tuned.best}: {subject.run / ANSWERS}")
    return 0


def _plan(told: argparse.Namespace) -> Plan:
    from skerry_train.evaluate import Plan

    return Plan(
        learning_rate=told.learning_rate,
        weight_decay=told.weight_decay,
        batch=told.batch,
        length_max=told.length_max,
        epochs_max=told.epochs_max,
        seed=told.seed,
    )


def _tune(subject: Subject, words: Words, split: Split, plan: Plan) -> Tuned:
    from skerry_train.evaluate import text_of, tune

    def tell(done: Epoch) -> None:
        losses = f"loss {done.train_loss:.4f}, validation {done.validation_loss:.4f}"
        print(f"epoch {done.epoch}: {losses}", flush=True)

    train = [list(words.encode(text_of(row))) for row in split.train]
    validation = [list(words.encode(text_of(row))) for row in split.validation]
    return tune(subject.model, train, validation, words.eot, plan, tell)


def _answer(subject: Subject, words: Words, split: Split, tokens_max: int) -> list[Item]:
    from tqdm import tqdm

    from skerry_train.evaluate import answer

    with tqdm(total=len(split.test), unit="answer", disable=not sys.stderr.isatty()) as bar:
        return answer(
            subject.model,
            words,
            split.test,
            tokens_max=tokens_max,
            tell=bar.update,
        )
