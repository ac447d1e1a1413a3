"""`skerry create`: make a box."""

import argparse

from skerry import wire
from skerry.cli.connection import connect, count, fraction, size, variables
from skerry.cli.output import print_json
from skerry.cli.parser import Parser


def declare_create(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("name", metavar="NAME", nargs="?", help="its name (default: one is made up)")
    parser.argument("--image", metavar="IMAGE", help="what its disk begins with (default: base)")
    add_limits(parser)
    parser.argument(
        "--label", metavar="LABEL", action="append", default=[], help="a label; may be repeated"
    )
    parser.argument(
        "-e", "--env", metavar="NAME=VALUE", action="append", default=[],
        help="a variable of every command in it; may be repeated",
    )  # fmt: skip
    parser.set_defaults(run=run)


def add_limits(parser: Parser) -> None:
    """Declare what a box may use."""
    parser.argument(
        "--cpus", metavar="NUMBER", type=fraction(wire.CPUS_MAX), help="CPUs; 0.5 is half of one"
    )
    parser.argument(
        "--memory",
        metavar="SIZE",
        type=size(*wire.MEMORY_BYTES_RANGE),
        help="memory, such as 512M or 4G",
    )
    parser.argument(
        "--disk",
        metavar="SIZE",
        type=size(*wire.DISK_BYTES_RANGE),
        help="disk, its checkpoints included, such as 20G",
    )
    parser.argument(
        "--processes", metavar="NUMBER", type=count(*wire.PROCESSES_RANGE),
        help="processes and threads",
    )  # fmt: skip


async def run(options: argparse.Namespace) -> int:
    """Make the box and print its name."""
    async with connect(options) as cloud:
        box = await cloud.create(
            options.name,
            image=options.image,
            cpus=options.cpus,
            memory_bytes=options.memory,
            disk_bytes=options.disk,
            processes=options.processes,
            labels=options.label,
            env=variables(options.env),
        )
    if options.json:
        print_json(box.details)
    else:
        print(box.name)
    return 0
