"""Ports of this machine that are ports of boxes: raw TCP, which wakes a box as a request does.

Who may connect is not asked: who published a port decided that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from skerry.base import NotAvailable
from skerry.gateway.site import BoxState, peer_of
from skerry.host.listener import listen_tcp

if TYPE_CHECKING:
    from skerry.gateway.exchange import Works
    from skerry.gateway.pages import Problem
    from skerry.gateway.upstream import Upstream

_NEVER = 1 << 63
_BACKLOG = 1024


class Publications:
    """The ports that are listened on, each for one port of one box."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._servers: dict[tuple[str, str, int], asyncio.Server] = {}
        self._settled = -1  # the site's version when all was as it should be

    async def settle(self) -> None:
        """Listen where boxes say, and nowhere else; what cannot be had is tried again next time."""
        site = self._works.site
        if self._settled == site.version:
            return
        self._settled = site.version
        wanted = {
            (box.box.box_id, each.listen, each.port): box
            for box in site.boxes.values()
            for each in box.box.published
        }
        for key in self._servers.keys() - wanted.keys():
            self._servers.pop(key).close()
        for key in wanted.keys() - self._servers.keys():
            try:
                self._servers[key] = await self._listen(wanted[key], *key[1:])
            except NotAvailable:  # somebody else has the port for now
                self._settled = -1

    def close(self) -> None:
        """Listen no more."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    async def _listen(self, box: BoxState, listen: str, port: int) -> asyncio.Server:
        # Its connections find out about peers that are gone: nothing else would end those.
        listener = listen_tcp(listen, "another port")
        return await asyncio.get_running_loop().create_server(
            lambda: Guest(self._works, box, port), sock=listener, backlog=_BACKLOG
        )


class Guest(asyncio.Protocol):
    """One connection to a published port, and the one to the box that it becomes."""

    __slots__ = (
        "_box", "_bytes_in", "_bytes_out", "_early", "_ends", "_is_over", "_knows_loss", "_opens", "_peer",
        "_port", "_site", "_transport", "_upstream", "_wakes", "_works", "deadline_ns",
    )  # fmt: skip

    def __init__(self, works: Works, box: BoxState, port: int) -> None:
        self._works = works
        self._site = works.site
        self._box = box
        self._port = port
        self._transport = cast("asyncio.Transport", None)
        self._upstream: Upstream | None = None
        self._peer = b""
        self._opens = self._wakes = self._knows_loss = self._is_over = False
        self._early = b""
        self._ends = self._bytes_in = self._bytes_out = 0
        self.deadline_ns = _NEVER

    # The one who connects.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have the box woken and connected to, unless there are too many of us."""
        self._transport = cast("asyncio.Transport", transport)
        site, limits = self._site, self._site.limits
        self._peer = peer_of(transport)
        is_crowd = site.enter(self, self._peer)
        self._box.begin(self)
        if (
            is_crowd
            or len(site.clients) > limits.connections_max
            or len(self._box.open) > limits.requests_per_box_max
        ):
            self.abort()
        elif self._box.awake:
            self._connect()
        else:
            self._sleep()

    def look_again(self) -> None:
        """Do nothing: everybody may."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End, and the connection to the box with it."""
        self._site.leave(self, self._peer)
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self._bytes_in += len(data)
        if self._upstream is None and not self._is_over:
            # What had come before the box was there. Then no more is read until it is.
            self._early += data
            self._transport.pause_reading()
        elif self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.write(data)

    def eof_received(self) -> bool:
        """Pass on that no more comes; the other direction goes on."""
        if self._upstream is not None and not self._upstream.transport.is_closing():
            self._upstream.transport.write_eof()
        self._end_direction()
        return not self._is_over

    def pause_writing(self) -> None:
        """Let the box wait, since nobody reads."""
        if self._upstream is not None:
            self._upstream.hold()

    def resume_writing(self) -> None:
        """Go on."""
        if self._upstream is not None:
            self._upstream.release()

    def expire(self) -> None:
        """Give up: the box did not wake, or its port did not open."""
        self.abort()

    def stop(self) -> None:
        """Stay: a stop of the gateway waits for what is open."""

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # The box.

    def awake(self) -> None:
        """Go on, for the box has woken."""
        self._wakes = False
        self._connect()

    def opened(self, upstream: Upstream) -> None:
        """Let bytes pass both ways."""
        self._opens = False
        self.deadline_ns = _NEVER  # a session of a database may say nothing for a day
        self._upstream = upstream
        if self._early:
            upstream.transport.write(self._early)
            self._early = b""
        has_ended = self._ends > 0  # who only listens may end its side at once
        if has_ended:
            upstream.transport.write_eof()
        upstream.tunnel(self)
        if not has_ended:  # else the end would be read again
            self._transport.resume_reading()

    def fail(self, problem: Problem) -> None:  # noqa: ARG002 - there is no way to tell it
        """Close, since the box cannot be reached."""
        self._opens = self._wakes = False
        self.abort()

    def box_lost(self) -> None:
        """Have the box woken, whose first process is gone."""
        self._opens = False
        if self._knows_loss:
            self.abort()
            return
        self._knows_loss = True
        if self._box.awake:
            self._site.fall_asleep(self._box)
        self._sleep()

    def box_gone(self) -> None:
        """End, for the box is no more."""
        self.abort()

    def tunnelled(self, content: bytes) -> None:
        """Pass on what the box sends."""
        self._bytes_out += len(content)
        self._transport.write(content)

    def tunnel_ended(self) -> None:
        """Pass on that the box sends no more."""
        if not self._transport.is_closing():
            self._transport.write_eof()
        self._end_direction()

    def lost(self, *, is_silent: bool, is_bad: bool) -> None:  # noqa: ARG002 - as for requests
        """Close, for the box has."""
        self._upstream = None
        self._transport.close()

    def upstream_full(self, *, is_full: bool) -> None:
        """Let who connected wait while the box does not read."""
        if self._transport.is_closing():
            return
        if is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _sleep(self) -> None:
        self._wakes = True
        self.deadline_ns = self._site.now_ns + self._site.limits.wake_wait_ns
        self._works.wakes.ask(self._box, self._port, self)

    def _connect(self) -> None:
        limits = self._site.limits
        self.deadline_ns = self._site.now_ns + 2 * max(
            limits.listen_wait_ns, limits.connect_wait_ns
        )
        self._opens = True
        self._works.openings.open(self._box, self._port, self)

    def _end_direction(self) -> None:
        self._ends += 1
        if self._ends == 2:
            upstream, self._upstream = self._upstream, None
            if upstream is not None:
                upstream.let_go()
                upstream.close()
            self._leave()
            self._transport.close()

    def _leave(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._upstream is not None:
            self._upstream.forsake()
            self._upstream = None
        if self._wakes:
            self._works.wakes.forsake(self._box, self)
        if self._opens:
            self._works.openings.forsake(self)
        self._box.bytes_in += self._bytes_in
        self._box.bytes_out += self._bytes_out
        self._box.end(self)
