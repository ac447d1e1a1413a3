"""`skerry checkpoint` and `skerry restore`."""

import argparse

from skerry.cli import stdio
from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_pairs, print_table, printable, say
from skerry.cli.parser import Parser

_KINDS = {"added": "+", "modified": "M", "deleted": "-", "renamed": "R", "metadata": "m"}


def declare_checkpoint(parser: Parser) -> None:
    """Declare the commands below `skerry checkpoint`."""
    create = parser.command("create", "Keep the disk of a box as it is now", _create)
    create.argument("box", metavar="BOX", help="the box, which runs on meanwhile")
    create.argument("--comment", metavar="TEXT", default="", help="what it is kept for")
    listing = parser.command("list", "List the checkpoints of a box, the oldest first", _list)
    listing.argument("box", metavar="BOX", help="the box")
    listing.argument("--no-auto", action="store_true", help="without those that Skerry made")
    info = parser.command("info", "Tell one checkpoint", _info)
    diff = parser.command(
        "diff", "Tell which files changed since a checkpoint, or up to another one", _diff
    )
    delete = parser.command("delete", "Delete a checkpoint", _delete)
    file = parser.command("file", "Write one file of a checkpoint to standard output", _file)
    for below in (info, diff, delete, file):
        below.argument("box", metavar="BOX", help="the box")
        below.argument("checkpoint", metavar="CHECKPOINT", help="such as v1, or auto-2")
    diff.argument("to", metavar="TO", nargs="?", help="a later one (default: the disk now)")
    file.argument("path", metavar="PATH", help="the file, as it is called in the box")


def declare_restore(parser: Parser) -> None:
    """Declare the arguments of restore."""
    parser.argument("box", metavar="BOX", help="the box; what runs in it ends")
    parser.argument("checkpoint", metavar="CHECKPOINT", help="such as v1, or auto-2")
    parser.set_defaults(run=_restore)


async def _create(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        made = await cloud.box(options.box).checkpoint(options.comment)
    if options.json:
        print_json(made)
    else:
        print(made.id)
    return 0


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        found = await cloud.box(options.box).checkpoints(automatic=not options.no_auto)
    if options.json:
        print_json(found)
        return 0
    rows = [
        [each.id, age(each.create_time), "yes" if each.is_auto else "no", each.comment]
        for each in found
    ]
    print_table(["CHECKPOINT", "MADE", "AUTO", "COMMENT"], rows)
    return 0


async def _info(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        found = await cloud.box(options.box).checkpoint_info(options.checkpoint)
    if options.json:
        print_json(found)
        return 0
    print_pairs(
        [
            ("checkpoint", found.id),
            ("made", age(found.create_time)),
            ("automatic", "yes" if found.is_auto else "no"),
            ("comment", found.comment or "-"),
        ]
    )
    return 0


async def _diff(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        changes = await cloud.box(options.box).diff(options.checkpoint, options.to)
    if options.json:
        print_json(changes)
        return 0
    for change in changes:
        source = f" (was {change.from_path})" if change.from_path else ""
        print(printable(f"{_KINDS[change.kind]} {change.path}{source}"))
    return 0


async def _delete(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        await cloud.box(options.box).delete_checkpoint(options.checkpoint)
    return 0


async def _file(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        async with box.open_from_checkpoint(options.checkpoint, options.path) as pieces:
            async for piece in pieces:
                await stdio.write_all(stdio.STDOUT, piece)
    return 0


async def _restore(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        kept = await cloud.box(options.box).restore(options.checkpoint)
    if options.json:
        print_json({"restored": options.checkpoint, "kept": kept})
    else:
        say(f"Restored {options.checkpoint}. What it replaced is kept as {kept}.")
    return 0
