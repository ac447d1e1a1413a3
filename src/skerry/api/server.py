"""Listens on a TCP and a Unix socket, and ends in good order.

uvicorn's own server is not used, only its protocols: it wakes ten times a second, takes the
process's signals, and knows one socket each. What happens on a connection is in `protocol.py`.
"""

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path

from uvicorn.server import ServerState

from skerry.api.edge import Edge
from skerry.api.limits import Limits
from skerry.api.protocol import (
    HttpProtocol,
    Unfinished,
    allow_long_request_lines,
    config_of,
    is_lost,
)
from skerry.host.listener import forget_unix, listen_tcp, listen_unix, url_of

_UNFINISHED_BYTES_MAX = 64 << 20  # of headers, over all connections
_BACKLOG = 1024
_STOP_WAIT_S = 3  # for what is under way to end by itself
_CANCEL_WAIT_S = 2  # for what was cancelled then
_LOOK_EVERY_S = 10


async def serve(
    public: Edge,
    private: Edge,
    *,
    listen: str,
    socket_path: Path,
    limits: Limits,
    ready: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Serve both edges until stop is set; ready is told the address once both listen.

    What is under way then may end within a few seconds; WebSockets are told to come back later
    (close code 1012). Raises Invalid(bad_setting), NotAvailable(address_in_use).
    """
    allow_long_request_lines(limits.header_bytes_max)
    loop = asyncio.get_running_loop()
    # Each with connections of its own: strangers who fill theirs do not lock out the owner.
    states = ServerState(), ServerState()
    tcp = listen_tcp(listen, "--listen")
    try:
        unix = listen_unix(socket_path)  # the data directory's lock says that it is ours alone
    except BaseException:
        tcp.close()
        raise
    factories = [
        functools.partial(
            HttpProtocol,
            config_of(edge, limits),
            state,
            limits,
            edge.clock,
            Unfinished(_UNFINISHED_BYTES_MAX),
        )
        for edge, state in zip((public, private), states, strict=True)
    ]
    servers = (
        await loop.create_server(factories[0], sock=tcp, backlog=_BACKLOG),
        await loop.create_unix_server(factories[1], sock=unix, backlog=_BACKLOG),
    )
    looking = asyncio.create_task(_drop_the_lost(states[0]))
    try:
        ready(url_of(tcp))
        await stop.wait()
    finally:
        looking.cancel()
        for server in servers:
            server.close()
        forget_unix(socket_path)
        await asyncio.gather(*(_end(state) for state in states))


async def _drop_the_lost(state: ServerState) -> None:
    """Close connections whose peer is gone without a word, again and again."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        for connection in list(state.connections):
            handle = connection.transport.get_extra_info("socket")
            if handle is None or connection.transport.is_closing():
                continue
            try:
                gone = is_lost(handle)
            except OSError:  # closed in this moment
                continue
            if gone:
                connection.transport.abort()


async def _end(state: ServerState) -> None:
    """Let requests end, then cancel them and close all connections."""
    for connection in list(state.connections):
        connection.shutdown()
    for wait_s in (_STOP_WAIT_S, _CANCEL_WAIT_S):
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=wait_s)
        for task in list(state.tasks):
            task.cancel()
    for connection in list(state.connections):
        connection.transport.abort()
