"""A connection from a client: reads its requests one after another, and sends the answers.

What becomes of a request, its exchange knows; who may send it, `entry`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from skerry.base import SkerryError
from skerry.gateway import entry, login, pages
from skerry.gateway.access_log import Entry
from skerry.gateway.body import Chunked, Measured
from skerry.gateway.entry import Known
from skerry.gateway.exchange import Exchange, Works
from skerry.gateway.grammar import BadMessage, HeadTooLarge, has_bare_line_end
from skerry.gateway.pages import Problem, Reply
from skerry.gateway.request import (
    client_of,
    forwarded_block,
    origin_form,
    request_fields,
    request_line,
    trailers_of,
)
from skerry.gateway.site import peer_of

_PIPELINED = 4  # a reason to hold, beside those of exchanges
_KNOWN_MAX = 8
_KNOWN_BYTES_MAX = 4096
_LINGER_BYTES_MAX = 1 << 20
_NO_LINGER = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_BAD_STATUS = {"bad_version": 505, "bad_expect": 417}
# What is known of a request before it is understood: method, target, fields.
_NO_LINE: tuple[bytes, bytes, Known | None] = (b"", b"/", None)


class Downstream(asyncio.Protocol):
    """One connection from a client."""

    __slots__ = (
        "_body",
        "_buffer",
        "_exchange",
        "_form",
        "_has_eof",
        "_holds",
        "_is_ending",
        "_is_in_head",
        "_is_looping",
        "_is_trusted",
        "_known",
        "_line",
        "_lingered",
        "_looked",
        "_site",
        "_transport",
        "_works",
        "deadline_ns",
        "is_fixed",
        "is_full",
        "peer",
    )  # fmt: skip

    def __init__(self, works: Works) -> None:
        self._works = works
        self._site = works.site
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._buffer = b""
        self._known: dict[bytes, Known] = {}
        self._body: Chunked | Measured | None = None
        self._exchange: Exchange | None = None
        self._form: tuple[Known, bytearray] | None = None
        self._line = _NO_LINE
        self._holds = 0
        self._has_eof = False
        self._is_ending = False
        self._is_in_head = False  # in the middle of one, or of something that is none
        self._is_looping = False
        self._is_trusted = False
        self._lingered = 0
        self._looked = 0  # so much of a head has no end in it
        self.deadline_ns = 0
        self.is_full = False
        self.is_fixed = False
        self.peer = b""

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request, unless there are too many of us."""
        self._transport = cast("asyncio.Transport", transport)
        site = self._site
        self.peer = peer_of(transport)
        self._is_trusted = site.is_trusted(self.peer.decode())
        self.deadline_ns = site.now_ns + site.limits.idle_ns
        is_crowd = site.enter(self, self.peer) and not self._is_trusted
        if len(site.clients) > 2 * site.limits.connections_max:
            self.abort()  # too many even to be told so
        elif len(site.clients) > site.limits.connections_max or is_crowd:
            self._is_in_head = True  # of a request that is about to come, and is not read
            self._reply(pages.TOO_MANY_CONNECTIONS, keep=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End, and what is under way with it."""
        self._site.leave(self, self.peer)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.forsake()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._is_ending:
            self._lingered += len(data)
            if self._lingered > _LINGER_BYTES_MAX:
                self.abort()
        elif self._body is not None:
            self._take_body(data)
            if self._exchange is None:
                self._take_requests()
        elif self._exchange is None:
            self._buffer = self._buffer + data if self._buffer else data
            self._take_requests()
        elif self._exchange.is_tunnel:
            self._exchange.tunnel(data)
        else:
            self._keep_for_later(data)

    def eof_received(self) -> bool:
        """Know that the client sends no more. It gets the answer to what it sent whole."""
        exchange = self._exchange
        if self._is_ending or exchange is None or self._body is not None:
            return False
        self._has_eof = True
        if exchange.is_tunnel:
            exchange.tunnel_closing()
        elif not self.is_fixed:
            # It may as well be gone: then nobody reads what a box may send for hours.
            self.is_fixed = True
            self.deadline_ns = self._site.now_ns + self._site.limits.half_closed_ns
        return True

    def pause_writing(self) -> None:
        """Let the box wait, since the client does not read."""
        self.is_full = self.is_fixed = True
        self.deadline_ns = self._site.now_ns + self._site.limits.body_wait_ns
        if self._exchange is not None:
            self._exchange.client_full(is_full=True)

    def resume_writing(self) -> None:
        """Go on, since the client reads again."""
        self.is_full = False
        self.is_fixed = self._has_eof
        exchange = self._exchange
        if exchange is not None:
            exchange.touch()
            exchange.client_full(is_full=False)
        elif not self._is_ending:
            self.deadline_ns = self._site.now_ns + self._site.limits.idle_ns
            self._take_requests()

    def expire(self) -> None:
        """Do what is to be done at the deadline."""
        exchange = self._exchange
        if self._is_ending or (self.is_fixed and exchange is None):
            self.abort()
        elif exchange is not None:
            exchange.expire()
        elif self._body is not None:
            self._reply(pages.SLOW_BODY, keep=False)
        elif self._buffer:
            self._reply(pages.SLOW_HEAD, keep=False)
        else:
            self._end()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def look_again(self) -> None:
        """End what is under way if it is not allowed any more."""
        method, _, known = self._line
        exchange = self._exchange
        if exchange and known and not entry.still_allowed(self._site, known, method):
            exchange.fail(pages.NOT_ALLOWED)

    def stop(self) -> None:
        """Close if no request is under way; else after it."""
        if self._exchange is None and self._body is None and not self._is_ending:
            self._end()

    # What exchanges do with it.

    def write(self, data: bytes) -> None:
        """Send."""
        self._transport.write(data)

    def hold(self, reason: int) -> None:
        """Read no more, for a reason; others may hold too."""
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= reason

    def release(self, reason: int) -> None:
        """Read again, as far as this reason is concerned."""
        if self._holds & reason:
            self._holds &= ~reason
            if not self._holds and not self._transport.is_closing():
                self._transport.resume_reading()

    def done(self, *, keep: bool) -> None:
        """Go on to the next request, or end."""
        self._exchange = None
        if not keep or self._body is not None:
            self._end()
            return
        self.release(_PIPELINED)
        if not self.is_full:
            if not self.is_fixed:
                self.deadline_ns = self._site.now_ns + self._site.limits.idle_ns
            if self._buffer or self._has_eof:
                self._take_requests()

    def refuse(self, problem: Problem, *, keep: bool) -> None:
        """Answer with a problem, then as `done`."""
        self._exchange = None
        self._reply(problem, keep=keep, is_logged=True)

    def break_off(self, *, is_endless: bool) -> None:
        """Close in a way that tells the client that the answer is not complete."""
        self._exchange = None
        if is_endless and not self._transport.is_closing():
            # By a reset, for such an answer looks whole where its connection just ends.
            connection: socket.socket = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.abort()

    def start_tunnel(self) -> None:
        """Give the exchange whatever comes from now on, and what has come already."""
        data, self._buffer = self._buffer, b""
        self.release(_PIPELINED)
        if data and self._exchange is not None:
            self._exchange.tunnel(data)

    def finish_writing(self) -> None:
        """End this direction of the tunnel."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    # Requests.

    def _keep_for_later(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > self._site.limits.header_bytes_max:
            self.hold(_PIPELINED)

    def _take_requests(self) -> None:
        """Take all requests that are there, until one of them is under way."""
        if self._is_looping:
            return
        self._is_looping = True
        try:
            while self._buffer and self._is_ready() and self._take_request():
                pass
        finally:
            self._is_looping = False
        if self._has_eof and self._is_ready():  # no more will come
            self._end()

    def _is_ready(self) -> bool:
        return (
            self._exchange is None
            and self._body is None
            and not self._is_ending
            and not self.is_full
            and not self._transport.is_closing()
        )

    def _take_request(self) -> bool:
        """Take one request; tell whether there was a whole head."""
        data = self._buffer
        if data[:2] == b"\r\n" and not self._is_in_head:  # some clients end a body with one
            data = self._buffer = data[2:]
        # Each byte is looked at once, or a client that sends them one by one has us busy for long.
        size = data.find(b"\r\n\r\n", self._looked)
        limits = self._site.limits
        if size < 0:
            self._wait_for_head(data)
            return False
        self._buffer = data[size + 4 :]
        self._looked = 0
        self._line = _NO_LINE
        self._is_in_head = True
        try:
            if size > limits.header_bytes_max:
                raise HeadTooLarge("head_too_long", pages.LONG_HEAD.message)
            self._begin(data, size)
        except BadMessage as error:
            status = _BAD_STATUS.get(error.code, 400)
            self._reply(pages.bad_message(status, error.code, error.message), keep=False)
        except HeadTooLarge as error:
            self._reply(pages.bad_message(431, error.code, error.message), keep=False)
        return True

    def _wait_for_head(self, data: bytes) -> None:
        limits = self._site.limits
        looked, self._looked = self._looked, max(0, len(data) - 3)
        if len(data) > limits.header_bytes_max:
            self._reply(pages.LONG_HEAD, keep=False)
        elif has_bare_line_end(data, looked):
            self._reply(
                pages.bad_message(400, "bad_header", "Lines end with CR and LF, both."), keep=False
            )
        elif data and not self._is_in_head:
            # The time is counted from the first byte; those that follow do not lengthen it.
            self._is_in_head = True
            self.deadline_ns = self._site.now_ns + limits.header_wait_ns

    def _begin(self, data: bytes, size: int) -> None:
        line_size = data.find(b"\r\n")
        method, target, is_11 = request_line(data[:line_size])
        known = self._learn(data[line_size + 2 : size + 2])
        fields = known.fields
        if target[0] != 0x2F:
            target = origin_form(method, target, fields.host)
        if fields.is_chunked and not is_11:
            raise BadMessage("bad_transfer_encoding", "HTTP/1.0 has no chunks.")
        self._line = (method, target, known)
        self._is_in_head = False
        if fields.is_chunked:
            self._body = Chunked()
        elif fields.length:
            self._body = Measured(fields.length)
        if known.is_plain(self._site, target) or not self._is_answered_here(is_11=is_11):
            self._forward(known, (method, target, is_11))

    def _is_answered_here(self, *, is_11: bool) -> bool:
        """Answer a request that is not for the box, or not yet; tell whether it was one."""
        site = self._site
        method, target, known = self._line
        assert known is not None, "it was read"
        if known.version != site.version:
            known.refresh(site)
        if entry.is_login(site, known, method, target):
            self._begin_form(known)
            return True
        reply = entry.own_reply(site, known, method, target)
        if reply is None:
            return False
        keep = is_11 and b"close" not in known.fields.connection and self._body is None
        self._reply(reply, keep=keep)
        return True

    def _forward(self, known: Known, request: tuple[bytes, bytes, bool]) -> None:
        assert known.place is not None, "own_reply has answered else"
        head = b"%b %b HTTP/1.1\r\n%b" % (request[0], request[1], known.forwarded)
        exchange = Exchange(self._works, self, known.place, request, known.fields, head)
        self._exchange = exchange
        if self._body is not None:
            body, self._buffer = self._buffer, b""
            self._take_body(body)
        if self._exchange is exchange:
            exchange.begin()

    def _learn(self, block: bytes) -> Known:
        """Return what is known of a header block, which clients repeat with each request."""
        known = self._known.get(block)
        if known is None:
            fields = request_fields(block, self._site.limits.headers_max)
            is_trusted = self._is_trusted
            known = Known(
                fields,
                forwarded_block(fields, self.peer, is_trusted=is_trusted),
                is_secure=is_trusted and fields.forwarding.get(b"x-forwarded-proto") == b"https",
            )
            known.refresh(self._site)
            if len(block) <= _KNOWN_BYTES_MAX:
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                self._known[block] = known
        return known

    def _take_body(self, data: bytes) -> None:
        body, exchange = self._body, self._exchange
        assert body is not None, "only called within a body"
        try:
            content = body.feed(data) if data else b""
            trailers = self._trailers(body)
        except SkerryError as error:
            problem = pages.bad_message(400, error.code, error.message)
            if exchange is None:
                self._reply(problem, keep=False)
            else:
                exchange.fail(problem)
            return
        if body.done:
            self._body = None
            self._buffer = body.rest
        if exchange is None:
            self._take_form(content)
            return
        if content:
            exchange.feed(content)
        if trailers is not None and self._exchange is exchange:
            exchange.feed_end(trailers)

    def _trailers(self, body: Chunked | Measured) -> bytes | None:
        """Return the trailers, None if the body is not complete."""
        if not body.done:
            return None
        if isinstance(body, Chunked):
            return trailers_of(body.trailers, self._site.limits.headers_max)
        return b""

    # What the gateway answers itself.

    def _begin_form(self, known: Known) -> None:
        if self._body is None or known.fields.is_chunked:
            self._reply(pages.BAD_FORM, keep=False)
            return
        if known.fields.expects_continue:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._form = (known, bytearray())
        self.deadline_ns = self._site.now_ns + self._site.limits.body_wait_ns
        body, self._buffer = self._buffer, b""
        self._take_body(body)

    def _take_form(self, content: bytes) -> None:
        assert self._form is not None, "a body is a form's where there is no exchange"
        known, form = self._form
        form += content
        if len(form) > login.FORM_BYTES_MAX:
            self._form = None
            self._reply(pages.BAD_FORM, keep=False)
        elif self._body is None:
            self._form = None
            client = client_of(known.fields, self.peer, is_trusted=self._is_trusted)
            reply = login.filled_in(
                self._site, known.fields, client, bytes(form), is_secure=known.is_secure
            )
            self._reply(reply, keep=b"close" not in known.fields.connection)

    def _reply(self, reply: Reply | Problem, *, keep: bool, is_logged: bool = False) -> None:
        if self._transport.is_closing():
            return
        method, _, known = self._line
        if isinstance(reply, Problem):
            reply = pages.problem_reply(reply, known.fields.accept if known else b"")
        keep = keep and not self._site.is_stopping and self._body is None
        self.write(pages.render(reply, is_head=method == b"HEAD", is_last=not keep))
        if self._site.log is not None and not is_logged:
            self._log(reply.status, len(reply.body))
        self.done(keep=keep)

    def _end(self) -> None:
        """Close, but hear out what the client still sends: else it might lose the answer."""
        if self._is_ending or self._transport.is_closing():
            return
        self._is_ending = True
        is_whole = self._body is None and not self._buffer and not self._is_in_head
        self._buffer = b""
        self._body = None
        limits = self._site.limits
        if is_whole or self._has_eof:
            self.deadline_ns = self._site.now_ns + limits.body_wait_ns  # for the client to read
            self._transport.close()
            return
        self.deadline_ns = self._site.now_ns + limits.linger_ns
        self._transport.write_eof()
        self._holds = 0
        self._transport.resume_reading()

    def _log(self, status: int, bytes_out: int) -> None:
        method, target, known = self._line
        log = self._site.log
        assert log is not None
        log.add(
            Entry(
                at_ns=self._site.wall_ns,
                client=self.peer.decode(),
                host=known.fields.name if known else "",
                method=method.decode(),
                path=target.partition(b"?")[0].decode(),
                status=status,
                bytes_out=bytes_out,
                duration_ms=0.0,
                box_id=known.place[0].box.box_id if known and known.place else None,
            )
        )
