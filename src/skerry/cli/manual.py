"""docs/cli.md, made from what the commands declare, in words that no version of argparse changes."""

import argparse

from skerry.cli.parser import Parser, add_global_options, parser_of
from skerry.cli.table import ALIASES, TABLE

_HEAD = """# The command line

Made from the program itself (`skerry.cli.reference`); a test compares the two.

Standard output carries the answer and nothing else; everything said about it goes to standard
error. Where a Skerry is found, in this order: `--url`, `--data`, the environment's `SKERRY_URL`,
its `SKERRY_DATA`, `/var/lib/skerry`. A URL needs a token, in `SKERRY_TOKEN`; the socket in a data
directory needs none, and only root may use it.

Exit codes: 0 done; 1 it failed; 2 the command line is wrong; 124 `exec --timeout` ran out; 126 and
127 the command in the box cannot be run or is not there; 128 + n ended by signal n. Beside these,
`exec`, `console` and `sessions ... attach` end with what the command in the box ended with. Errors
are one line, `skerry: ...`; with `--json` they are the API's JSON.
"""


def reference() -> str:
    """Return docs/cli.md."""
    parts = [
        _HEAD,
        "## Options of all commands\n",
        _options(add_global_options(argparse.ArgumentParser())),
    ]
    for entry in TABLE:
        parser = parser_of(entry)
        also = [f"`skerry {alias}`" for alias, name in ALIASES.items() if name == entry.name]
        parts.append(f"## skerry {entry.name}\n")
        note = f" Also {', '.join(also)}." if also else ""
        parts.append(f"{parser.description}{note}\n")
        if parser.commands:
            for below in parser.commands.values():
                parts += [f"### {below.prog}\n", f"{below.description}\n", _body(below)]
        else:
            parts.append(
                _body(parser, " [--] COMMAND [ARGUMENT ...]" if entry.takes_command else "")
            )
    return "\n".join(parts).rstrip() + "\n"


def _body(parser: Parser, tail: str = "") -> str:
    words = [parser.prog]
    if any(action.option_strings for action in parser.declared):
        words.append("[OPTIONS]")
    words += [_positional(action) for action in parser.declared if not action.option_strings]
    return f"```\n{' '.join(words)}{tail}\n```\n" + _options(parser.declared)


def _positional(action: argparse.Action) -> str:
    name = _name(action)
    match action.nargs:
        case "?":
            return f"[{name}]"
        case "*":
            return f"[{name} ...]"
        case "+":
            return f"{name} ..."
        case _:
            return name


def _name(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def _options(actions: list[argparse.Action]) -> str:
    rows = [f"| {_names(action)} | {action.help} |" for action in actions]
    return "\n".join(["", "| | |", "|---|---|", *rows, ""]) if rows else ""


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_name(action)}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)
