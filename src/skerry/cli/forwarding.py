"""Ports of a box as ports of this machine: named ones, and those that a command opens."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

from skerry import client
from skerry.base import SkerryError
from skerry.cli.output import print_error

_LOCALHOST = "127.0.0.1"
_PORTS_MAX = 64  # that one command may have forwarded at once
_READ_BYTES = 64 * 1024

_Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def listen(
    box: client.Box, address: str, local: int, remote: int, *, as_json: bool
) -> asyncio.Server:
    """Return a server whose connections become ones to a port of a box. Raises OSError."""
    return await asyncio.start_server(_serving(box, remote, as_json=as_json), address, local)


@contextlib.asynccontextmanager
async def following(box: client.Box, session: client.Session) -> AsyncGenerator[None]:
    """Forward the ports that open in a box while the block runs, to the same ports here.

    One that is taken here is left alone. What is forwarded is said on stderr.
    """
    servers: dict[int, asyncio.Server] = {}
    tasks: set[asyncio.Task[None]] = set()

    def changed(port: int, *, is_open: bool) -> None:
        task = asyncio.create_task(_follow(box, servers, port, is_open=is_open))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    session.on_port = changed
    try:
        yield
    finally:
        session.on_port = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in servers.values():
            server.close()


async def _follow(
    box: client.Box, servers: dict[int, asyncio.Server], port: int, *, is_open: bool
) -> None:
    if not is_open:
        if (server := servers.pop(port, None)) is not None:
            server.close()
        return
    if port in servers or len(servers) >= _PORTS_MAX:
        return
    try:
        servers[port] = await listen(box, _LOCALHOST, port, port, as_json=False)
    except OSError:  # it is taken here, or needs rights that this process lacks
        return
    # A carriage return too: the terminal may be the box's for now.
    print(
        f"\r[skerry: port {port} of {box.name} is {_LOCALHOST}:{port} here]\r\n",
        end="", file=sys.stderr, flush=True,
    )  # fmt: skip


def _serving(box: client.Box, remote: int, *, as_json: bool) -> _Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with box.forward(remote) as forward:
                await _relay(forward, reader, writer)
        except SkerryError as error:
            print_error(error.code, error.message, error.details, as_json=as_json)
        finally:
            writer.close()

    return serve


async def _relay(
    forward: client.Forward, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async def send() -> None:
        while data := await reader.read(_READ_BYTES):
            await forward.write(data)
        await forward.write_eof()

    sending = asyncio.create_task(send())
    try:
        while data := await forward.read():
            writer.write(data)
            await writer.drain()
    except ConnectionError:  # who connected here has gone
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
