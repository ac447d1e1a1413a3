"""The gateway put together: listens, follows the daemon, tells it of traffic, ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from skerry.base import Clock
from skerry.gateway.access_log import AccessLog
from skerry.gateway.control import (
    BoxChanged,
    FromDaemon,
    FromGateway,
    Gone,
    Hello,
    MaySleep,
    SleepAnswer,
    Table,
    Tokens,
    Woken,
)
from skerry.gateway.downstream import Downstream
from skerry.gateway.exchange import Works
from skerry.gateway.link import Link
from skerry.gateway.opening import Connector, Openings
from skerry.gateway.published import Guest, Publications
from skerry.gateway.site import Site
from skerry.gateway.wake import Wakes

_BACKLOG = 4096
_TRAFFIC_EVERY_NS = 200 * 10**6
STOP_WAIT_NS = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Start:
    """What a gateway is started with; all else the daemon tells it.

    control_path: of the daemon's socket. base_domain: what comes after a box's name.
    """

    control_path: str
    base_domain: str


class Gateway:
    """The whole of it. tick_ns: how exact time limits are."""

    def __init__(
        self,
        *,
        listener: socket.socket,
        start: Start,
        clock: Clock,
        connector: Connector,
        log: AccessLog | None = None,
        tick_ns: int = 250 * 10**6,
    ) -> None:
        self._listener = listener
        self._tick_ns = tick_ns
        self._told_ns = 0
        self._clock = clock
        self._has_table = asyncio.Event()
        self.site = Site(start.base_domain, clock, log)
        self._link = Link(start.control_path, self._greet, self._take)
        self._wakes = Wakes(self.site, self._link.send)
        self._works = Works(self.site, Openings(self.site, connector), self._wakes)
        self._publications = Publications(self._works)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until stop is set, then let requests end for a while.

        Until the first table has come, callers wait in the queue of the kernel.
        """
        self._listener.listen(_BACKLOG)
        works = (self._link.run(), self._tick(), self._keep_log())
        background = [asyncio.ensure_future(work) for work in works]
        try:
            await _first_of(self._has_table, stop)
            if stop.is_set():
                return
            server = await asyncio.get_running_loop().create_server(
                lambda: Downstream(self._works), sock=self._listener, backlog=_BACKLOG
            )
            await _first_of(stop, *background)
            server.close()
            self._publications.close()
            await self._end()
        finally:
            for task in (*background, *self.site.tasks):
                task.cancel()
            await asyncio.gather(*background, *self.site.tasks, return_exceptions=True)
            if self.site.log is not None:
                await self.site.log.flush()

    async def _end(self) -> None:
        site = self.site
        site.is_stopping = True
        for client in list(site.clients):
            assert isinstance(client, Downstream | Guest)
            client.stop()
        ends_ns = self._clock.monotonic_ns() + STOP_WAIT_NS
        while site.clients and self._clock.monotonic_ns() < ends_ns:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(self._tick_ns / 1e9)
        for connection in (*site.clients, *site.upstreams):
            connection.abort()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._tick_ns / 1e9)
            site = self.site
            site.tick()
            if site.now_ns - self._told_ns >= _TRAFFIC_EVERY_NS:
                self._told_ns = site.now_ns
                self._tell_traffic()
                await self._publications.settle()

    async def _keep_log(self) -> None:
        while True:
            await asyncio.sleep(_TRAFFIC_EVERY_NS / 1e9)
            if self.site.log is not None:
                await self.site.log.flush()

    def _tell_traffic(self) -> None:
        if self._link.is_up:
            for traffic in self.site.traffic():
                self._link.send(traffic)

    def _greet(self) -> Iterator[FromGateway]:
        yield Hello()
        yield from self.site.traffic(of_all=True)
        yield from self._wakes.unanswered()

    def _take(self, message: FromDaemon) -> None:
        site = self.site
        match message:
            case Table():
                known = set(site.boxes)
                site.replace(message)
                for box_id in known - set(site.boxes):
                    self._wakes.forget(box_id)
                self._settle(*site.boxes)
                self._has_table.set()
            case BoxChanged():
                site.put(message.box)
                self._settle(message.box.box_id)
            case Gone():
                site.remove(message.box_id)
                self._wakes.forget(message.box_id)
            case Tokens():
                site.put_tokens(message.tokens)
            case Woken():
                self._wakes.answered(message)
            case MaySleep():
                self._link.send(SleepAnswer(message.id, self._may_sleep(message.box_id)))

    def _settle(self, *box_ids: str) -> None:
        for box_id in box_ids:
            state = self.site.boxes[box_id]
            if state.awake:
                self._wakes.settled(state)

    def _may_sleep(self, box_id: str) -> bool:
        state = self.site.boxes.get(box_id)
        if state is None or not state.open:
            if state is not None:
                self.site.fall_asleep(state)
            return True
        return False


async def _first_of(*awaited: asyncio.Event | asyncio.Future[None]) -> None:
    """Return when one of them has come; what ended a task is raised."""
    tasks = [
        asyncio.ensure_future(each.wait()) if isinstance(each, asyncio.Event) else each
        for each in awaited
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task, each in zip(tasks, awaited, strict=True):
            if isinstance(each, asyncio.Event):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
