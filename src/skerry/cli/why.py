"""`skerry why`: what keeps a box awake, or when it will sleep."""

import argparse

from skerry import wire
from skerry.base import format_duration
from skerry.cli.connection import connect
from skerry.cli.output import print_json
from skerry.cli.parser import Parser


def declare_why(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print why a box is awake, or when it will sleep."""
    async with connect(options) as cloud:
        told = await cloud.box(options.box).why()
    if options.json:
        print_json(told)
    else:
        print("\n".join(_sentences(options.box, told)))
    return 0


def _sentences(name: str, told: wire.Why) -> list[str]:
    if told.budget is not None:
        return [f"{name} is {told.status}, and may not wake: {told.budget}"]
    if told.status == "cold":
        return [f"{name} is cold: stopped. The next use starts it."]
    if told.status == "warm":
        return [f"{name} is warm: frozen, its memory kept. The next use wakes it.", *_next(told)]
    idle = format_duration(round(told.idle_seconds * 1e9))
    return [
        *(f"{name} is awake because {reason}." for reason in told.reasons),
        *([] if told.reasons else [f"{name} has been idle for {idle} (last: {told.last_sign})."]),
        *_next(told),
    ]


def _next(told: wire.Why) -> list[str]:
    if told.next_status is None or told.change_seconds is None:
        return []
    return [f"It gets {told.next_status} in {format_duration(round(told.change_seconds * 1e9))}."]
