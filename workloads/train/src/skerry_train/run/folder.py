"""The directory of a run: where each thing lies in it.

It does not know what is in those things.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skerry_train.errors import BadSettings


@dataclass(frozen=True)
class RunFolder:
    """A run's directory, which is there."""

    path: Path

    @property
    def name(self) -> str:
        """Return what the run is called."""
        return self.path.resolve().name

    @property
    def checkpoints(self) -> Path:
        """Return where checkpoints are kept."""
        return self.path / "checkpoints"


def open_run(path: Path) -> RunFolder:
    """Return a run's directory. Raises BadSettings if there is none."""
    if not path.is_dir():
        raise BadSettings(
            f"there is no run directory {path}; make it with `skerry-train init {path}`, or put a"
            " model.json and a train.json into one"
        )
    return RunFolder(path)


def checkpoint_name(folder: Path, now: datetime, step: int) -> str:
    """Return a name for a checkpoint, `20260102Z030405-iteration-617`, that none has. now: in UTC."""
    while (folder / (name := f"{now:%Y%m%dZ%H%M%S}-iteration-{step}")).exists():
        now += timedelta(seconds=1)
    return name


def set_aside(folder: Path, now: datetime) -> Path:
    """Give a folder of checkpoints another name, so that a run begins anew and nothing is lost."""
    while (aside := folder.with_name(f"{folder.name}-before-{now:%Y%m%dZ%H%M%S}")).exists():
        now += timedelta(seconds=1)
    return folder.rename(aside)


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)
