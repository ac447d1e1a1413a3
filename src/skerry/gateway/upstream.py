"""A connection to a port of a box: sends one request at a time and reads its answer.

Between requests it waits in its box's pool. Whether a failed request may be sent again, and how the
client gets the answer, is not known here.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol, cast

from skerry.base import Invalid, TooLarge
from skerry.gateway.body import Body, Chunked, Endless, Measured
from skerry.gateway.grammar import BadMessage, has_bare_line_end
from skerry.gateway.request import trailers_of
from skerry.gateway.response import ResponseFields, response_fields, status_line
from skerry.gateway.site import BoxState, Site

_INTERIMS_MAX = 32
_STATUS_LINES_MAX = 256
_STATUS_LINE_BYTES_MAX = 64
_NEVER = 1 << 63

_status_lines: dict[bytes, tuple[int, bytes, bool]] = {}


class Tunnelling(Protocol):
    """Who exchanges bytes with the box, whatever they mean."""

    def tunnelled(self, content: bytes) -> None:
        """Take what came through the tunnel."""
        ...

    def tunnel_ended(self) -> None:
        """Know that no more comes through the tunnel."""
        ...

    def lost(self, *, is_silent: bool, is_bad: bool) -> None:
        """Know that no answer comes, or no more of it. is_silent: not a byte of one had come."""
        ...

    def upstream_full(self, *, is_full: bool) -> None:
        """Know whether the box takes no more for now."""
        ...


class Asking(Tunnelling, Protocol):
    """Who sent the request that is answered."""

    is_head: bool
    is_sent: bool  # the request, with all its body
    asked_upgrade: bool

    def touch(self) -> None:
        """Note that something came."""
        ...

    def interim(self, status: int, line: bytes, fields: ResponseFields) -> None:
        """Take the head of an answer that another one follows."""
        ...

    def answer(
        self, status: int, line: bytes, fields: ResponseFields, content: bytes, end: bytes | None
    ) -> None:
        """Take the head of the answer, and what came with it. end: as for `more`."""
        ...

    def more(self, content: bytes, end: bytes | None) -> None:
        """Take more of it. end: the trailers, once it is complete."""
        ...

    def ended(self) -> None:
        """Know that it is complete, and this connection in other hands."""
        ...

    def switched(self, line: bytes, fields: ResponseFields, content: bytes) -> None:
        """Become a tunnel."""
        ...


class Upstream(asyncio.Protocol):
    """One connection to a box."""

    __slots__ = (
        "_block", "_body", "_box", "_buffer", "_connection", "_fields", "_interims", "_is_new", "_is_silent",
        "_looked", "_port", "_site", "_tunnel", "asking", "deadline_ns", "idle_since_ns", "is_full", "may_stay",
        "transport",
    )  # fmt: skip

    def __init__(self, site: Site, box: BoxState, port: int, connection: socket.socket) -> None:
        self._connection = connection
        self._site = site
        self._box = box
        self._port = port
        self.asking: Asking | None = None
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.deadline_ns = _NEVER
        self.idle_since_ns = 0
        self.may_stay = True
        self.is_full = False
        self._buffer = b""
        self._looked = 0  # so much of a head has no end in it
        self._block = b""
        self._fields: ResponseFields | None = None
        self._body: Body | None = None
        self._is_new = True
        self._is_silent = True
        self._tunnel: Tunnelling | None = None
        self._interims = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self._site.upstreams.add(self)

    def send(self, asking: Asking, data: bytes) -> None:
        """Send a request's first bytes; the answer is for asking."""
        assert self.asking is None, "one request at a time"
        self.asking = asking
        self._is_new = False
        if self._buffer or self.transport.is_closing():
            self._fail(is_bad=bool(self._buffer))
            return
        self.deadline_ns = _NEVER  # from here on the client's deadline holds for both
        self._is_silent = True
        self._interims = 0
        self.transport.write(data)
        # Many programs write head and body apart, and their kernel sends the second only once the
        # first is acknowledged: at once, that is, and not after 40 ms. It holds for a moment only.
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def tunnel(self, tunnelling: Tunnelling) -> None:
        """Pass on whatever comes, from the first byte."""
        assert self.asking is None, "one use at a time"
        self.deadline_ns = _NEVER
        self._tunnel = tunnelling
        early, self._buffer = self._buffer, b""
        if early:
            tunnelling.tunnelled(early)
        if self.transport.is_closing():
            self._fail(is_bad=False)
        else:
            self.release()

    def let_go(self) -> None:
        """Know that nobody wants what comes any more."""
        self.asking = self._tunnel = None

    def data_received(self, data: bytes) -> None:
        """Take in a part of the answer."""
        if self._tunnel is not None:
            self._tunnel.tunnelled(data)
            return
        asking = self.asking
        if asking is None:
            self._take_unasked(data)
            return
        self._is_silent = False
        try:
            if self._body is not None:
                asking.touch()
                self._take_body(asking, self._body, data)
            else:
                self._buffer = self._buffer + data if self._buffer else data
                self._take_heads(asking)
        except (Invalid, TooLarge):
            self._fail(is_bad=True)

    def _take_unasked(self, data: bytes) -> None:
        """Keep what came before anybody had this connection: some programs speak first.

        Else nobody asked, and a later request would get it for its answer.
        """
        if self._is_new and not self._buffer:
            self._buffer = data
            self.hold()
        else:
            self.abort()

    def eof_received(self) -> bool:
        """Know that the box sends no more; only a tunnel stays open for the other direction."""
        if self._tunnel is not None:
            self._tunnel.tunnel_ended()
            return True
        asking = self.asking
        if asking is None:
            return False
        body = self._body
        if isinstance(body, Endless):
            body.done = True
            asking.more(b"", b"")
            self._finish(asking, body)
        else:
            self._fail(is_bad=False)
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End."""
        self._site.upstreams.discard(self)
        self._leave_pool()
        self._fail(is_bad=False)

    def pause_writing(self) -> None:
        """Let the client wait, since the box does not read."""
        self.is_full = True
        if (other := self._tunnel or self.asking) is not None:
            other.upstream_full(is_full=True)

    def resume_writing(self) -> None:
        """Go on, since the box reads again."""
        self.is_full = False
        if (other := self._tunnel or self.asking) is not None:
            other.upstream_full(is_full=False)

    def hold(self) -> None:
        """Read no more for now, since the client does not."""
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self) -> None:
        """Read again."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def forsake(self) -> None:
        """Close at once, telling nobody: who asked wants no answer any more."""
        self.let_go()
        self.abort()

    def expire(self) -> None:
        """Close what was unused for long."""
        self.close()

    def close(self) -> None:
        """Close after what is still to be sent."""
        self._leave_pool()
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._leave_pool()
        self.transport.abort()

    def _take_heads(self, asking: Asking) -> None:
        while self.asking is asking and self._body is None and self._tunnel is None:
            data = self._buffer
            looked, self._looked = self._looked, 0
            size = data.find(b"\r\n\r\n", looked)
            limits = self._site.limits
            if size < 0:
                if len(data) > limits.header_bytes_max or has_bare_line_end(data, looked):
                    raise BadMessage("bad_header", "The answer's head has no end.")
                self._looked = max(0, len(data) - 3)
                return
            if size > limits.header_bytes_max:
                raise BadMessage("bad_header", "The answer's head is too long.")
            self._take_head(asking, data, size)

    def _take_head(self, asking: Asking, data: bytes, size: int) -> None:
        line_size = data.find(b"\r\n")
        status, line, is_11 = _status_line(data[:line_size])
        block = data[line_size + 2 : size + 2]
        fields = self._fields
        if fields is None or block != self._block:
            fields = response_fields(block, self._site.limits.headers_max)
            self._block, self._fields = block, fields
        rest = data[size + 4 :]
        self._buffer = b""
        if status < 200:
            self._take_interim(asking, status, line, fields, rest)
            return
        if fields.is_chunked and not is_11:
            raise BadMessage("bad_transfer_encoding", "HTTP/1.0 has no chunks.")
        self._keep_alive(fields, is_11=is_11)
        body: Body
        if asking.is_head or status in (204, 304) or fields.length == 0:
            body = Measured(0)
            body.rest = rest
            content = b""
        else:
            body = _body_of(fields)
            content = body.feed(rest) if rest else b""
        self._body = body
        asking.answer(status, line, fields, content, self._end_of(body))
        if body.done and self.asking is asking:
            self._finish(asking, body)

    def _keep_alive(self, fields: ResponseFields, *, is_11: bool) -> None:
        keeps = (not fields.is_last) if is_11 else (fields.keeps_alive and not fields.is_last)
        self.may_stay = self.may_stay and keeps

    def _take_interim(
        self, asking: Asking, status: int, line: bytes, fields: ResponseFields, rest: bytes
    ) -> None:
        self._interims += 1
        if fields.length or fields.is_chunked or self._interims > _INTERIMS_MAX:
            raise BadMessage("bad_status_line", "That is no interim answer.")
        if status != 101:
            self._buffer = rest
            asking.interim(status, line, fields)
            return
        if not asking.asked_upgrade or fields.upgrade is None:
            raise BadMessage("bad_status_line", "Nobody asked for another protocol.")
        self.asking, self._tunnel = None, asking
        asking.switched(line, fields, rest)

    def _take_body(self, asking: Asking, body: Body, data: bytes) -> None:
        content = body.feed(data)
        end = self._end_of(body)
        if content or end is not None:
            asking.more(content, end)
        if body.done and self.asking is asking:
            self._finish(asking, body)

    def _end_of(self, body: Body) -> bytes | None:
        if not body.done:
            return None
        if isinstance(body, Chunked) and body.trailers:
            return trailers_of(body.trailers, self._site.limits.headers_max)
        return b""

    def _finish(self, asking: Asking, body: Body) -> None:
        self.asking = None
        self._body = None
        self._buffer = b""
        is_clean = asking.is_sent and not body.rest and not isinstance(body, Endless)
        # First the connection is put back: the client may have its next request waiting.
        if not (self.may_stay and is_clean and self._return_to_pool()):
            self.transport.close()
        asking.ended()

    def _return_to_pool(self) -> bool:
        site, box = self._site, self._box
        if self.transport.is_closing() or not box.awake or site.is_stopping:
            return False
        pool = box.pools.setdefault(self._port, [])
        # All together too: a box has 65,535 ports, and its visitors may use them all.
        is_many = len(site.upstreams) > site.limits.connections_max
        if is_many or len(pool) >= site.limits.upstream_idle_per_port_max:
            return False
        self.idle_since_ns = site.now_ns
        self.deadline_ns = site.now_ns + site.limits.upstream_idle_ns
        self.transport.resume_reading()
        pool.append(self)
        return True

    def _leave_pool(self) -> None:
        pool = self._box.pools.get(self._port)
        if pool is not None and self in pool:
            pool.remove(self)

    def _fail(self, *, is_bad: bool) -> None:
        other = self._tunnel or self.asking
        self.let_go()
        self._body = None
        self.abort()
        if other is not None:
            other.lost(is_silent=self._is_silent, is_bad=is_bad)


def take(site: Site, box: BoxState, port: int, *, unused_ns_max: int) -> Upstream | None:
    """Return a connection from the pool that was unused for so long at most, if there is one."""
    pool = box.pools.get(port)
    while pool:
        upstream = pool[-1]
        assert isinstance(upstream, Upstream)
        if upstream.idle_since_ns < site.now_ns - unused_ns_max:
            return None  # the last in is the one that was unused for the shortest time
        pool.pop()
        if not upstream.transport.is_closing():
            return upstream
    return None


def _body_of(fields: ResponseFields) -> Body:
    if fields.is_chunked:
        return Chunked()
    return Endless() if fields.length is None else Measured(fields.length)


def _status_line(line: bytes) -> tuple[int, bytes, bool]:
    known = _status_lines.get(line)
    if known is None:
        known = status_line(line)
        if len(_status_lines) < _STATUS_LINES_MAX and len(line) <= _STATUS_LINE_BYTES_MAX:
            _status_lines[line] = known
    return known
