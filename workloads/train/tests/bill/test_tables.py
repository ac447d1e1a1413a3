"""Tables of recorded runs, and how tables are written."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_train.bill import Table, csv_text, markdown, outcome, report_tables, text, whole
from skerry_train.bill.fits import BatchCurve, batch_curve, memory_line
from skerry_train.errors import BadSettings
from skerry_train.record import Clock, End, write_summary
from tests.recorded import session, step, summary, validation, write


def recorded(folder: Path, name: str, batch: int, loss: float) -> Path:
    """Record a run of an hour and six minutes on 8 A100, of which six went into validation."""
    run = folder / name
    clock = Clock(setup=60.0, compile=30.0, train=3570.0, validate=360.0)
    begun = session(global_batch=batch, microbatch=batch // 8)
    write(run, begun, step(1), validation(1, loss), End(step=1, reason="done", clock_s=clock))
    write_summary(
        run, summary(run=name, clock_s=clock, peak_memory_bytes=(11 << 30) + batch * (1 << 28))
    )
    return run


def tables(folder: Path, *runs: tuple[str, int, float]) -> dict[str, Table]:
    outcomes = [outcome(recorded(folder, *run)) for run in runs]
    return {each.name: each for each in report_tables(outcomes)}


def test_a_recorded_run_costs_its_clock_with_and_without_validation(tmp_path: Path) -> None:
    made = tables(tmp_path, ("a", 96, 3.7))

    (row,) = csv.DictReader(io.StringIO(csv_text(made["cost"])))

    assert row["run_s"] == "3960.0"
    assert row["cost_usd_micros"] == "11352000"
    assert row["validation_cost_usd_micros"] == "1032000"
    assert row["cost_without_validation_usd_micros"] == "10320000"
    assert row["whole_cost_usd_micros"] == "11524000"


def test_the_clock_is_a_table_whose_costs_add_up(tmp_path: Path) -> None:
    made = tables(tmp_path, ("a", 96, 3.7))

    (row,) = csv.DictReader(io.StringIO(csv_text(made["clock"])))

    parts = [int(value) for name, value in row.items() if name.endswith("_cost_usd_micros")]
    assert sum(parts) == 11_524_000
    assert row["all_s"] == "4020.0"


def test_runs_are_sorted_by_loss_and_columns_that_nobody_has_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "evaluation.json").write_text('{"held_back_loss": 3.6, "more": 1}')

    losses = tables(tmp_path, ("a", 96, 3.7), ("b", 96, 3.9), ("c", 96, 3.65))["losses"]

    assert [row[0] for row in losses.rows] == ["b", "c", "a"]
    heads = [each.name for each in losses.columns]
    assert heads == ["run", "global_batch", "held_back_loss", "val_loss", "train_loss"]


def test_fits_are_drawn_where_there_are_enough_runs(tmp_path: Path) -> None:
    few = tables(tmp_path, ("a", 96, 3.7), ("b", 96, 3.7))
    many = tables(tmp_path, ("c", 16, 3.8), ("d", 96, 3.6), ("e", 512, 3.9))

    assert set(few) == {"cost", "clock", "losses"}
    assert set(many) == {"cost", "clock", "losses", "memory", "batch"}
    assert many["memory"].notes == ("Line: 11.00 GiB + 2.000 GiB for each sequence.",)


def test_a_run_that_has_done_nothing_has_its_row(tmp_path: Path) -> None:
    write(tmp_path / "new", session(machine="of mine"))

    cost, clock, _ = (markdown(each) for each in report_tables([outcome(tmp_path / "new")]))

    assert "| new | - | - | 12 | 96 | - | - | 0.0s | - |" in cost
    assert "| new | 0.0s |" in clock


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="there is no run directory"):
        outcome(tmp_path / "nowhere")


@given(st.lists(st.tuples(st.text(), st.integers() | st.none()), max_size=4))
def test_any_name_is_one_cell(rows: list[tuple[str, int | None]]) -> None:
    table = Table("t", "T", (text("a", "a"), whole("b", "b")), rows)

    lines = markdown(table).splitlines()

    assert len(lines) == 4 + len(rows)
    assert next(csv.reader(io.StringIO(csv_text(table)))) == ["a", "b"]


def test_too_few_points_have_no_fit_and_a_hill_has_no_best_batch() -> None:
    assert memory_line([(6, 1.0), (6, 2.0)]) is None
    assert batch_curve([(6, 1.0), (8, 2.0), (8, 3.0)]) is None
    assert BatchCurve(-1.0, 0.0, 0.0).best_batch is None
    assert BatchCurve(1e-9, 1.0, 0.0).best_batch is None
