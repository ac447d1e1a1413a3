"""`skerry-train machines`: lists the machines that are known, and what an hour of each costs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("machines", help="list machines and prices", description=__doc__)
    parser.add_argument(
        "--machines", type=Path, metavar="FILE", help="machines and prices of your own"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """List them."""
    from skerry_train.bill import machine_table, markdown, read_machines

    print(markdown(machine_table(read_machines(told.machines))), end="")
    return 0
