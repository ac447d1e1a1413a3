"""`skerry-train judge`: has a language model compare the answers of several models, exercise by exercise.

The key of the service is taken from the environment, sent to it, and shown and stored nowhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from skerry_train.evaluate import Answers, Service, Standings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "judge", help="have answers compared by a judge", description=__doc__
    )
    parser.add_argument(
        "answers", type=Path, nargs="+", help="run directories or files that `instruct` made"
    )
    parser.add_argument(
        "--url", required=True, help="an OpenAI-compatible service, such as https://HOST/v1"
    )
    parser.add_argument("--model", required=True, help="the judge's name there")
    parser.add_argument(
        "--key-env",
        metavar="NAME",
        default="OPENAI_API_KEY",
        help="the environment's variable with the key (default: OPENAI_API_KEY)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("judging"),
        help="where verdicts are kept (default: judging)",
    )
    parser.add_argument("--repeats", type=int, default=1, help="how often each exercise is put")
    parser.add_argument("--seed", type=int, default=42, help="of the order of answers")
    parser.add_argument("--tries", type=int, default=4, help="for a reply that can be used")
    parser.add_argument("--at-once", type=int, default=4, help="questions under way at a time")
    parser.add_argument(
        "--body", default="{}", metavar="JSON", help='more for each request, as {"temperature": 0}'
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from tqdm import tqdm

    from skerry_train.evaluate import (
        Manner,
        annotated,
        contest,
        converse,
        judge,
        open_questions,
        open_verdicts,
        read_answers,
        standings,
        table,
        write_object,
    )

    manner = Manner(repeats=told.repeats, seed=told.seed, asks_max=told.tries, at_once=told.at_once)
    service, stop = _service(told), Event()
    files = [read_answers(path) for path in told.answers]
    which = contest(files)
    digest = which.digest(service.model, manner.seed, service.extra)
    with open_verdicts(told.out / "verdicts.jsonl", digest) as verdicts:
        with tqdm(
            total=len(open_questions(which, verdicts, manner)),
            unit="question",
            disable=not sys.stderr.isatty(),
        ) as bar:
            judge(
                which,
                lambda messages: converse(service, messages, stop.wait),
                verdicts,
                manner,
                stop,
                lambda _: bar.update(),
            )
        came = standings(which, verdicts.verdicts, manner.repeats)
        write_object(told.out / "judging.json", annotated(which, verdicts.verdicts, came))
    print(table(came))
    _note(told, files, came)
    return 0


def _service(told: argparse.Namespace) -> Service:
    from skerry_train.errors import BadSettings
    from skerry_train.evaluate import Service

    try:
        extra = json.loads(told.body)
    except ValueError as error:
        raise BadSettings(f"--body is not JSON: {error}") from None
    if not isinstance(extra, dict):
        raise BadSettings('--body has to be a JSON object, such as {"temperature": 0}')
    key = os.environ.get(told.key_env, "").strip() or None
    return Service(url=told.url, model=told.model, key=key, extra=cast("dict[str, Any]", extra))


def _note(told: argparse.Namespace, files: list[Answers], came: Standings) -> None:
    """Put each model's score into its run, where a run was given."""
    from skerry_train.evaluate import note

    places = {place.model: place for place in came.places}
    for path, answers in zip(cast("list[Path]", told.answers), files, strict=True):
        if path.is_dir():
            place = places[answers.model]
            score = {
                "mean": place.mean,
                "spread": place.spread,
                "item_spread": place.item_spread,
                "epochs": answers.epochs,
                "checkpoint": answers.checkpoint,
                "judge": told.model,
                "repeats": came.repeats,
                "items": came.items,
                "against": [each.model for each in came.places],
            }
            note(path, instruct_score=score)
