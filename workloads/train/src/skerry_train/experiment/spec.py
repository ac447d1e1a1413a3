"""What an experiment is: a baseline with several seeds, and interventions that change it.

It does not know how runs are made of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from skerry_train.errors import BadSettings
from skerry_train.settings import PRESETS, ModelSettings, TrainSettings, convert, read

FILE = "experiment.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `model.json` and of `train.json`."""

    model: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment. `preset`: what the baseline's settings are laid over, None for nothing."""

    preset: str | None = None
    baseline: Changes = Changes()
    seeds: list[int] = msgspec.field(default_factory=lambda: [42])
    """The baseline is trained with each; interventions with the first."""
    interventions: dict[str, Changes] = {}


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of an experiment. `changed`: settings by which it differs from the baseline, sorted."""

    name: str
    model: dict[str, Any]
    train: dict[str, Any]
    is_baseline: bool
    changed: list[str]


def read_spec(folder: Path) -> Spec:
    """Read `experiment.json`. Raises BadSettings if a run of it could not be trained."""
    spec = read(folder / FILE, Spec)
    if spec.preset is not None and spec.preset not in PRESETS:
        raise BadSettings(f"there is no preset {spec.preset!r}; there are {', '.join(PRESETS)}")
    if not spec.seeds or len(set(spec.seeds)) != len(spec.seeds):
        raise BadSettings("seeds has to list one seed or several, each once")
    for name in spec.interventions:
        if not _NAME.fullmatch(name) or name.startswith("baseline"):
            raise BadSettings(
                f"{name!r} is no name of an intervention: small letters, digits and dashes, and not"
                " baseline"
            )
    planned(spec)
    return spec


def planned(spec: Spec) -> list[PlannedRun]:
    """Return the runs, the baseline's first. Raises BadSettings if one of them could not be trained."""
    base = PRESETS[spec.preset] if spec.preset is not None else {"model": {}, "train": {}}
    model, train = base["model"] | spec.baseline.model, base["train"] | spec.baseline.train
    runs = [
        PlannedRun(
            name=f"baseline-seed-{seed}", model=model, train=train | {"random_seed": seed},
            is_baseline=True, changed=[],
        )
        for seed in spec.seeds
    ]  # fmt: skip
    first = runs[0]
    _changed(first, first)
    for name, changes in spec.interventions.items():
        wanted = PlannedRun(
            name=name, model=model | changes.model, train=first.train | changes.train,
            is_baseline=False, changed=[],
        )  # fmt: skip
        runs.append(msgspec.structs.replace(wanted, changed=_changed(first, wanted)))
    return runs


def _changed(first: PlannedRun, other: PlannedRun) -> list[str]:
    """Return the settings that differ, defaults that are written out being what they are."""
    kinds = ((ModelSettings, first.model, other.model), (TrainSettings, first.train, other.train))
    changed: list[str] = []
    for kind, mine, theirs in kinds:
        was, now = (
            msgspec.structs.asdict(convert(each, kind, f"the settings of {run.name}"))
            for each, run in ((mine, first), (theirs, other))
        )
        changed += [name for name in was if was[name] != now[name]]
    return sorted(changed)
