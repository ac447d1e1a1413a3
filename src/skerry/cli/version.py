"""`skerry version`."""

import argparse

import skerry
from skerry.base import NotAvailable
from skerry.cli.connection import connect
from skerry.cli.output import print_json, say
from skerry.cli.parser import Parser


def declare_version(parser: Parser) -> None:
    """Declare the arguments."""
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Print both versions; that no daemon answers is said, and is no failure."""
    daemon = None
    try:
        async with connect(options) as cloud:
            daemon = await cloud.version()
    except NotAvailable as error:
        say(f"skerry: {error.message}")
    if options.json:
        print_json({"version": skerry.__version__, "daemon": daemon})
        return 0
    print(f"skerry {skerry.__version__}")
    if daemon is not None:
        print(
            f"daemon {daemon.version} ({daemon.instance}, {daemon.boxes} boxes, pid {daemon.pid})"
        )
    return 0
