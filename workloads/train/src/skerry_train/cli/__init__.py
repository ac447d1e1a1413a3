"""The command `skerry-train`: one file for each of its commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from skerry_train.cli import (
    chart,
    compare,
    evaluate,
    experiment,
    export,
    fit,
    import_gpt2,
    init,
    instruct,
    judge,
    machines,
    prepare,
    report,
    sample,
    train,
    watch,
)
from skerry_train.errors import TrainerError

COMMANDS = (
    prepare, init, fit, train, watch, chart, compare, report, machines, experiment, sample, evaluate,
    instruct, judge, export, import_gpt2,
)  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        "skerry-train",
        description="Train a base language model from scratch, and know what it cost.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code: an error's own, 0 if all went well."""
    told = make_parser().parse_args(argv)
    try:
        return told.act(told)
    except TrainerError as error:
        print(f"skerry-train: {error}", file=sys.stderr)
        return error.exit_code
