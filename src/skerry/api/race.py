"""Several pieces of work at once, of which the first to end ends all."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive, Scope

LOST = "skerry.lost"
"""Where a scope has the event that its connection is gone: receiving tells only who receives."""


async def race(*works: Coroutine[Any, Any, None]) -> None:
    """Do works at once; when one of them has ended, cancel the others and wait until they have too.

    Raises what one of them raised. Cancelled itself, it cancels all.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    failures = [e for task in tasks if not task.cancelled() and (e := task.exception())]
    if failures:
        raise failures[0]


async def lost(scope: Scope) -> None:
    """Return when the connection of a request is gone, whether or not somebody receives from it."""
    event: asyncio.Event | None = scope.get(LOST)
    await (event.wait() if event is not None else forever())


async def gone(receive: Receive) -> None:
    """Return when the client of a request has hung up. Its body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def forever() -> None:
    """Wait until cancelled: for a work that has nothing left to do but must not end the race."""
    await asyncio.Event().wait()
