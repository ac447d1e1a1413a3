"""The files of charts: in a run's directory, whole or not there.

It does not know what the charts show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from skerry_train.chart.paper import png, style, svg
from skerry_train.chart.several import comparison_chart
from skerry_train.chart.single import CHARTS
from skerry_train.record import Records, read_records, replace

COMPARISON = "comparison"


def drawn(name: str, records: Records) -> dict[str, bytes]:
    """Return a run's charts, by the names of their files, as SVG and as PNG.

    A thread at a time may draw.
    """
    with style():
        return {
            file: data
            for chart, draw in CHARTS.items()
            for file, data in _both(chart, draw(name, records)).items()
        }


def draw(run: Path) -> list[Path]:
    """Draw all charts of a run into its directory, over earlier ones.

    Raises NoRoom if the disk is full. Returns the files.
    """
    return _written(run, drawn(run.resolve().name, read_records(run)))


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
