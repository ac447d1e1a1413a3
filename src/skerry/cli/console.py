"""`skerry console`: a shell in a box."""

import argparse
import os
from contextlib import nullcontext as nothing

from skerry.base import Invalid
from skerry.cli import forwarding, relay, stdio, tty
from skerry.cli.connection import connect
from skerry.cli.exec import add_forward, on_terminal
from skerry.cli.parser import Parser


def declare_console(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box; Ctrl+\\ leaves the shell running")
    parser.argument("-u", "--user", metavar="USER", help="as whom (default: box, else root)")
    add_forward(parser)
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Open the user's own shell; return what it ended with. Raises Invalid(no_terminal)."""
    if not os.isatty(stdio.STDIN):
        raise Invalid("no_terminal", "A console needs a terminal. Run scripts with skerry exec.")
    rows, cols = tty.size(stdio.STDOUT)
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        async with box.console(
            rows=rows, cols=cols, env=tty.environment(), user=options.user
        ) as session:
            try:
                async with forwarding.following(box, session) if options.forward else nothing():
                    return await on_terminal(session, box.name)
            except relay.Interrupted as interrupted:
                return interrupted.exit_code
