"""Charts of runs of every kind: all can be drawn, and show what they should."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from skerry_train.chart import CHARTS, PAGE, draw, draw_comparison, drawn
from skerry_train.chart.columns import band
from skerry_train.chart.single import loss_range
from skerry_train.record import Records
from tests.recorded import checkpoint, records, session, status, step, validation, write

NO_NUMBERS = {"loss": None, "loss_min": None, "loss_max": None, "grad_norm": None}


def words(svg: bytes) -> str:
    return " ".join(ET.fromstring(svg).itertext())


def test_a_run_is_drawn_into_its_directory_and_nothing_else_is_left_there(tmp_path: Path) -> None:
    write(tmp_path, session(), *(step(n) for n in range(1, 99)))

    files = draw(tmp_path)

    names = {f"{name}.{kind}" for name in CHARTS for kind in ("svg", "png")} | {"index.html"}
    assert {each.name for each in files} == names
    assert {each.name for each in tmp_path.iterdir()} == names | {"metrics.jsonl"}
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_loss_chart_tells_validation_and_the_best_checkpoint() -> None:
    run = records(700)
    run.validations = [validation(n) for n in (1, 300, 600)]
    run.checkpoints = [checkpoint(300), checkpoint(617), checkpoint(700, is_best=False)]

    text = words(drawn(status(run))["loss.svg"])

    for expected in ("8xa100m40: loss", "validation", "best: step 617", "700 of 1,000 steps"):
        assert expected in text


def test_the_same_records_are_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    write(tmp_path, session(), *(step(n) for n in range(1, 99)), checkpoint(50))
    here = {each.name: each.read_bytes() for each in draw(tmp_path)}
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nsvg.hashsalt: other\n")
    code = "import sys, pathlib, skerry_train.chart as c; c.draw(pathlib.Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path)}

    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)

    assert {name: (tmp_path / name).read_bytes() for name in here} == here


@pytest.mark.parametrize(
    "run",
    [
        Records(),
        Records(sessions=[session()]),
        Records(sessions=[session(steps=1)], steps=[step(1)]),
        Records(sessions=[session()], steps=[step(n, **NO_NUMBERS) for n in range(1, 99)]),
        Records(sessions=[session()], steps=[step(n, is_skipped=True) for n in range(1, 99)]),
        Records(sessions=[session()], steps=[step(n, loss=1e300, loss_max=1e305) for n in (1, 2)]),
        Records(sessions=[session()], steps=[step(n, grad_norm=0.0, lr=0.0) for n in (1, 2, 3)]),
        Records(sessions=[session()], steps=[step(n, tokens_per_s=None, mfu=None) for n in (1, 2)]),
    ],
    ids=["nothing", "no step", "one", "NaN", "skipped", "huge", "zero", "no speed"],
)
def test_every_kind_of_run_can_be_drawn(run: Records) -> None:
    assert all(len(data) > 1000 for data in drawn(status(run, "run $x^2$ \udc80\n")).values())


def test_a_million_steps_are_a_small_file() -> None:
    run = Records(sessions=[session()], steps=records(1000).steps * 1000)

    files = drawn(status(run))

    assert all(len(data) < 150_000 for name, data in files.items() if name != PAGE)


def test_the_first_losses_may_leave_the_chart_and_it_is_said() -> None:
    steps, losses = np.arange(1.0, 1001), np.full(1000, 3.6)
    losses[:5] = 11.0

    bottom, top, note = loss_range(band(steps, losses), np.array([]))

    assert bottom < 3.6 < top < 4
    assert note == ["up to 11, above the chart"]


def test_what_diverges_does_not_flatten_the_rest() -> None:
    losses = np.linspace(11.0, 3.6, 1000)
    losses[900:] = 1e30

    _, top, note = loss_range(band(np.arange(1.0, 1001), losses), np.array([]))

    assert top < 13
    assert note == ["up to 1e+30, above the chart"]


def test_runs_are_compared_in_one_chart_with_the_best_first(tmp_path: Path) -> None:
    for name, above in (("a", 0.5), ("b", 0.0), ("c", 1.0)):
        write(tmp_path / name, session(), *(step(n, loss=3.5 + above) for n in range(1, 300)))
    write(tmp_path / "d", session())

    svg, png = draw_comparison([tmp_path / name for name in "abcd"], tmp_path / "made" / "here")

    text = words(svg.read_bytes())
    assert text.index("3.500") < text.index("4.000") < text.index("4.500") < text.index("no number")
    assert png.name == "comparison.png"


def test_many_runs_can_be_compared() -> None:
    from skerry_train.chart.several import comparison_chart

    figure = comparison_chart({str(n): records(40) for n in range(40)})

    assert len(figure.axes[0].get_lines()) == 40
