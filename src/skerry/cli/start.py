"""`skerry start` and `skerry stop`."""

import argparse

from skerry.cli.connection import connect
from skerry.cli.output import print_json
from skerry.cli.parser import Parser


def declare_start(parser: Parser) -> None:
    """Declare the arguments of start."""
    parser.argument("boxes", metavar="BOX", nargs="+", help="the boxes")
    parser.set_defaults(run=start)


def declare_stop(parser: Parser) -> None:
    """Declare the arguments of stop."""
    parser.argument("boxes", metavar="BOX", nargs="+", help="the boxes")
    parser.set_defaults(run=stop)


async def start(options: argparse.Namespace) -> int:
    """Start the boxes, one after the other."""
    async with connect(options) as cloud:
        changed = [await cloud.box(name).start() for name in options.boxes]
    if options.json:
        print_json(changed)
    return 0


async def stop(options: argparse.Namespace) -> int:
    """Stop the boxes, one after the other."""
    async with connect(options) as cloud:
        changed = [await cloud.box(name).stop() for name in options.boxes]
    if options.json:
        print_json(changed)
    return 0
