"""What a run writes down is read again, whatever became of the file."""

import contextlib
from pathlib import Path

import msgspec
import pytest

from skerry_train.errors import NoRoom
from skerry_train.record import (
    Clock,
    End,
    Journal,
    Line,
    Session,
    Step,
    Summary,
    Validation,
    read_records,
    read_summary,
    write_summary,
)

SESSION = Session(
    at="2026-01-01T00:00:00Z", step=0, steps=9, world_size=1, device="cpu", parameters=1,
    global_batch=2, microbatch=2, tokens_per_step=32,
)  # fmt: skip
SUMMARY = Summary(
    run="r", reason="done", steps=9, tokens=9, tokens_per_s=1.5, final_train_loss=1.0,
    final_val_loss=None, best_step=None, best_loss=None, clock_s=Clock(train=2.0), world_size=1,
    device="cpu", machine=None, price_usd_micros_per_hour=None, cost_usd_micros=None,
    cost_without_validation_usd_micros=None, parameters=1, global_batch=2, microbatch=2,
)  # fmt: skip


def step(number: int, loss: float | None = 1.0) -> Step:
    return Step(
        step=number, tokens=number, loss=loss, loss_min=loss, loss_max=loss, lr=1e-3, grad_norm=1.0
    )


def write(run: Path, *lines: Line) -> None:
    journal = Journal(run)
    journal.add(lines)
    journal.close()


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, SESSION, step(1), step(2, None))
    write(tmp_path, step(3))

    records = read_records(tmp_path)

    assert records.sessions == [SESSION]
    assert records.steps == [step(1), step(2, None), step(3)]


def test_a_run_that_has_not_begun_has_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path).steps == []


def test_a_torn_line_takes_no_other_with_it(tmp_path: Path) -> None:
    write(tmp_path, step(1), step(2))
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-9] + b"")
    write(tmp_path, step(3))

    assert [each.step for each in read_records(tmp_path).steps] == [1, 3]


@pytest.mark.parametrize(
    "line", [b"{}", b"[", b"\0\xff", b'{"kind":"other"}', b"[" * 9000, b"1" * 99999]
)
def test_a_line_of_no_kind_is_passed_over(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, step(1))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(line + b"\n")
    write(tmp_path, step(2))

    assert [each.step for each in read_records(tmp_path).steps] == [1, 2]


def test_a_session_from_an_earlier_step_undoes_what_came_after_it(tmp_path: Path) -> None:
    validation = Validation(step=3, loss=1.0, tokens=1, seconds=1.0)
    again = msgspec.structs.replace(SESSION, step=1)
    write(tmp_path, SESSION, step(1), step(2), step(3), validation, again, step(2, 5.0))

    records = read_records(tmp_path)

    assert records.steps == [step(1), step(2, 5.0)]
    assert records.validations == []


def test_a_session_is_open_until_it_ends(tmp_path: Path) -> None:
    write(tmp_path, SESSION, step(1))
    assert read_records(tmp_path).is_open

    write(tmp_path, End(step=1, reason="stopped", clock_s=Clock()))
    assert not read_records(tmp_path).is_open

    write(tmp_path, msgspec.structs.replace(SESSION, step=1))
    assert read_records(tmp_path).is_open


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path)

    with pytest.raises(NoRoom, match="the disk is full"):
        journal.add([step(1)])
    with contextlib.suppress(OSError):
        journal.close()


def test_a_summary_is_read_again(tmp_path: Path) -> None:
    write_summary(tmp_path, SUMMARY)

    assert read_summary(tmp_path) == SUMMARY
    assert [each.name for each in tmp_path.iterdir()] == ["summary.json"]
    assert read_summary(tmp_path / "nowhere") is None


def test_clocks_add_up() -> None:
    both = Clock(train=1.0, idle=2.0).plus(Clock(train=3.0, setup=4.0))

    assert both == Clock(train=4.0, idle=2.0, setup=4.0)
    assert both.total == 10.0
