"""The page is made anew when the run has written something, and not more often than is good."""

from pathlib import Path

import pytest

from skerry_train.errors import BadSettings
from skerry_train.watch import Album
from tests.recorded import session, step, write


class Clock:
    """Seconds that go by only when told, and one while something is drawn."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 0.5
        return self.now_s


def test_a_page_is_made_anew_when_the_run_has_written_something(tmp_path: Path) -> None:
    clock = Clock()
    album = Album(tmp_path, clock=clock)
    write(tmp_path, session(), step(1))
    first = album.files()["index.html"]
    write(tmp_path, step(2))

    clock.now_s += 60

    assert b"1 of 1,000" in first
    assert b"2 of 1,000" in album.files()["index.html"]


def test_a_page_is_not_made_anew_while_nothing_is_new(tmp_path: Path) -> None:
    clock = Clock()
    album = Album(tmp_path, clock=clock)
    first = album.files()

    clock.now_s += 60

    assert album.files() is first


def test_drawing_leaves_the_machine_nine_tenths_of_the_time(tmp_path: Path) -> None:
    album = Album(tmp_path, clock=Clock())
    write(tmp_path, session(), step(1))
    first = album.files()  # takes half a second, so that four and a half follow without drawing
    write(tmp_path, step(2))

    made = [album.files() is first for _ in range(10)]

    assert made == [True] * 8 + [False] * 2


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="there is no run directory"):
        Album(tmp_path / "nowhere").files()
