"""`skerry api`: one request to the API, for what has no command of its own."""

import argparse
import re
import sys

from skerry.cli import stdio
from skerry.cli.connection import connect
from skerry.cli.parser import Parser, WrongUsage

_PATH = re.compile(r"/[!-~]*")


def declare_api(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("method", choices=("GET", "POST", "PUT", "DELETE"), help="the method")
    parser.argument("path", metavar="PATH", help="such as /v1/boxes?prefix=a, already encoded")
    parser.argument("--body", metavar="JSON", help="the body; - reads it from standard input")
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Send the request and write the body of the answer to stdout as it is."""
    if not _PATH.fullmatch(options.path):
        raise WrongUsage("bad_path", "Write an encoded path such as /v1/boxes?prefix=a%20b.")
    body = sys.stdin.buffer.read() if options.body == "-" else None
    if options.body is not None and body is None:
        body = options.body.encode()
    async with (
        connect(options) as cloud,
        cloud.calls.open(options.method, options.path, body=body, limit_seconds=None) as response,
    ):
        async for piece in response.pieces():
            await stdio.write_all(stdio.STDOUT, piece)
    return 0
