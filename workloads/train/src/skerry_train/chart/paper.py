"""What all charts are drawn on: sizes, colours, and how a drawing becomes the bytes of a file.

It does not know what is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Okabe and Ito's colours, which people of every kind of sight can tell apart, but for their yellow,
# which is too light for a line. Source: "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")
BLUE, VERMILION, GREEN = COLOURS[:3]
INK, FAINT = "#222222", "#666666"

_STYLE: dict[str, Any] = {
    # Text stays text: it can be searched, copied and read aloud, and the files are half as large.
    "svg.fonttype": "none",
    "svg.hashsalt": "skerry",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 10.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "path.simplify": True,
}
_WIDTH_IN, _HEIGHT_IN, _DOTS_PER_IN = 9.0, 4.8, 150


@contextmanager
def style() -> Generator[None]:
    """Draw in our manner, whatever the user's own settings of matplotlib are.

    Holds for the whole process, so one thread at a time may draw.
    """
    with matplotlib.style.context(_STYLE, after_reset=True):
        yield


def sheet(
    title: str, notes: list[str], ratios: tuple[int, ...] = (1,)
) -> tuple[Figure, list[Axes]]:
    """Return a new figure with a title, a line of notes below it, and one set of axes for each ratio."""
    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=_DOTS_PER_IN)
    axes = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.09, right=0.975, top=0.83, bottom=0.115, hspace=0.12)
    figure.text(0.012, 0.945, _short(title, 80), fontsize=13, fontweight="bold")
    figure.text(0.012, 0.898, _short("   ".join(notes), 120), fontsize=9.5, color=FAINT)
    for each in axes:
        each.margins(x=0.01)
        each.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        each.xaxis.set_major_formatter(FuncFormatter(_grouped))
        each.tick_params(length=0)
    return figure, list(axes)


def legend(axes: Axes) -> None:
    """Put the legend in a row above some axes, where no line runs through it."""
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.012, 0.985), ncols=5, columnspacing=1.4)


def around(axes: Axes, low: float | None, high: float | None) -> None:
    """Give a chart of one point some room on both sides, so that its ticks differ."""
    if low is not None and low == high:
        axes.set_xlim(low - 1, low + 1)


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG: the same bytes for the same drawing and version of matplotlib."""
    FigureCanvasSVG(figure)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _grouped(value: float, _place: int) -> str:
    return f"{value:,.0f}"


def _short(text: str, characters_max: int) -> str:
    # What matplotlib can not write (line ends, surrogates of a strange file name) would be an error.
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
