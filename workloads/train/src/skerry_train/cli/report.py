"""`skerry-train report`: what runs cost and what came of them, as tables.

Without `--posts`, of recorded runs; with it, of the figures that the posts published.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from skerry_train.errors import BadSettings, TrainerError

if TYPE_CHECKING:
    from skerry_train.bill import Table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "report", help="tables of runs: cost, losses, fits", description=__doc__
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="a run's directory")
    parser.add_argument("--posts", action="store_true", help="the tables of the posts' own figures")
    parser.add_argument(
        "--csv", type=Path, metavar="FOLDER", help="write each table there as CSV too"
    )
    parser.add_argument(
        "--machines", type=Path, metavar="FILE", help="machines and prices of your own"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Print the tables as Markdown."""
    from skerry_train.bill import markdown

    tables, source = _posts() if told.posts else _runs(told)
    print("\n".join(markdown(each) for each in tables), end="")
    if source:
        print(f"\nSource: {source}")
    if told.csv is not None:
        write_csv(told.csv, tables)
    return 0


def write_csv(folder: Path, tables: list[Table]) -> None:
    """Write each table into a folder as a file of its name. Raises TrainerError if it can not."""
    from skerry_train.bill import csv_text
    from skerry_train.record import replace

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in tables:
            replace(folder / f"{each.name}.csv", csv_text(each).encode())
    except OSError as error:
        raise TrainerError(f"{folder} can not be written: {error.strerror}; name another") from None


def _posts() -> tuple[list[Table], str]:
    from skerry_train.bill import posts_tables, read_posts

    posts = read_posts()
    return posts_tables(posts), posts.source


def _runs(told: argparse.Namespace) -> tuple[list[Table], str]:
    from skerry_train.bill import outcome, report_tables

    if not told.runs:
        raise BadSettings("no run is named; give the directories of some, or --posts")
    return report_tables([outcome(each, told.machines) for each in told.runs]), ""
