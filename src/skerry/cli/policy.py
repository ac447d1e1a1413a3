"""`skerry policy`: which names a box may reach."""

import argparse
import json
import sys

from skerry import wire
from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_table
from skerry.cli.parser import Parser, WrongUsage


def declare_policy(parser: Parser) -> None:
    """Declare the commands below `skerry policy`."""
    show = parser.command("show", "Print the policy of a box, as JSON", _show)
    replace = parser.command("set", "Replace the policy of a box, at once", _set)
    clear = parser.command("clear", "Open the network of a box", _clear)
    log = parser.command("log", "Tell what a box was refused, when, and by which rule", _log)
    for below in (show, replace, clear, log):
        below.argument("box", metavar="BOX", help="the box")
    replace.argument(
        "--allow", metavar="DOMAIN", action="append", default=[],
        help="a name, *.NAME for all below it, or *; may be repeated",
    )  # fmt: skip
    replace.argument(
        "--deny", metavar="DOMAIN", action="append", default=[], help="the same; may be repeated"
    )
    replace.argument("--defaults", action="store_true", help="allow what development usually needs")
    replace.argument(
        "--file", metavar="FILE", help="the whole policy as JSON; - reads it from stdin"
    )


async def _show(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        print_json(await cloud.box(options.box).policy())
    return 0


async def _set(options: argparse.Namespace) -> int:
    policy = _policy(options)
    async with connect(options) as cloud:
        await cloud.box(options.box).set_policy(policy)
    return 0


def _policy(options: argparse.Namespace) -> wire.Policy:
    rules: list[dict[str, str]] = [{"include": "defaults"}] if options.defaults else []
    rules += [{"domain": name, "action": "allow"} for name in options.allow]
    rules += [{"domain": name, "action": "deny"} for name in options.deny]
    if (options.file is None) == (not rules):
        raise WrongUsage("bad_arguments", "Give rules, or a --file with all of them.")
    if options.file is None:
        return wire.Policy(rules)
    with sys.stdin if options.file == "-" else open(options.file, encoding="utf-8") as file:
        try:
            return wire.Policy(json.load(file)["rules"])
        except (ValueError, KeyError, TypeError):
            raise WrongUsage("bad_policy", 'A policy is JSON such as {"rules": []}.') from None


async def _clear(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).set_policy(wire.Policy())
    return 0


async def _log(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        found = await cloud.box(options.box).policy_log()
    if options.json:
        print_json(found)
        return 0
    rows = [
        [
            age(each.last_at),
            str(each.count),
            each.name or "-",
            "-"
            if each.address is None
            else f"{each.address}:{each.port}"
            if each.port
            else each.address,
            each.protocol or "-",
            each.why,
        ]
        for each in found
    ]
    print_table(["LAST", "TIMES", "NAME", "ADDRESS", "PROTOCOL", "RULE"], rows)
    return 0
