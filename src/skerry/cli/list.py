"""`skerry list`: all boxes."""

import argparse

from skerry.cli.connection import connect
from skerry.cli.output import age, print_json, print_table, size
from skerry.cli.parser import Parser


def declare_list(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("--prefix", metavar="TEXT", default="", help="those whose name begins so")
    parser.argument("--label", metavar="LABEL", help="those that have this label")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print a table of boxes."""
    async with connect(options) as cloud:
        found = await cloud.boxes(prefix=options.prefix, label=options.label)
    boxes = [box.details for box in found if box.details is not None]
    if options.json:
        print_json(boxes)
        return 0
    rows = [
        [
            box.name,
            box.status,
            box.image,
            box.address,
            "-" if box.limits.cpus is None else f"{box.limits.cpus:g}",
            size(box.limits.memory_bytes),
            size(box.limits.disk_bytes),
            age(box.created_at),
            ",".join(box.labels),
        ]
        for box in boxes
    ]
    head = ["NAME", "STATUS", "IMAGE", "ADDRESS", "CPUS", "MEMORY", "DISK", "CREATED", "LABELS"]
    print_table(head, rows)
    return 0
