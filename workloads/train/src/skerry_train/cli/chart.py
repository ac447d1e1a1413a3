"""`skerry-train chart`: draws a run's charts and its page into its directory."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("chart", help="draw a run's charts", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's directory")
    parser.add_argument(
        "--machines", type=Path, metavar="FILE", help="machines and prices of your own"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Draw, and say where."""
    from skerry_train.chart import draw

    for run in told.runs:
        for file in draw(run, told.machines):
            print(file)
    return 0
