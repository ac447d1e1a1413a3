"""`skerry hold`: leases that keep a box awake."""

import argparse

from skerry.cli.connection import connect, seconds
from skerry.cli.output import print_json, print_table, until
from skerry.cli.parser import Parser

_DEFAULT_SECONDS = 3600.0


def declare_hold(parser: Parser) -> None:
    """Declare the commands below `skerry hold`."""
    take = parser.command("take", "Keep a box awake for a while, or renew a hold", _take)
    release = parser.command("release", "End a hold", _release)
    listing = parser.command("list", "List the holds of a box", _list)
    for below in (take, release, listing):
        below.argument("box", metavar="BOX", help="the box")
    for below in (take, release):
        below.argument("name", metavar="NAME", nargs="?", default="cli", help="(default: cli)")
    take.argument(
        "--for", dest="time", metavar="TIME", type=seconds, default=_DEFAULT_SECONDS,
        help="how long, such as 30m (default: 1h)",
    )  # fmt: skip


async def _take(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        held = await cloud.box(options.box).hold(options.name, options.time)
    if options.json:
        print_json(held)
    return 0


async def _release(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).release(options.name)
    return 0


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        holds = await cloud.box(options.box).holds()
    if options.json:
        print_json(holds)
    else:
        print_table(["NAME", "ENDS"], [[each.name, until(each.expires_at)] for each in holds])
    return 0
