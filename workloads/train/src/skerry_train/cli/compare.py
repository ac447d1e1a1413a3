"""`skerry-train compare`: the losses of several runs in one chart."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("compare", help="several runs in one chart", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's directory")
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="FOLDER",
        help="where comparison.svg and comparison.png go (default: here)",
    )  # fmt: skip
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Print the losses, draw, and say where."""
    from skerry_train.bill import loss_table, markdown, outcome
    from skerry_train.chart import draw_comparison

    print(markdown(loss_table([outcome(run).loss for run in told.runs])))
    for file in draw_comparison(told.runs, told.out):
        print(file)
    return 0
