"""`skerry proxy`: ports of a box as ports of this machine."""

import argparse
import asyncio
import re

from skerry.cli import forwarding
from skerry.cli.connection import connect
from skerry.cli.output import say
from skerry.cli.parser import Parser

_PORTS = re.compile(r"([0-9]{1,5})(?::([0-9]{1,5}))?")
_PORT_LAST = 65_535


def declare_proxy(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument("box", metavar="BOX", help="the box")
    parser.argument(
        "ports", metavar="LOCAL[:REMOTE]", nargs="+", type=port_pair,
        help="a port here, and the one in the box (default: the same); LOCAL 0 is any that is free",
    )  # fmt: skip
    parser.argument("--bind", metavar="ADDRESS", default="127.0.0.1", help="(default: 127.0.0.1)")
    parser.set_defaults(run=run)


def port_pair(text: str) -> tuple[int, int]:
    """Return the local and the remote port that an argument names."""
    match = _PORTS.fullmatch(text)
    local = int(match[1]) if match else -1
    remote = int(match[2]) if match and match[2] else local
    if not 0 <= local <= _PORT_LAST or not 1 <= remote <= _PORT_LAST:
        raise argparse.ArgumentTypeError(f"{text!r} is no port. Write it like 5432 or 15432:5432.")
    return local, remote


async def run(options: argparse.Namespace) -> int:
    """Listen until interrupted; each connection here becomes one in the box."""
    async with connect(options) as cloud:
        box = cloud.box(options.box)
        await box.info()  # so that a name that is wrong is told now
        async with asyncio.TaskGroup() as group:
            for local, remote in options.ports:
                server = await forwarding.listen(
                    box, options.bind, local, remote, as_json=options.json
                )
                port = server.sockets[0].getsockname()[1]
                say(f"{options.bind}:{port} is port {remote} of {options.box}")
                group.create_task(server.serve_forever())
    return 0
