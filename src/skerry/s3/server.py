"""The server: a listening socket, its connections, their deadlines."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from skerry.s3 import (
    attribute_calls,
    bucket_calls,
    cors_calls,
    encryption_calls,
    form_calls,
    lifecycle_calls,
    listing_calls,
    lock_calls,
    notification_calls,
    object_calls,
    policy_calls,
    quota_calls,
    settled_calls,
    tag_calls,
    unset_calls,
    upload_calls,
    website_calls,
)
from skerry.s3.connection import Connection
from skerry.s3.router import Operation, Router
from skerry.s3.unbuilt import UNBUILT

if TYPE_CHECKING:
    from collections.abc import Callable

    from skerry.s3.connection import Serve

_CONNECTIONS_MAX = 1024  # each may have a few MiB under way
_BACKLOG = 1024
_TICK_S = 1.0
_END_S_MAX = 5.0

OPERATIONS: tuple[Operation, ...] = (
    *bucket_calls.OPERATIONS,
    *form_calls.OPERATIONS,
    *listing_calls.OPERATIONS,
    *object_calls.OPERATIONS,
    *policy_calls.OPERATIONS,
    *upload_calls.OPERATIONS,
    *lifecycle_calls.OPERATIONS,
    *attribute_calls.OPERATIONS,
    *cors_calls.OPERATIONS,
    *encryption_calls.OPERATIONS,
    *lock_calls.OPERATIONS,
    *notification_calls.OPERATIONS,
    *quota_calls.OPERATIONS,
    *settled_calls.OPERATIONS,
    *tag_calls.OPERATIONS,
    *website_calls.OPERATIONS,
    *unset_calls.OPERATIONS,
    *UNBUILT,
)


def router() -> Router:
    """Return what finds the operations that there are."""
    return Router(OPERATIONS)


async def serve(
    answer: Serve, listener: socket.socket, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Answer on a socket that is bound, until stop; what is under way then has a moment to end."""
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: Connection(answer, connections, _CONNECTIONS_MAX), sock=listener, backlog=_BACKLOG
    )
    ready()
    ticking = asyncio.create_task(_tick(connections))
    try:
        await stop.wait()
    finally:
        ticking.cancel()
        server.close()
        await _end(connections)


async def _tick(connections: set[Connection]) -> None:
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(_TICK_S)
        now_s = clock()
        for each in [each for each in connections if each.deadline_s < now_s]:
            each.expire()


async def _end(connections: set[Connection]) -> None:
    for each in list(connections):
        each.stop()
    under_way = [each.task for each in connections if each.task is not None]
    if under_way:
        await asyncio.wait(under_way, timeout=_END_S_MAX)
    for each in list(connections):
        each.expire()
