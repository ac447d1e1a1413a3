"""The charts of one run: its loss, its gradients, its learning rate, its speed.

It does not know where the records come from, nor where the pictures go.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from skerry_train.chart.columns import Band, Column, Columns, band, columns, highest, lowest
from skerry_train.chart.paper import BLUE, GREEN, VERMILION, around, legend, sheet
from skerry_train.record import Records

# Below so many points a line alone would hide where they are, or, of one, show nothing.
_POINTS_TO_MARK = 30
_CLIPPED_PLACES = 100
_SPREAD_FOR_LOG = 10


def loss_chart(name: str, records: Records) -> Figure:
    """Draw the mean loss with its band, the validations, and where the best checkpoint is."""
    rows = columns(records)
    line = band(rows.step, rows.loss, rows.loss_min, rows.loss_max)
    bottom, top, note = loss_range(line, np.array([each.loss for each in records.validations]))
    figure, (axes,) = sheet(f"{name}: loss", [*note, *_about(records)])
    _shade(axes, line, BLUE, "lowest to highest micro-batch")
    _line(axes, line.x, line.mean, BLUE, "training")
    if records.validations:
        steps = [each.step for each in records.validations]
        losses = [each.loss for each in records.validations]
        few = "o" if len(steps) <= _POINTS_TO_MARK else None
        axes.plot(steps, losses, color=VERMILION, marker=few, markersize=4, label="validation")
    best = [each.step for each in records.checkpoints if each.is_best]
    if best:
        axes.axvline(best[-1], color=GREEN, linestyle="--", label=f"best: step {best[-1]:,}")
    axes.set_ylim(bottom, top)
    _marks(axes, rows.step, np.isnan(rows.loss).astype(np.float64), "no number")
    axes.set_ylabel("loss (nats per token)")
    return _finished(figure, axes, axes, rows.step)


def grad_norm_chart(name: str, records: Records) -> Figure:
    """Draw the gradients' norm before clipping, and which part of the steps was clipped."""
    rows = columns(records)
    line = band(rows.step, rows.grad_norm)
    is_any_clipped = bool(rows.is_clipped.any())
    notes = [f"{100 * rows.is_clipped.mean():.3g} % of the steps clipped"] if is_any_clipped else []
    notes += _about(records)
    figure, axes = sheet(f"{name}: gradient norm", notes, (3, 1) if is_any_clipped else (1,))
    if len(rows.step) > len(line.x):
        _shade(axes[0], line, BLUE, "lowest to highest")
    _line(axes[0], line.x, line.mean, BLUE, "mean")
    middle, top = np.nanmedian(line.mean) if highest(line.mean) else 0.0, highest(line.high)
    if top is not None and middle > 0 and top > _SPREAD_FOR_LOG * middle:
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter(FuncFormatter(_plain))
        axes[0].minorticks_off()
    else:
        axes[0].set_ylim(bottom=0)
    _marks(axes[0], rows.step, rows.is_skipped, "skipped")
    axes[0].set_ylabel("norm, before clipping")
    if is_any_clipped:
        share = band(rows.step, rows.is_clipped * 100, points_max=_CLIPPED_PLACES)
        axes[1].fill_between(
            share.x, share.mean, color=VERMILION, alpha=0.5, linewidth=0, step="mid"
        )
        axes[1].set_ylim(0, 1.1 * (highest(share.mean) or 1))
        axes[1].set_ylabel("clipped (%)")
    return _finished(figure, axes[0], axes[-1], rows.step)


def learning_rate_chart(name: str, records: Records) -> Figure:
    """Draw the learning rate."""
    rows = columns(records)
    line = band(rows.step, rows.lr)
    top = highest(rows.lr)
    notes = ([] if top is None else [f"at most {top:.3g}"]) + _about(records)
    figure, (axes,) = sheet(f"{name}: learning rate", notes)
    _line(axes, line.x, line.mean, BLUE, None)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.set_ylabel("learning rate")
    return _finished(figure, axes, axes, rows.step)


def speed_chart(name: str, records: Records) -> Figure:
    """Draw the tokens that all processes together train on in a second."""
    rows = columns(records)
    line = band(rows.step, rows.tokens_per_s)
    figure, (axes,) = sheet(f"{name}: speed", _speed_notes(rows) + _about(records))
    if len(rows.step) > len(line.x):
        _shade(axes, line, BLUE, "slowest to fastest")
    _line(axes, line.x, line.mean, BLUE, "mean")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set_ylabel("tokens a second")
    return _finished(figure, axes, axes, rows.step)


CHARTS: dict[str, Callable[[str, Records], Figure]] = {
    "loss": loss_chart,
    "grad_norm": grad_norm_chart,
    "learning_rate": learning_rate_chart,
    "speed": speed_chart,
}
"""The charts of a run, by the names of their files."""


def loss_range(line: Band, validations: Column) -> tuple[float, float, list[str]]:
    """Return the lowest and highest loss to show, and a note of what lies above.

    A run begins so far up that all the rest would be a flat line, so its first fiftieth may leave the
    chart at the top; so may what diverges, above where it began.
    """
    bottom, top = lowest(line.low, validations), highest(line.high, validations)
    if bottom is None or top is None:
        return 0.0, 1.0, []
    shown = top
    if len(line.x) >= 50:
        settled = line.x >= line.x[0] + (line.x[-1] - line.x[0]) / 50
        shown = highest(line.high[settled]) or top
        first = line.mean[np.isfinite(line.mean)][:1]
        shown = min(shown, float(first[0]) * 1.1) if len(first) else shown
    margin = max((shown - bottom) * 0.05, abs(bottom) * 0.001, 1e-9)
    note = [f"up to {top:.4g}, above the chart"] if top > shown + margin else []
    return bottom - margin, shown + margin, note


def _about(records: Records) -> list[str]:
    if not records.sessions:
        return []
    last = records.sessions[-1]
    done = records.steps[-1].step if records.steps else last.step
    return [
        f"{done:,} steps" if done == last.steps else f"{done:,} of {last.steps:,} steps",
        f"{last.parameters / 1e6:,.1f}M parameters",
        f"{last.tokens_per_step:,} tokens a step",
        f"{last.world_size} x {last.device}" if last.world_size > 1 else last.device,
    ]


def _speed_notes(rows: Columns) -> list[str]:
    notes: list[str] = []
    if highest(rows.tokens_per_s) is not None:
        notes.append(f"mean {np.nanmean(rows.tokens_per_s):,.0f}")
    if highest(rows.mfu) is not None:
        notes.append(f"MFU {100 * np.nanmean(rows.mfu):.1f} %")
    return notes


def _line(axes: Axes, x: Column, y: Column, colour: str, label: str | None) -> None:
    few = "o" if len(x) <= _POINTS_TO_MARK else None
    axes.plot(x, y, color=colour, marker=few, markersize=4, label=label)


def _shade(axes: Axes, line: Band, colour: str, label: str) -> None:
    if len(line.x) == 1:
        axes.vlines(line.x, line.low, line.high, color=colour, alpha=0.5, label=label)
    else:
        axes.fill_between(
            line.x, line.low, line.high, color=colour, alpha=0.22, linewidth=0, label=label
        )


def _marks(axes: Axes, steps: Column, is_marked: Column, label: str) -> None:
    """Mark steps at the lower edge. Many become few, as those of a line do."""
    count = int(is_marked.sum())
    if not count:
        return
    places = band(steps, is_marked)
    x = places.x[places.high > 0]
    axes.plot(
        x,
        np.full(len(x), 0.015),
        linestyle="none",
        marker="x",
        color=VERMILION,
        transform=axes.get_xaxis_transform(),
        label=f"{label} ({count:,})",
    )


def _finished(figure: Figure, legend_axes: Axes, lowest_axes: Axes, steps: Column) -> Figure:
    lowest_axes.set_xlabel("step")
    around(lowest_axes, lowest(steps), highest(steps))
    legend(legend_axes)
    figure.align_ylabels()
    return figure


def _plain(value: float, _place: int) -> str:
    return f"{value:.4g}"


def _thousands(value: float, _place: int) -> str:
    return f"{value / 1000:,g}k" if value else "0"
