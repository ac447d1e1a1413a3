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
    add_sleep(parser)
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


def add_sleep(parser: Parser) -> None:
    """Declare when a box sleeps."""
    parser.argument(
        "--warm-after", metavar="TIME", help="idle so long it is frozen, such as 30s; or never"
    )
    parser.argument(
        "--cold-after", metavar="TIME", help="frozen so long it is stopped, such as 10m; or never"
    )


def sleep_of(options: argparse.Namespace) -> wire.Sleep | None:
    """Return what the options say of sleep."""
    said = wire.Sleep(options.warm_after, options.cold_after)
    return None if said == wire.Sleep() else said


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
            sleep=sleep_of(options),
        )
    if options.json:
        print_json(box.details)
    else:
        print(box.name)
    return 0
