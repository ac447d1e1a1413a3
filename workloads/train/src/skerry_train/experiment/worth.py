"""What each intervention is worth: its loss beside the baseline's, and beside the noise of its seeds.

Pure functions of losses.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec

from skerry_train.bill import Outcome, Table, decimal, text
from skerry_train.experiment.spec import PlannedRun

_SEEDS_MIN = 3  # two tell next to nothing of how far a third would be
# Student's t, two-sided at 95 %, for 2 to 10 degrees of freedom and for more: with few seeds the noise
# itself is badly known, and a gain has to be that much larger. Source: any table of the distribution.
_T_95 = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T_95_MORE = 2.228
_KINDS = {
    "held_back_loss": "held-back loss",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """How the baseline's loss lies over its seeds. `deviation` is None with fewer than three."""

    seeds: int
    mean: float
    deviation: float | None


def noise(losses: Sequence[float]) -> Noise:
    """Return the mean, and the standard deviation of a sample, of the baseline's losses."""
    enough = len(losses) >= _SEEDS_MIN
    return Noise(
        seeds=len(losses),
        mean=statistics.fmean(losses),
        deviation=statistics.stdev(losses) if enough else None,
    )


def chance(seeds: int) -> float:
    """Return how many deviations from the mean of some seeds one further run may lie by chance.

    19 of 20 lie nearer. seeds: three or more. Source: the prediction interval of a normal sample.
    """
    assert seeds >= _SEEDS_MIN
    freedom = seeds - 1
    t = _T_95[freedom - 2] if freedom - 2 < len(_T_95) else _T_95_MORE
    return t * math.sqrt(1 + 1 / seeds)


def losses_of_one_kind(outcomes: Mapping[str, Outcome]) -> tuple[str, dict[str, float]]:
    """Return the first kind of loss that all runs with any loss have, in words, and it by run."""
    rows = {name: each.loss for name, each in outcomes.items()}
    known = {n: r for n, r in rows.items() if any(getattr(r, kind) is not None for kind in _KINDS)}
    for kind, words in _KINDS.items():
        if all(getattr(row, kind) is not None for row in known.values()):
            return words, {name: getattr(row, kind) for name, row in known.items()}
    return "training loss", {}


def worth_table(runs: Sequence[PlannedRun], losses: Mapping[str, float], kind: str) -> Table:
    """Return the runs by their losses, the worst first, with what each is worth.

    A gain is how much lower a loss is than the mean of the baseline's; its deviations are the gain over
    the noise. Source: the posts' table of interventions.
    """
    base = [losses[each.name] for each in runs if each.is_baseline and each.name in losses]
    spread = noise(base) if base else None
    rows: list[tuple[str, str, float | None, float | None, float | None]] = []
    for each in runs:
        loss = losses.get(each.name)
        gain = spread.mean - loss if spread is not None and loss is not None else None
        is_told = gain is not None and not each.is_baseline
        deviations = (
            gain / spread.deviation
            if is_told and gain is not None and spread is not None and spread.deviation
            else None
        )
        rows.append(
            (each.name, ", ".join(each.changed), loss, gain if is_told else None, deviations)
        )
    rows.sort(key=lambda row: (row[2] is None, -(row[2] or 0)))
    columns = (
        text("run", "run"), text("changed", "changes"), decimal("loss", kind, 6),
        decimal("gain", "better by", 3, sign="+"), decimal("deviations", "in deviations of the noise", 1, sign="+"),
    )  # fmt: skip
    return Table("experiment", "What each change is worth", columns, rows, _notes(runs, spread))


def _notes(runs: Sequence[PlannedRun], spread: Noise | None) -> list[str]:
    notes: list[str] = []
    if spread is None:
        notes.append("The baseline has no loss yet.")
    elif spread.deviation is None:
        notes.append(
            f"The baseline has {spread.seeds} of the {_SEEDS_MIN} seeds that it takes to tell a gain from"
            " noise."
        )
    else:
        notes.append(
            f"The baseline: {spread.mean:.6f}, with a deviation of {spread.deviation:.6f} over"
            f" {spread.seeds} seeds. A gain of less than {chance(spread.seeds):.1f} deviations may be"
            " chance: one further seed in twenty would lie as far off."
        )
    several = [each.name for each in runs if len(each.changed) > 1]
    if several:
        notes.append(f"More than one setting is changed by: {', '.join(several)}.")
    return notes
