"""The losses of several runs in one chart.

It does not know which of them is the better one; the legend has them by their last loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, FuncFormatter

from skerry_train.chart.columns import Band, Column, band, columns, highest, lowest
from skerry_train.chart.paper import COLOURS, LINE_STYLES, around, sheet
from skerry_train.chart.single import loss_range
from skerry_train.record import Records

# Fewer than for one run: over a few steps each, lines that lie close together can be told apart.
_POINTS_MAX = 200
_NAMES_MAX = 18
_UNITS = ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"))


@dataclass(frozen=True)
class _Run:
    name: str
    line: Band
    last: float


def comparison_chart(runs: Mapping[str, Records]) -> Figure:
    """Draw the training losses of some runs over the tokens that each has seen.

    Steps would not do: they differ in size from run to run. The last loss is the mean over the last
    hundredth of a run, since that of one step is chance.
    """
    drawn = sorted((_run(name, each) for name, each in runs.items()), key=_by_last)
    together = Band(
        *(np.concatenate([getattr(each.line, side) for each in drawn]) for side in _SIDES)
    )
    bottom, top, note = loss_range(_in_order(together), np.array([]))
    most = highest(together.x)
    size, unit = next(((s, u) for s, u in _UNITS if (most or 0) >= s), (1.0, "number"))
    figure, (axes,) = sheet(
        "training loss", [f"{len(drawn)} runs, each a mean over neighbouring steps", *note]
    )
    for place, each in enumerate(drawn):
        axes.plot(
            each.line.x / size,
            each.line.mean,
            color=COLOURS[place % len(COLOURS)],
            linestyle=LINE_STYLES[place // len(COLOURS) % len(LINE_STYLES)],
            marker="o" if len(each.line.x) == 1 else None,
            label=_label(each) if place < _NAMES_MAX else None,
        )
    axes.set_ylim(bottom, top)
    axes.xaxis.set_major_locator(AutoLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    around(axes, *((None, None) if most is None else (lowest(together.x / size), most / size)))
    axes.set_xlabel(f"tokens seen ({unit})")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(loc="upper right", title=_title(len(drawn)), alignment="left")
    return figure


_SIDES = ("x", "mean", "low", "high")


def _run(name: str, records: Records) -> _Run:
    rows = columns(records)
    line = band(rows.tokens, rows.loss, points_max=_POINTS_MAX)
    tail = rows.loss[-max(1, len(rows.loss) // 100) :]
    numbers = tail[np.isfinite(tail)]
    # The band of all would be a wall of colours: what is shown is the means alone.
    flat = Band(line.x, line.mean, line.mean, line.mean)
    return _Run(name, flat, float(numbers.mean()) if len(numbers) else np.nan)


def _in_order(line: Band) -> Band:
    order = np.argsort(line.x, kind="stable")
    return Band(*(_picked(getattr(line, side), order) for side in _SIDES))


def _picked(values: Column, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Column:
    return values[order]


def _by_last(run: _Run) -> tuple[bool, float, str]:
    return (bool(np.isnan(run.last)), run.last, run.name)


def _label(run: _Run) -> str:
    name = run.name if len(run.name) <= 32 else run.name[:31] + "…"
    return f"{run.last:.3f}  {name}" if np.isfinite(run.last) else f"no number  {name}"


def _title(runs: int) -> str | None:
    return f"the first {_NAMES_MAX} of {runs}" if runs > _NAMES_MAX else "last loss"


def _plain(value: float, _place: int) -> str:
    return f"{value:g}"
