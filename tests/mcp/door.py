"""The agents' door before a served API with the simulated machine, and clients of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from skerry import client
from skerry.mcp import serve_web
from tests.api import site as sites
from tests.api.site import Answer, Site, parsed

# The protocol that begins with a handshake and has sessions, and the one without.
HANDSHAKE, MODERN = "legacy", "2026-07-28"


class Door:
    """Where it listens, and what is behind it."""

    def __init__(self, site: Site, url: str) -> None:
        self.site = site
        self.url = url

    @contextlib.asynccontextmanager
    async def agent(self, scope: str = "write", mode: Any = HANDSHAKE) -> AsyncGenerator[Client]:
        """Give the block an agent with a token."""
        headers = {"Authorization": f"Bearer {self.site.tokens[scope]}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode=mode) as agent:
                yield agent

    async def post(self, message: Any, scope: str | None = "write", **headers: str) -> Answer:
        """Send one message by hand; headers' names are written with _ for -."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        fields = {
            "Host": "localhost", "Connection": "close", "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream", "Content-Length": str(len(body)),
        }  # fmt: skip
        if scope is not None:
            fields["Authorization"] = f"Bearer {self.site.tokens[scope]}"
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return parsed(await self.raw("\r\n".join([*lines, "", ""]).encode() + body))

    async def raw(self, data: bytes) -> bytes:
        """Send data; return all that comes until the door closes."""
        address = self.url.split("/")[2]
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()


INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}  # fmt: skip


@contextlib.asynccontextmanager
async def opened(
    site: Site, hosts: Sequence[str] = (), daemon: str | None = None
) -> AsyncGenerator[Door]:
    """Serve the door while the block lasts. daemon: where it reaches that, site's URL if None."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_web(
            lambda token: client.connect(daemon or site.url, token),
            listen="127.0.0.1:0",
            hosts=hosts,
            ready=url.set_result,
        )
    )
    await asyncio.wait([serving, url], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield Door(site, url.result())
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def tell(folder: Path, story: Callable[[Door], Awaitable[None]], hosts: Sequence[str] = ()) -> None:
    """Run story against a served door."""

    async def whole(site: Site) -> None:
        async with opened(site, hosts) as door:
            await story(door)

    sites.tell(folder, whole)
