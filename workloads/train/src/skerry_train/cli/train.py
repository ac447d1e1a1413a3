"""`skerry-train train`: trains a run, by one process for each GPU."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from skerry_train.cli import fit

if TYPE_CHECKING:
    from skerry_train.record import Step
    from skerry_train.settings import TrainSettings


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
        "--device", choices=["cpu", "cuda"], help="default: GPUs where there are any"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="default: one for each GPU")
    parser.add_argument(
        "--machines", type=Path, metavar="FILE", help="prices of machines of your own"
    )
    parser.add_argument(
        "--source", metavar="URL", help="where a missing data set is had, by its name (the hub)"
    )
    parser.add_argument("--no-charts", action="store_true", help="draw nothing at checkpoints")
    parser.add_argument(
        "-f", "--find-max-microbatch-size", action="store_true",
        help="train nothing; find the largest micro-batch, as `skerry-train fit` does",
    )  # fmt: skip
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    # Before torch is loaded: memory that grows where it is, instead of in pieces that fit nothing else.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    from skerry_train import launch
    from skerry_train.world import join

    processes = told.processes or _gpus(told.device)
    if processes > 1 and not launch.is_launched():
        return launch.run(_words(told), processes)
    if told.find_max_microbatch_size:
        with join("cpu") as world:
            return fit.find(told.run, told.device, None, world.size, world)
    return _train(told)


def _train(told: argparse.Namespace) -> int:
    from skerry_train.bill import find_machine, read_machines
    from skerry_train.data import place
    from skerry_train.run import Wanted, lines, open_run, train
    from skerry_train.settings import read_train
    from skerry_train.world import StopRequest, join

    open_run(told.run)
    settings = read_train(told.run)
    price = None
    if settings.machine is not None:
        machine = find_machine(settings.machine, read_machines(told.machines))
        price = machine.price_usd_micros_per_hour
    with join(told.device) as world, StopRequest() as stop:
        if world.is_first_here:
            _fetch(told, settings.dataset)
        world.barrier()
        wanted = Wanted(told.run, place(told.datasets, settings.dataset), told.resume, price)
        with Screen(told, settings, price, is_shown=world.is_first) as screen:
            summary = train(wanted, world, stop, screen)
    for line in lines(summary) if summary is not None else []:
        print(line)
    return 0


def _fetch(told: argparse.Namespace, name: str) -> None:
    """Bring the data set, if it is not there."""
    from tqdm import tqdm

    from skerry_train.data import fetch

    with tqdm(unit="B", unit_scale=True, file=sys.stderr, disable=None, leave=False) as bar:

        def advance(file: str, done: int, size: int | None) -> None:
            bar.set_description(file, refresh=False)
            bar.total = size
            bar.update(done - bar.n)

        fetch(told.datasets, name, told.source, advance)


class Screen:
    """What is seen of a run: a bar with its loss and speed, a forecast, and charts at each checkpoint."""

    def __init__(
        self,
        told: argparse.Namespace,
        settings: TrainSettings,
        price: int | None,
        *,
        is_shown: bool,
    ) -> None:
        from tqdm import tqdm

        is_seen = sys.stderr.isatty()
        self._told, self._settings, self._price, self._is_shown = told, settings, price, is_shown
        self._bar = tqdm(
            disable=not is_shown,
            unit="step",
            mininterval=0.2 if is_seen else 10,
            dynamic_ncols=True,
        )
        self._shown = 0
        self._drawing: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._drawing is not None:
            self._drawing.wait()
            self._draw()
            self._drawing.wait()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._is_shown:
            self._bar.write(text, file=sys.stderr)

    def show(self, step: Step) -> None:
        """Move the bar to a step."""
        from skerry_train.bill import FORECAST_STEPS

        speed = f"{step.tokens_per_s:,.0f}" if step.tokens_per_s else "-"
        loss = f"{step.loss:.3f}" if step.loss is not None else "-"
        self._bar.set_postfix_str(f"loss {loss}, {speed} tokens/s", refresh=False)
        self._bar.update(step.step - self._bar.n)
        self._shown += 1
        if self._shown == FORECAST_STEPS:
            self._forecast()

    def saved(self) -> None:
        """Have charts drawn, by a process of its own that takes nothing from the run; one at a time."""
        if not self._told.no_charts and (self._drawing is None or self._drawing.poll() is not None):
            self._draw()

    def _draw(self) -> None:
        command = [sys.executable, "-m", "skerry_train", "chart", str(self._told.run)]
        if self._told.machines is not None:
            command += ["--machines", str(self._told.machines)]
        self._drawing = subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=subprocess.DEVNULL, process_group=0
        )
        # Training comes first.
        os.setpriority(os.PRIO_PROCESS, self._drawing.pid, 10)

    def _forecast(self) -> None:
        from skerry_train.bill import dollars, duration, forecast
        from skerry_train.record import read_records

        told = forecast(read_records(self._told.run), self._settings, self._price)
        if told is not None:
            money = f", {dollars(told.cost_total_usd_micros)}" if self._price is not None else ""
            self.say(f"to be expected: {duration(told.seconds_total)} in all{money}")


def _gpus(device: str | None) -> int:
    if device == "cpu":
        return 1
    import torch

    return max(torch.cuda.device_count(), 1)


def _words(told: argparse.Namespace) -> list[str]:
    """Return the words of the command for each process that is launched."""
    words = ["train", str(told.run), str(told.datasets)]
    for name in ("resume", "device", "machines", "source"):
        if (value := getattr(told, name)) is not None:
            words += [f"--{name}", str(value)]
    words += ["--no-charts"] if told.no_charts else []
    return [*words, "-f"] if told.find_max_microbatch_size else words
