"""The files of charts: in a run's directory, whole or not there.

It does not know what the charts show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from skerry_train.bill import Status, status
from skerry_train.chart.page import page
from skerry_train.chart.paper import png, style, svg
from skerry_train.chart.several import comparison_chart
from skerry_train.chart.single import CHARTS
from skerry_train.record import read_records, replace

COMPARISON = "comparison"
PAGE = "index.html"


def drawn(status: Status) -> dict[str, bytes]:
    """Return a run's charts, as SVG and as PNG, and its page, by the names of their files.

    A thread at a time may draw.
    """
    with style():
        files = {
            file: data
            for chart, draw in CHARTS.items()
            for file, data in _both(chart, draw(status.name, status.records)).items()
        }
    return files | {PAGE: page(status, files)}


def draw(run: Path, machines: Path | None = None) -> list[Path]:
    """Draw all charts of a run, and its page, into its directory, over earlier ones.

    machines: a file that adds to the machines that are known. Raises BadSettings if there is no run,
    NoRoom if the disk is full. Returns the files.
    """
    return _written(run, drawn(status(run, machines)))


def draw_comparison(runs: Sequence[Path], folder: Path) -> list[Path]:
    """Draw the losses of some runs in one chart, into a folder. Returns the files."""
    with style():
        figure = comparison_chart({str(each): read_records(each) for each in runs})
        files = _both(COMPARISON, figure)
    folder.mkdir(parents=True, exist_ok=True)
    return _written(folder, files)


def _both(name: str, figure: Figure) -> dict[str, bytes]:
    return {f"{name}.svg": svg(figure), f"{name}.png": png(figure)}


def _written(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    for name, data in files.items():
        replace(folder / name, data)
    return [folder / name for name in files]
