"""The control plane's command lines, and how many run at once."""

from pathlib import Path

import pytest

from skerry.base import LimitReached
from skerry.ssh.channel import Channel
from skerry.ssh.control_channel import ControlPlane, words_of
from skerry.ssh.pipe import Room


def channel(command: str | None) -> Channel:
    made = Channel(Room(), ())
    if command is not None:
        made.exec_requested(command)
    return made


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (None, ["--help"]),
        ("", ["--help"]),
        ("list --json", ["list", "--json"]),
        ("create 'a b' \"c'd\"", ["create", "a b", "c'd"]),
        ("list; rm -rf / | $(id) `id` &", ["list;", "rm", "-rf", "/", "|", "$(id)", "`id`", "&"]),
        ("list\n#comment", ["list", "#comment"]),
    ],
)
def test_words_are_split_and_nothing_else_is_done(command: str | None, words: list[str]) -> None:
    assert words_of(channel(command)) == words


@pytest.mark.parametrize("command", ["'", "a\\", "x " * 300, "y" * 100_000])
def test_what_is_no_command_line(command: str) -> None:
    with pytest.raises(ValueError, match=r"No|too"):
        words_of(channel(command))


def test_one_account_does_not_take_all_the_room() -> None:
    plane = ControlPlane(empty=Path("/none"), url="http://127.0.0.1:1")
    plane.running.update({"a": 8, "b": 3})

    with pytest.raises(LimitReached), plane.taking("a"):
        pass
    with plane.taking("b"):
        assert plane.running["b"] == 4
    assert plane.running["b"] == 3
