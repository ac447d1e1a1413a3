"""`skerry-train train`: trains a run, by one process for each GPU."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from skerry_train.cli import fit

if TYPE_CHECKING:
    from skerry_train.record import Step


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser("train", help="train a run", description=__doc__)
    parser.add_argument(
        "run", type=Path, help="the run's directory, with model.json and train.json"
    )
    parser.add_argument(
        "datasets", type=Path, help="where data sets are, by the names in train.json"
    )
    parser.add_argument(
        "--resume", metavar="WHICH",
        help="go on from a checkpoint: auto, latest, best, its name; none begins anew",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="default: a GPU where there is one"
    )
    parser.add_argument(
        "-f", "--find-max-microbatch-size", action="store_true",
        help="train nothing; find the largest micro-batch, as `skerry-train fit` does",
    )  # fmt: skip
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    # Before torch is loaded: memory that grows where it is, instead of in pieces that fit nothing else.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    from skerry_train.run import Wanted, lines, train
    from skerry_train.settings import read_train
    from skerry_train.world import StopRequest, join

    if told.find_max_microbatch_size:
        with join("cpu") as world:
            return fit.find(told.run, told.device, None, world.size, world)
    with join(told.device) as world, StopRequest() as stop:
        settings = read_train(told.run)
        wanted = Wanted(told.run, told.datasets / settings.dataset, told.resume)
        with Bar(is_shown=world.is_first) as bar:
            summary = train(wanted, world, stop, bar.say, bar.show)
    for line in lines(summary) if summary is not None else []:
        print(line)
    return 0


class Bar:
    """The progress bar of a run: how far it is, its loss, its speed."""

    def __init__(self, *, is_shown: bool) -> None:
        from tqdm import tqdm

        is_seen = sys.stderr.isatty()
        self._bar = tqdm(
            disable=not is_shown,
            unit="step",
            mininterval=0.2 if is_seen else 10,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def show(self, step: Step) -> None:
        """Move the bar to a step."""
        speed = f"{step.tokens_per_s:,.0f}" if step.tokens_per_s else "-"
        loss = f"{step.loss:.3f}" if step.loss is not None else "-"
        self._bar.set_postfix_str(f"loss {loss}, {speed} tokens/s", refresh=False)
        self._bar.update(step.step - self._bar.n)
