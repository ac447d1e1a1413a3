"""Training the runs of an experiment one after another; one that is done is not trained again.

It does not know how a run is launched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from skerry_train.errors import BadSettings, TrainerError
from skerry_train.experiment.spec import PlannedRun, planned, read_spec
from skerry_train.record import read_summary, replace

Launch = Callable[[Path], int]
"""Trains the run in a directory, or goes on with it, and returns its exit code."""


def perform(folder: Path, launch: Launch, say: Callable[[str], None]) -> list[str]:
    """Train what is not done yet and return the names of the runs that failed.

    Raises BadSettings if the experiment, or a run that is there, is not as it should be.
    """
    failed: list[str] = []
    for each in planned(read_spec(folder)):
        run = folder / each.name
        _write(run, each)
        if is_over(run):
            say(f"{each.name}: done already")
            continue
        say(f"{each.name}: {', '.join(each.changed) or 'the baseline'}")
        code = launch(run)
        if code < 0:
            raise TrainerError(f"{each.name} was ended by signal {-code}; run it again to go on")
        if code == 0 and not is_over(run):
            raise TrainerError(f"{each.name} was stopped before its end; run it again to go on")
        if code:
            failed.append(each.name)
    return failed


def is_over(run: Path) -> bool:
    """Tell whether a run has come to its end, or to where it would come again: a loss that is no number."""
    summary = read_summary(run)
    return summary is not None and summary.reason in {"done", "diverged"}


def _write(run: Path, wanted: PlannedRun) -> None:
    """Make a run's directory. Raises BadSettings if it is another run's."""
    run.mkdir(exist_ok=True)
    for name, settings in (("model.json", wanted.model), ("train.json", wanted.train)):
        text = json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n"
        if not (run / name).exists():
            replace(run / name, text)
        elif (run / name).read_bytes() != text:
            raise BadSettings(
                f"{run / name} is not what the experiment says; remove {run}, or set it back"
            )
