"""The page of a run tells how it stands, and stands alone."""

import re
from html.parser import HTMLParser
from pathlib import Path

from skerry_train.bill import status as status_of
from skerry_train.chart import PAGE, draw, drawn
from skerry_train.record import Clock, End, Records, write_summary
from tests.recorded import checkpoint, records, session, status, step, summary, validation, write

TRAIN = (
    '{"microbatch_size": 12, "dataset": "d", "validation_interval": 300, "validation_batches": 1}'
)


def begun(run: Path) -> Path:
    """Make a run of 8 A100 that has done 400 of 1,000 steps."""
    write(run, session(), *(step(n) for n in range(1, 401)), validation(300), checkpoint(300))
    (run / "train.json").write_text(TRAIN)
    return run


def text_of(page: bytes) -> str:
    return re.sub(r"\s*<[^>]+>\s*", " ", page.decode()).replace("  ", " ")


def test_the_page_tells_figures_clock_cost_and_what_is_to_be_expected(tmp_path: Path) -> None:
    draw(begun(tmp_path / "8xa100m40"))

    text = text_of((tmp_path / "8xa100m40" / PAGE).read_bytes())

    for expected in (
        "running", "step 400 of 1,000", "tokens seen 39,321,600", "MFU 35.0 %",
        "validation loss 4.0000", "best checkpoint step 300", "time left 3m06s", "whole time 4m58s",
        "cost in the end $0.85", "cost so far $0.32", "train 1m40s $0.29", "validate 10.0s $0.03",
    ):  # fmt: skip
        assert expected in re.sub(" +", " ", text)


def test_a_run_that_is_over_is_told_by_its_summary(tmp_path: Path) -> None:
    run = begun(tmp_path / "r")
    write(run, End(step=400, reason="stopped", clock_s=Clock(train=100.0)))
    write_summary(run, summary())

    stands = status_of(run)

    assert (stands.state, stands.forecast) == ("stopped", None)
    assert stands.clock_s == summary().clock_s
    assert stands.costs is not None
    assert stands.costs.total == 286_667 + 10_320_000 + 1_032_000


def test_the_page_needs_no_other_file_and_no_script(tmp_path: Path) -> None:
    draw(begun(tmp_path / "r"))

    page = (tmp_path / "r" / PAGE).read_text()

    assert page.count("<svg") == 4
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!#)', page)


def test_no_two_things_on_the_page_have_one_name_and_none_is_missing() -> None:
    page = drawn(status(records(100)))[PAGE].decode()

    names = re.findall(r'\bid="([^"]+)"', page)
    wanted = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)

    assert len(names) == len(set(names))
    assert {one or other for one, other in wanted} <= set(names)


def test_a_name_is_text_on_the_page_whatever_it_is() -> None:
    page = drawn(status(records(2), "<script>alert(1)</script>\udc80"))[PAGE]

    assert b"<script" not in page
    HTMLParser().feed(page.decode())


def test_a_run_that_has_not_begun_has_a_page() -> None:
    assert b"No step has been done yet" in drawn(status(Records(), state="not begun"))[PAGE]
