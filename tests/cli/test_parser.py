import pytest

from skerry.cli import main
from skerry.cli.parser import parse, parser_of, split_command
from skerry.cli.table import ALIASES, TABLE, find


@pytest.mark.parametrize(
    ("words", "own", "command"),
    [
        ("box ls", "box", "ls"),
        ("box ls -la", "box", "ls -la"),
        ("box -- ls -la", "box", "ls -la"),
        ("box git log -- file", "box", "git log -- file"),
        ("box -- -- x", "box", "-- x"),
        ("-d /tmp box ls", "-d /tmp box", "ls"),
        ("box -d /tmp ls -d", "box -d /tmp", "ls -d"),
        ("box --dir=/tmp ls", "box --dir=/tmp", "ls"),
        ("-t -e A=1 box env -i", "-t -e A=1 box", "env -i"),
        ("--no-stdin box cat -", "--no-stdin box", "cat -"),
        ("box --data d ls", "box --data d", "ls"),
        ("box --json", "box --json", ""),
        ("--detach", "--detach", ""),
    ],
)
def test_the_command_for_the_box_is_not_looked_into(words: str, own: str, command: str) -> None:
    entry = find("exec")
    assert entry is not None

    assert split_command(parser_of(entry), words.split()) == (own.split(), command.split())


@pytest.mark.parametrize(
    "words",
    ["--data d list", "list --data d", "--data=d list", "--json --data d ls", "ls --data=d --json"],
)
def test_options_of_all_commands_stand_before_or_after(words: str) -> None:
    options = parse(words.split())

    assert not isinstance(options, int)
    assert options.data == "d"


def test_options_of_all_commands_reach_commands_below_commands() -> None:
    options = parse(["--data", "d", "checkpoint", "create", "box", "--json"])

    assert not isinstance(options, int)
    assert (options.data, options.json, options.box) == ("d", True, "box")


@pytest.mark.parametrize(
    "words", ["nope", "create --nope", "exec", "info", "checkpoint", "create --memory much", ""]
)
def test_a_wrong_command_line_is_2_and_says_where_help_is(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert "--help" in capsys.readouterr().err


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_every_command_has_help(
    entry: "tuple[str, ...]", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([entry[0], "--help"]) == 0
    assert f"skerry {entry[0]}" in capsys.readouterr().out


def test_help_and_version_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main(["--version"]) == 0

    said = capsys.readouterr().out
    assert all(f"  {entry.name} " in said for entry in TABLE)
    assert "skerry 0" in said


def test_aliases_are_no_names_of_commands() -> None:
    names = {entry.name for entry in TABLE}

    assert not names & set(ALIASES)
    assert set(ALIASES.values()) <= names
