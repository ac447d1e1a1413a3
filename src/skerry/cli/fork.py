"""`skerry fork`: new boxes from a box or a checkpoint."""

import argparse

from skerry import wire
from skerry.cli.connection import connect, count
from skerry.cli.output import print_json
from skerry.cli.parser import Parser


def declare_fork(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "source", metavar="SOURCE[@CHECKPOINT]", help="a box as it is now, or a checkpoint of it"
    )
    parser.argument("name", metavar="NAME", nargs="?", help="the name (default: one is made up)")
    parser.argument(
        "--count", metavar="NUMBER", type=count(1, wire.FORKS_MAX),
        help="make so many, called NAME-0, NAME-1 and so on; if one fails, none",
    )  # fmt: skip
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Make the forks and print their names."""
    source, _, checkpoint = options.source.partition("@")
    async with connect(options) as cloud:
        box = cloud.box(source)
        if options.count is None:
            forks = [await box.fork(options.name, checkpoint=checkpoint or None)]
        else:
            forks = await box.fork_many(options.name, options.count, checkpoint=checkpoint or None)
    if options.json:
        print_json([fork.details for fork in forks])
    else:
        print("\n".join(fork.name for fork in forks))
    return 0
