"""One agent that has started us, over stdin and stdout, with the rights of who started us."""

import contextlib
from collections.abc import AsyncGenerator

from mcp import stdio_server

from skerry import client
from skerry.mcp.server import Callers, Context, build


async def serve_stdio(cloud: client.Cloud) -> None:
    """Answer on stdin and stdout until stdin ends; what is under way then is cancelled."""

    @contextlib.asynccontextmanager
    async def opened(_: Context) -> AsyncGenerator[client.Cloud]:
        yield cloud

    server = build(Callers(lambda _: "", opened))
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
