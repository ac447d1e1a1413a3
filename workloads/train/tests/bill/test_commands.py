"""The commands that show what runs came to."""

import re
from pathlib import Path

import pytest

from skerry_train.cli import main
from tests.recorded import session, step, write


def test_the_posts_report_is_printed_and_written_as_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--posts", "--csv", str(tmp_path / "made")]) == 0

    said = capsys.readouterr().out
    for expected in ("$35.56", "$39.14", "$215.16", "11.48 GiB + 2.346 GiB", "97.1", "163,009,536"):
        assert expected in said
    assert len(list((tmp_path / "made").glob("*.csv"))) == 7


def test_runs_are_drawn_reported_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(tmp_path / name) for name in "ab"]
    for run in runs:
        write(Path(run), session(), step(1), step(2))

    assert main(["chart", runs[0]]) == 0
    assert main(["report", *runs]) == 0
    assert main(["compare", *runs, "--out", str(tmp_path)]) == 0

    assert (tmp_path / "a" / "index.html").exists()
    assert (tmp_path / "comparison.svg").exists()
    assert re.search(r"\| a \| 8xa100m40 \| \$10\.32 ", capsys.readouterr().out)


def test_machines_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machines"]) == 0

    assert "| 8xb200m160 | NVIDIA B200 | 8 | 160 | $39.92 |" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["chart", "watch", "report", "compare"])
def test_a_run_that_is_not_there_is_told_in_a_sentence(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path / "nowhere")]) == 2
    assert "there is no run directory" in capsys.readouterr().err
