"""`skerry destroy`, `skerry undo` and `skerry trash`."""

import argparse
import sys

from skerry.base import Invalid
from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_table, say, until
from skerry.cli.parser import Parser


def declare_destroy(parser: Parser) -> None:
    """Declare the arguments of destroy."""
    parser.argument("boxes", metavar="BOX", nargs="+", help="the boxes")
    parser.argument("-y", "--yes", action="store_true", help="do not ask first")
    parser.argument("--purge", action="store_true", help="delete them for good, past the trash")
    parser.set_defaults(run=destroy)


def declare_undo(parser: Parser) -> None:
    """Declare the arguments of undo."""
    parser.argument(
        "box", metavar="BOX", nargs="?", help="its name or id (default: the last one destroyed)"
    )
    parser.argument("--as", dest="name", metavar="NAME", help="a new name for it")
    parser.set_defaults(run=undo)


def declare_trash(parser: Parser) -> None:
    """Declare the arguments of trash."""
    parser.set_defaults(run=trash)


async def destroy(options: argparse.Namespace) -> int:
    """Destroy the boxes, one after the other."""
    if not options.yes and not _agreed(options.boxes, purge=options.purge):
        return 1
    async with connect(options) as cloud:
        for name in options.boxes:
            await cloud.box(name).destroy(purge=options.purge)
    if not options.purge and not options.json:
        say("Destroyed. `skerry undo` brings back what the trash still holds.")
    return 0


def _agreed(boxes: list[str], *, purge: bool) -> bool:
    if not sys.stdin.isatty():
        raise Invalid("not_confirmed", "Nobody is here to be asked. Say --yes.")
    how = "for good" if purge else "(undo is possible for a while)"
    print(f"Destroy {', '.join(boxes)} {how}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def undo(options: argparse.Namespace) -> int:
    """Bring a box back and print its name."""
    async with connect(options) as cloud:
        box = await cloud.undo(options.box, name=options.name)
    if options.json:
        print_json(box.details)
    else:
        print(box.name)
    return 0


async def trash(options: argparse.Namespace) -> int:
    """Print a table of what is in the trash."""
    async with connect(options) as cloud:
        found = await cloud.trash()
    if options.json:
        print_json(found)
        return 0
    rows = [[box.name, box.id, age(box.destroyed_at), until(box.purge_at)] for box in found]
    print_table(["NAME", "ID", "DESTROYED", "GONE FOR GOOD"], rows)
    return 0
