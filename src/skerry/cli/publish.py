"""`skerry publish`: ports of a box as ports of the server's machine, for everybody."""

import argparse

from skerry.cli.connection import connect
from skerry.cli.output import print_json, print_table
from skerry.cli.parser import Parser, WrongUsage
from skerry.cli.proxy import port_pair


def declare_publish(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.argument(
        "ports", metavar="PORT[:REMOTE]", nargs="*", type=port_pair,
        help="a port of the machine, and the one in the box (default: the same); with none, list",
    )  # fmt: skip
    parser.argument(
        "--bind", metavar="ADDRESS", default="0.0.0.0",  # noqa: S104 - that is what it is for
        help="of the machine (default: all of version 4)",
    )  # fmt: skip
    parser.argument("--remove", action="store_true", help="end what was published")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Publish, end or list. Raises WrongUsage(bad_arguments)."""
    if options.remove and not options.ports:
        raise WrongUsage("bad_arguments", "Say which port is to be published no more.")
    host = f"[{options.bind}]" if ":" in options.bind else options.bind
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        for local, remote in options.ports:
            if options.remove:
                await box.unpublish(f"{host}:{local}")
            else:
                await box.publish(f"{host}:{local}", remote)
        found = await box.published()
    if options.json:
        print_json(found)
    elif not options.remove:
        print_table(["LISTENS AT", "PORT"], [[each.listen, str(each.port)] for each in found])
    return 0
