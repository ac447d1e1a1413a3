"""`skerry-train init`: makes the directory of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from skerry_train.errors import BadSettings
from skerry_train.settings import PRESETS, ModelSettings, TrainSettings, convert


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("init", help="make the directory of a run", description=__doc__)
    parser.add_argument("run", type=Path, help="the directory to make")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default="speed", help="what to begin with"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="NAME=VALUE",
        help="a setting of model.json or train.json, the value as JSON or plain text; again for more",
    )  # fmt: skip
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    model, train = (dict(PRESETS[told.preset][part]) for part in ("model", "train"))
    for each in told.settings:
        name, equals, value = each.partition("=")
        if not equals:
            raise BadSettings(f"{each!r} is no setting: write NAME=VALUE")
        (model if name in ModelSettings.__struct_fields__ else train)[name] = _value(value)
    convert(model, ModelSettings, "the model")
    convert(train, TrainSettings, "the run")
    for name in ("model.json", "train.json"):
        if (told.run / name).exists():
            raise BadSettings(
                f"{told.run / name} is there already; edit it, or take another directory"
            )
    told.run.mkdir(parents=True, exist_ok=True)
    for name, settings in (("model.json", model), ("train.json", train)):
        (told.run / name).write_text(json.dumps(settings, indent=2) + "\n")
    print(f"made {told.run}; train it with: skerry-train train {told.run} DATASETS")
    return 0


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
