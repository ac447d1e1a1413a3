"""From words to options: finds the command, imports its file, and has it declare its arguments.

argparse, since it starts faster than what is built on other libraries, with two rules of our own:
options that all commands have may stand before and after the command, and a command for a box is
never looked into.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, TypeAlias

from skerry.base import Invalid
from skerry.cli.quick import import_msgspec
from skerry.cli.table import TABLE, Entry, find

Run: TypeAlias = Callable[[argparse.Namespace], "int | Coroutine[Any, Any, int]"]

_GLOBAL_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--data",),
        {
            "metavar": "DIR",
            "help": "the directory of a Skerry on this machine (default: SKERRY_DATA, "
            "/var/lib/skerry)",
        },
    ),
    (
        ("--url",),
        {
            "metavar": "URL",
            "help": "a Skerry anywhere, such as http://127.0.0.1:7070 (default: SKERRY_URL)",
        },
    ),
    (
        ("--token",),
        {
            "metavar": "TOKEN",
            "help": "the token for --url; others on this machine can see it here, so SKERRY_TOKEN "
            "is better",
        },
    ),
    (("--json",), {"action": "store_true", "help": "print JSON, errors too"}),
)
_WITH_VALUE = {name for names, how in _GLOBAL_OPTIONS if "metavar" in how for name in names}


class WrongUsage(Invalid):
    """The command line is wrong in a way that only the command itself could see."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that remembers what was declared, for the reference."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.declared: list[argparse.Action] = []
        self.commands: dict[str, Parser] = {}
        self._group: Any = None

    def argument(self, *names: str, **how: Any) -> argparse.Action:  # noqa: ANN401 - as argparse has it
        """Declare an argument, as `add_argument` does."""
        action = self.add_argument(*names, **how)
        self.declared.append(action)
        return action

    def command(self, name: str, summary: str, run: Run) -> "Parser":
        """Declare a command below this one."""
        if self._group is None:
            self._group = self.add_subparsers(metavar="COMMAND", required=True)
        below: Parser = self._group.add_parser(
            name, description=f"{summary}.", help=summary, prog=f"{self.prog} {name}"
        )
        add_global_options(below)
        below.set_defaults(run=run)
        self.commands[name] = below
        return below

    def error(self, message: str) -> NoReturn:
        """End with one line that says what is wrong, and one that says where help is."""
        self.exit(2, f"skerry: {message}\nSee `{self.prog} --help`.\n")


def add_global_options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Declare what all commands have. Absent ones keep what was said before the command."""
    return [
        parser.add_argument(*names, default=argparse.SUPPRESS, **how)
        for names, how in _GLOBAL_OPTIONS
    ]


def parse(words: Sequence[str]) -> argparse.Namespace | int:
    """Return the options that words say, or an exit code when all is said.

    The namespace's `run` is the command.
    """
    before, name, after = _split(words)
    if name is None:
        return _without_command(before)
    if name == "help":  # as people type it
        return parse([*after[:1], "--help"])
    entry = find(name)
    if entry is None:
        print_usage_error(f"there is no command {name!r}")
        return 2
    options = argparse.Namespace(data=None, url=None, token=None, json=False)
    parser = parser_of(entry)
    try:
        if not entry.takes_command:
            return parser.parse_args([*before, *after], options)
        own, command = split_command(parser, after)
        options.command = command
        return parser.parse_args([*before, *own], options)
    except SystemExit as error:  # argparse's way to say that all is said
        return error.code if isinstance(error.code, int) else 2


def parser_of(entry: Entry) -> Parser:
    """Return the parser of a command, whose file is imported for it."""
    parser = Parser(f"skerry {entry.name}", f"{entry.summary}.")
    import_msgspec()
    module = importlib.import_module(f"skerry.cli.{entry.module}")
    add_global_options(parser)
    getattr(module, f"declare_{entry.name.replace('-', '_')}")(parser)
    if entry.takes_command:
        parser.usage = f"{parser.prog} [OPTIONS] BOX [--] COMMAND [ARGUMENT ...]"
    return parser


def _split(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Return the options before the command, the command, and what follows it."""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        option, equals, _ = words[position].partition("=")
        position += 2 if option in _WITH_VALUE and not equals else 1
    if position >= len(words):
        return [*words], None, []
    return [*words[:position]], words[position], [*words[position + 1 :]]


def split_command(parser: Parser, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is for parser and, from its second argument on, the command for the box.

    A `--` before the command is dropped; one inside it stays.
    """
    takes_value = _WITH_VALUE | {
        name for action in parser.declared if action.nargs is None for name in action.option_strings
    }
    position, seen = 0, 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return [*words[:position]], [*words[position + 1 :]]
        if word.startswith("-") and word != "-":
            position += 2 if word in takes_value else 1
            continue
        seen += 1
        if seen > 1:
            break
        position += 1
    return [*words[:position]], [*words[position:]]


def _without_command(before: Sequence[str]) -> int:
    if "--version" in before:
        from skerry import __version__  # noqa: PLC0415 - rarely asked

        print(f"skerry {__version__}")
        return 0
    if not before or {"-h", "--help"} & {*before}:
        print(overview(), file=sys.stdout if before else sys.stderr)
        return 0 if before else 2
    print_usage_error("say which command to run")
    return 2


def print_usage_error(message: str) -> None:
    """Say what is wrong with the command line, and where help is."""
    print(f"skerry: {message}\nSee `skerry --help`.", file=sys.stderr)


def overview() -> str:
    """Return what `skerry --help` prints."""
    width = max(len(entry.name) for entry in TABLE) + 2
    lines = [
        "usage: skerry [--data DIR | --url URL] [--json] COMMAND ...",
        "",
        "A cloud of your own: persistent computers on a Linux machine that you own.",
        "",
        *(f"  {entry.name:<{width}}{entry.summary}" for entry in TABLE),
        "",
        "`skerry COMMAND --help` tells more about a command.",
    ]
    return "\n".join(lines)
