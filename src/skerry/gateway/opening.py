"""Connecting to ports of boxes, also to those that do not listen yet.

While a box's programs begin, one caller knocks at a port for all that wait for it, at growing
distances; the others follow when it opens.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol, TypeAlias

from skerry.base import Conflict
from skerry.gateway import pages
from skerry.gateway.pages import Problem
from skerry.gateway.site import BoxState, Site
from skerry.gateway.upstream import Upstream
from skerry.host.namespace_socket import stream_socket
from skerry.host.seam import Running

_MILLISECOND_NS = 10**6
_DISTANCE_NS = (1 * _MILLISECOND_NS, 250 * _MILLISECOND_NS)
_KNOCK_SHARE = 20  # the distance is a twentieth of the time so far: little is lost, little is spent

# Returns a connected socket. Raises OSError, Conflict(box_not_running).
Connector: TypeAlias = Callable[[Running, int], Awaitable[socket.socket]]


class Opened(Protocol):
    """Who waits for a connection to a box."""

    def opened(self, upstream: Upstream) -> None:
        """Take the connection."""
        ...

    def fail(self, problem: Problem) -> None:
        """Know that there is none."""
        ...

    def box_lost(self) -> None:
        """Know that the box's first process is gone."""
        ...


async def connect_in_box(first: Running, port: int) -> socket.socket:
    """Connect to a port of a box as its own localhost, 127.0.0.1 or else ::1."""
    try:
        return await _connect(first, socket.AF_INET, ("127.0.0.1", port))
    except ConnectionRefusedError:
        # What listens on the name `localhost` may have taken the address of version 6 alone.
        try:
            return await _connect(first, socket.AF_INET6, ("::1", port))
        except OSError as error:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Nothing listens") from error


async def _connect(
    first: Running, family: socket.AddressFamily, address: tuple[str, int]
) -> socket.socket:
    made = stream_socket(first, family)
    try:
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


class Openings:
    """All connecting that is under way."""

    def __init__(self, site: Site, connector: Connector) -> None:
        self._site = site
        self._connector = connector
        # Who waits for a port that one task knocks at, by box and port; in their order.
        self._waiting: dict[tuple[str, int], dict[Opened, None]] = {}
        # Single connections, by who wants them.
        self._tasks: dict[Opened, asyncio.Task[None]] = {}

    def open(self, box: BoxState, port: int, opened: Opened) -> None:
        """Connect for somebody, who is told the outcome."""
        key = (box.box.box_id, port)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting[opened] = None
        elif port not in box.listening and self._site.now_ns < box.listen_until_ns:
            self._waiting[key] = {opened: None}
            self._start(self._knock(box, port))
        else:
            self._tasks[opened] = self._start(self._open(box, port, opened))

    def forsake(self, opened: Opened) -> None:
        """Know that somebody does not want a connection any more."""
        for waiting in self._waiting.values():
            waiting.pop(opened, None)
        if (task := self._tasks.pop(opened, None)) is not None:
            task.cancel()

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._site.tasks.add(task)
        task.add_done_callback(self._site.tasks.discard)
        return task

    async def _open(self, box: BoxState, port: int, opened: Opened) -> None:
        outcome = await self._try(box, port)
        del self._tasks[opened]  # it is there: who is forsaken is cancelled
        if outcome is pages.NO_LISTENER and self._site.now_ns < box.listen_until_ns:
            box.listening.discard(port)  # what listened has ended, and may begin again
            self.open(box, port, opened)
            return
        _tell(opened, outcome)

    async def _knock(self, box: BoxState, port: int) -> None:
        key = (box.box.box_id, port)
        waiting = self._waiting[key]
        try:
            outcome = await self._until_it_opens(box, port, waiting)
        finally:  # also if we are at fault: else nobody would knock at this port again
            del self._waiting[key]
        if not isinstance(outcome, Upstream):
            if outcome is pages.NO_LISTENER:
                outcome = pages.PORT_TOO_SLOW
            for opened in list(waiting):
                _tell(opened, outcome)
            return
        box.listening.add(port)
        first, *others = waiting or [None]
        if first is None:
            outcome.close()
            return
        first.opened(outcome)
        for opened in others:
            if opened is not None:
                self._tasks[opened] = self._start(self._open(box, port, opened))

    async def _until_it_opens(
        self, box: BoxState, port: int, waiting: Collection[Opened]
    ) -> Upstream | Problem | None:
        loop = asyncio.get_running_loop()
        least_ns, most_ns = _DISTANCE_NS
        began = loop.time()
        while True:
            outcome = await self._try(box, port)
            is_over = self._site.now_ns >= box.listen_until_ns
            if outcome is not pages.NO_LISTENER or is_over or not waiting:
                return outcome
            spent_ns = int((loop.time() - began) * 1e9)
            await asyncio.sleep(min(max(spent_ns // _KNOCK_SHARE, least_ns), most_ns) / 1e9)

    async def _try(self, box: BoxState, port: int) -> Upstream | Problem | None:
        """Return a connection, why there is none, or None if the box does not run."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._site.limits.connect_wait_ns / 1e9):
                made = await self._connector(box.first, port)
        except Conflict:
            return None
        except ConnectionRefusedError:
            return pages.NO_LISTENER
        except (OSError, TimeoutError):
            return pages.NO_CONNECTION
        try:
            _, upstream = await loop.create_connection(
                lambda: Upstream(self._site, box, port, made), sock=made
            )
        except BaseException:
            made.close()
            raise
        return upstream


def _tell(opened: Opened, outcome: Upstream | Problem | None) -> None:
    if isinstance(outcome, Upstream):
        opened.opened(outcome)
    elif outcome is None:
        opened.box_lost()
    else:
        opened.fail(outcome)
