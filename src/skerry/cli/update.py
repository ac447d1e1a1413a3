"""`skerry update`: change a box."""

import argparse

from skerry import wire
from skerry.cli.connection import connect
from skerry.cli.create import add_limits, add_sleep, sleep_of
from skerry.cli.output import print_json
from skerry.cli.parser import Parser, WrongUsage


def declare_update(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    add_limits(parser)
    add_sleep(parser)
    parser.argument(
        "--label", metavar="LABEL", action="append", help="its labels from now on; may be repeated"
    )
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Change what the options name. Raises WrongUsage(bad_arguments)."""
    asked = wire.Limits(options.cpus, options.memory, options.disk, options.processes)
    limits = None if asked == wire.Limits() else asked
    sleep = sleep_of(options)
    if limits is None and sleep is None and options.label is None:
        raise WrongUsage("bad_arguments", "Say what to change, such as --memory 4G.")
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        changed = await box.update(labels=options.label, limits=limits, sleep=sleep)
    if options.json:
        print_json(changed)
    return 0
