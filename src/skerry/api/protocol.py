"""uvicorn's protocols for one connection, with limits and answers that they do not have.

A request's headers must come within a time and a size; there are only so many connections; long
request lines work, because that is where an exec's arguments travel; and what is refused before the
application sees it has the one JSON shape too. Knows no call of the API.
"""

import asyncio
import email.utils
import socket
import struct
from typing import Any

import httptools
import msgspec
import uvicorn
import websockets.http11
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from skerry import wire
from skerry.api.edge import HEADERS
from skerry.api.limits import Limits
from skerry.api.race import LOST
from skerry.base import Clock

_PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
# httptools counts in a URL with 16 bits; a longer one is taken apart here.
_URL_BYTES_PARSED_MAX = 65_535
_HEAR_OUT_S = 2  # for what a client still sends that was refused
_PIPELINED_MAX = 64  # requests that wait for the answer to the one before
_TRAILER_BYTES_MAX = 16 * 1024
# WebSocket frames cost the loop time whatever their size: they are read by the slice, and counted.
_SLICE_BYTES = 8 * 1024
_FRAGMENTS_MAX = 1024  # of one message
_CONTROLS_PER_SECOND_MAX = 200
_UNREAD_BYTES_MAX = 1 << 20  # of answers to pings
_MESSAGE_BYTES_MAX = 10 << 20  # of one WebSocket message: the Sprites SDKs cap theirs there too

# struct tcp_info of linux/tcp.h: the state, unanswered probes, unacknowledged segments, and for how long
# nothing was acknowledged.
_TCP_INFO = struct.Struct("=B2xB20xI28xI")
_TCP_CLOSE = 7
_SILENT_MS_MAX = 45_000
_PROBES_MAX = 3  # a peer that reads nothing is asked at growing intervals, up to two minutes


class Unfinished:
    """How many bytes of headers wait for their end, in all connections of one server."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._size = 0

    def add(self, size: int) -> bool:
        """Count size bytes more, or fewer; tell whether there is room for them."""
        self._size += size
        return self._size <= self._size_max


class _TooManyAtOnceError(Exception):
    """A connection sent more requests than it waits for answers to."""


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        limits: Limits,
        clock: Clock,
        unfinished: Unfinished,
    ) -> None:
        super().__init__(config, state, {})
        self._limits = limits
        self._clock = clock
        self._unfinished = unfinished
        self.url = b""
        self._header_bytes = 0
        self._trailer_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._leftover: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for headers, unless there are too many of us."""
        super().connection_made(transport)
        self._await_headers()
        if len(self.connections) > self._limits.connections_max:
            self._refuse(503, "too_many_connections", "Too many connections are open. Try later.")

    def connection_lost(self, exc: Exception | None) -> None:
        """End all timers."""
        self._stop_waiting()
        self._stop_hearing_out()
        self._lost.set()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came, as long as headers stay within their size."""
        if self.transport.is_closing() or self._is_refused:
            return
        try:
            super().data_received(data)
        except httptools.HttpParserUpgrade:
            if not self._is_refused:
                raise
        if self._deadline is not None and not self._is_refused:  # they are not complete
            self._header_bytes += len(data)
            has_room = self._unfinished.add(len(data))
            if self._header_bytes > self._limits.header_bytes_max:
                self._refuse_long()
            elif not has_room:
                self._refuse(503, "too_many_headers", "Too many requests begin at once. Try later.")

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket, unless the request was refused already."""
        if not self._is_refused:
            super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Begin with a request's headers."""
        if len(self.pipeline) > _PIPELINED_MAX:
            # Whatever else this piece of data holds is not looked at.
            self.transport.close()
            raise _TooManyAtOnceError
        now_ns = self._clock.now_ns()
        date = email.utils.formatdate(now_ns // 10**9, usegmt=True).encode()
        self.server_state.default_headers = [(b"date", date)]
        super().on_message_begin()
        if self._deadline is None:
            self._await_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. What comes after the body is a trailer, which nobody here wants."""
        if self._deadline is not None:
            super().on_header(name, value)
            return
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > _TRAILER_BYTES_MAX and not self._is_refused:
            self._refuse_long()

    def on_headers_complete(self) -> None:
        """Hand a request with its headers on."""
        self._stop_waiting()
        self._trailer_bytes = 0
        self._hand_on()
        self.scope[LOST] = self._lost  # pyright: ignore[reportGeneralTypeIssues] - ASGI lets a server add

    def _hand_on(self) -> None:
        if len(self.url) <= _URL_BYTES_PARSED_MAX:
            super().on_headers_complete()
            return
        target, (path, _, query) = self.url, self.url.partition(b"?")
        if len(path) > _URL_BYTES_PARSED_MAX:
            self._refuse(414, "path_too_long", "There is no call with so long a path.")
            return
        self.url = path
        super().on_headers_complete()
        # The application has not begun: its task starts with the event loop's next turn.
        self.scope["query_string"] = query
        self.url = target

    def on_message_complete(self) -> None:
        """Wait for the next request, also after a body that was refused unread."""
        self._stop_hearing_out()
        super().on_message_complete()
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and not self.transport.is_closing():  # pyright: ignore[reportUnnecessaryComparison] - None before the first request
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Give the client a moment for what it still sends of a body that was not wanted."""
        super().on_response_complete()
        if self.cycle.more_body and self._leftover is None and not self.transport.is_closing():
            self._leftover = self.loop.call_later(_HEAR_OUT_S, self.transport.close)

    def _stop_hearing_out(self) -> None:
        if self._leftover is not None:
            self._leftover.cancel()
            self._leftover = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Refuse what is no HTTP, in our words."""
        if not self.transport.is_closing() and not self._is_refused:
            self._refuse(400, "bad_request", "This is no HTTP request. Check the client.")

    def _await_headers(self) -> None:
        self._forget_headers()
        self._deadline = self.loop.call_later(self._limits.header_wait_ns / 1e9, self._too_slow)

    def _forget_headers(self) -> None:
        self._unfinished.add(-self._header_bytes)
        self._header_bytes = 0

    def _stop_waiting(self) -> None:
        self._forget_headers()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(408, "headers_too_slow", "The request's headers took too long. Send it again.")

    def _refuse_long(self) -> None:
        if len(self.url) < self._limits.header_bytes_max // 2:
            self._refuse(431, "headers_too_large", "The request's headers are too large.")
        else:
            advice = "Use POST .../run for long commands."
            self._refuse(414, "request_line_too_long", f"The request line is too long. {advice}")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer with an error and close; in the midst of another answer only close."""
        self._stop_waiting()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison] - None before the first request
            if cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True  # what the application answers now nobody wants
            cycle.message_event.set()
        self._is_refused = True
        self.transport.write(refusal(status, code, message))
        # What the client still sends is dropped for a moment: if we closed while something is
        # unread, its system would throw our answer away.
        self.transport.write_eof()
        self._deadline = self.loop.call_later(_HEAR_OUT_S, self.transport.close)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection."""

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = _Handshake(max_size=_MESSAGE_BYTES_MAX)
        self._lost = asyncio.Event()
        self._controls = 0
        self._second_began_s = 0.0

    def handle_cont(self, event: Frame) -> None:
        """Take in a further piece of a message, of which there may be only so many."""
        super().handle_cont(event)
        if len(self.frames) > _FRAGMENTS_MAX:
            self._cut(1009)

    def handle_ping(self) -> None:
        """Answer, a client that asks often or reads no answer by the end."""
        super().handle_ping()
        self._count_control()
        if self.transport.get_write_buffer_size() > _UNREAD_BYTES_MAX:
            self.transport.abort()

    def handle_pong(self, event: Frame) -> None:
        """Take in an answer, asked for or not."""
        super().handle_pong(event)
        self._count_control()

    def _count_control(self) -> None:
        now_s = self.loop.time()
        if now_s - self._second_began_s >= 1:
            self._second_began_s, self._controls = now_s, 0
        self._controls += 1
        if self._controls > _CONTROLS_PER_SECOND_MAX:
            self._cut(1008)

    def _cut(self, code: int) -> None:
        """Close, and look at nothing more of what came."""
        if not self.transport.is_closing():
            self.conn.send_close(code)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait for it."""
        self._lost.set()
        super().connection_lost(exc)

    def handle_connect(self, event: Request) -> None:
        """Hand a handshake on."""
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # none after a bad handshake
        if scope is not None:
            scope[LOST] = self._lost

    def data_received(self, data: bytes) -> None:
        """Take in what came; a handshake that cannot be read is refused."""
        for start in range(0, len(data), _SLICE_BYTES):
            super().data_received(data[start : start + _SLICE_BYTES])
            if self.transport.is_closing():
                return
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            message = "The WebSocket handshake cannot be read: it has too many or too long headers."
            self.transport.write(refusal(431, "bad_handshake", message))
            self.transport.close()


class _Handshake(ServerProtocol):
    """The WebSocket protocol, which refuses a handshake in the one JSON shape."""

    def reject(self, status: int, text: str) -> Response:
        message = f"This is no WebSocket handshake: {text.strip().rstrip('.')}. Check the client."
        response = super().reject(status, error_body("bad_handshake", message).decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        for name, value in HEADERS:
            response.headers[name.decode()] = value.decode()
        return response


def refusal(status: int, code: str, message: str) -> bytes:
    """Return a whole answer that tells an error, the last one on its connection."""
    body = error_body(code, message)
    lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES[status])]
    lines += [name + b": " + value for name, value in HEADERS]
    lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
    return b"\r\n".join((*lines, b"connection: close", b"", body))


def error_body(code: str, message: str) -> bytes:
    """Return an error as JSON."""
    return msgspec.json.encode(wire.Error(error=code, message=message, code=code))


def allow_long_request_lines(size_max: int) -> None:
    """Let WebSocket handshakes have lines of size_max bytes: the library allows 8 KiB."""
    websockets.http11.MAX_LINE_LENGTH = size_max  # its own way: an environment variable at import


def is_lost(connection: socket.socket) -> bool:
    """Return whether a TCP connection is over, or its peer acknowledged nothing for too long.

    A peer that merely does not read still acknowledges, so that `| less` ends nobody's command;
    one that lost its power or its cable does not. TCP itself would try for a quarter of an hour.
    """
    state, probes, unacknowledged, silent_ms = _TCP_INFO.unpack(
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    )
    if state == _TCP_CLOSE:  # asyncio does not look while it holds the peer back
        return True
    return silent_ms > _SILENT_MS_MAX and (unacknowledged > 0 or probes > _PROBES_MAX)


def config_of(application: ASGIApp, limits: Limits) -> uvicorn.Config:
    """Return how an application is served on each connection."""
    config = uvicorn.Config(
        application,
        interface="asgi3",
        http="httptools",
        ws=WebSocketProtocol,
        # No pings: a client that does not read for a while answers none, and `| less` must not end
        # an exec. Who is gone is found by what TCP tells.
        ws_ping_interval=None,
        # Compression costs more time than the networks that commands run over.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level="critical",  # what goes wrong here the edge has told already
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, limits.idle_wait_ns // 10**9),
    )
    config.load()
    return config
