"""`skerry mcp`: the agents' door, for one agent here, or with --listen for agents anywhere."""

import argparse

from skerry import client
from skerry.base import NotAvailable
from skerry.cli.connection import connect
from skerry.cli.output import say
from skerry.cli.parser import Parser


def declare_mcp(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "--listen", metavar="ADDRESS:PORT",
        help="serve streamable HTTP at /mcp there, such as 127.0.0.1:7071; each agent sends a token "
        "of its own (default: one agent, on stdin and stdout, with your rights or those of "
        "SKERRY_TOKEN)",
    )  # fmt: skip
    parser.argument(
        "--host", metavar="NAME", action="append", default=[],
        help="a name beside localhost under which agents reach --listen; may be repeated",
    )  # fmt: skip
    parser.set_defaults(run=run)


async def run(options: argparse.Namespace) -> int:
    """Serve until stdin ends, or with --listen until interrupted."""
    try:
        from skerry import mcp  # noqa: PLC0415 - an extra, and slow to import
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "skerry":
            raise
        raise NotAvailable(
            "mcp_not_installed",
            "The MCP door needs a package that is not installed: "
            "`pip install 'skerry[mcp]'` brings it.",
        ) from None
    if options.listen is None:
        async with connect(options) as cloud:
            await mcp.serve_stdio(cloud)
        return 0

    def opened(token: str) -> client.Cloud:
        return client.connect(options.url, token, data=options.data)

    await mcp.serve_web(
        opened, listen=options.listen, hosts=options.host,
        ready=lambda url: say(f"agents connect to {url}"),
    )  # fmt: skip
    return 0
