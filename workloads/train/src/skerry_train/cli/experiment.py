"""`skerry-train experiment`: trains a baseline and its interventions, and tells what each is worth.

The folder has an `experiment.json`: `{"preset": "stacked", "baseline": {"model": {}, "train": {}},
"seeds": [42, 43, 44], "interventions": {"no-dropout": {"model": {"drop_rate": 0.0}}}}`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "experiment", help="a baseline and changes to it, one at a time", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="where experiment.json is, and the runs will be")
    parser.add_argument("datasets", type=Path, nargs="?", help="without it nothing is trained")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="default: GPUs where there are any"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from skerry_train.bill import markdown, outcome
    from skerry_train.experiment import losses_of_one_kind, perform, planned, read_spec, worth_table

    failed: list[str] = []
    if told.datasets is not None:
        failed = perform(told.folder, lambda run: _launch(run, told), _say)
    runs = planned(read_spec(told.folder))
    outcomes = {
        each.name: outcome(path) for each in runs if (path := told.folder / each.name).is_dir()
    }
    kind, losses = losses_of_one_kind(outcomes)
    print(markdown(worth_table(runs, losses, kind)), end="")
    if failed:
        _say(f"failed: {', '.join(failed)}; what they said stands above")
    return 1 if failed else 0


def _launch(run: Path, told: argparse.Namespace) -> int:
    words = ["train", str(run), str(told.datasets), "--resume", "auto"]
    words += ["--device", told.device] if told.device else []
    return subprocess.run([sys.executable, "-m", "skerry_train", *words], check=False).returncode  # noqa: S603 - our own program


def _say(text: str) -> None:
    print(f"== {text}", file=sys.stderr)
