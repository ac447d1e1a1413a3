"""HTTP/1.1 for S3: connections, requests with bodies as streams, answers with bodies as streams.

What a request means is not known here: it is given to `serve`, which returns the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeAlias, cast

import httptools

from skerry.base import Invalid, SkerryError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from skerry.objects.records import Buffer

_HEAD_BYTES_MAX = 64 << 10
_HEADERS_MAX = 128
_HIGH_BYTES, _LOW_BYTES = 1 << 20, 256 << 10  # of a body that wait to be read
# Of answers that wait to be sent: a client takes the difference in _SEND_S, or is cut off.
_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES = 4 << 20, 3 << 20
_PIPELINED_MAX = 16
_DRAIN_BYTES_MAX = 1 << 20  # of a body that nobody wants, to keep the connection
_IDLE_S, _HEAD_S, _BODY_S, _SEND_S = 75.0, 20.0, 60.0, 60.0
_BODY_BYTES_PER_S_MIN = 4096  # once _BODY_S were spent in waiting for a body
_LINGER_S = 10.0  # for a client to send what nobody wants, and then to read why
_NEVER = float("inf")


@dataclass(slots=True)
class Request:
    """One request. target: as it was sent. headers: names in lower case; several values joined.

    size: of the body as it is sent, None if that is not known beforehand. size_min: where the size
    is not known but its bounds are, the least, and `size` is the most. operation: its name at AWS,
    once that is known.
    """

    method: str
    target: bytes
    headers: dict[str, str]
    body: Body
    size: int | None
    peer: str
    operation: str = "none"
    size_min: int | None = None


@dataclass(slots=True)
class Response:
    """An answer. body: all of it, or pieces that make up `size` bytes.

    size: what Content-Length says, where that is not the size of the body, as for HEAD.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytes | AsyncGenerator[Buffer] = b""
    size: int | None = None


Serve: TypeAlias = "Callable[[Request], Awaitable[Response]]"


class Body:
    """What comes after the head: read once, piece by piece."""

    def __init__(self, connection: Connection, *, awaits_continue: bool) -> None:
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._came_bytes = 0
        self._waited_s = 0.0
        self._news = asyncio.Event()
        self._awaits_continue = awaits_continue
        self.done = False
        self.was_read = False

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield what comes. Raises Invalid(body_size, request_timeout) if the client ends early."""
        self.was_read = True
        if self._awaits_continue and not self.done:
            self._awaits_continue = False
            self._connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._size -= len(piece)
                if self._size < _LOW_BYTES:
                    self._connection.read_on()
                yield piece
            if self.done:
                return
            if self._connection.is_lost:
                raise Invalid("body_size", "The connection ended before the body did.")
            await self._wait()

    async def _wait(self) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        left_s = _BODY_S + self._came_bytes / _BODY_BYTES_PER_S_MIN - self._waited_s
        self._news.clear()
        try:
            async with asyncio.timeout(min(left_s, _BODY_S)):
                await self._news.wait()
        except TimeoutError:
            raise Invalid(
                "request_timeout", "The body comes too slowly, or no more. Send the request again."
            ) from None
        self._waited_s += clock() - began_s

    async def drained(self) -> bool:
        """Read to the end what nobody wants, if that is little; tell whether it is all read."""
        if self._awaits_continue:
            return False
        size = 0
        with contextlib.suppress(Invalid):
            async for piece in self.pieces():
                size += len(piece)
                if size > _DRAIN_BYTES_MAX:
                    return False
        return self.done

    def put(self, data: bytes) -> None:
        """Add a piece."""
        self._pieces.append(data)
        self._size += len(data)
        self._came_bytes += len(data)
        if self._size > _HIGH_BYTES:
            self._connection.hold()
        self._news.set()

    def end(self) -> None:
        """Say that no more comes."""
        self.done = True
        self._news.set()

    def wake(self) -> None:
        """Have the reader look."""
        self._news.set()


class _Refused(Exception):
    """What comes is no request that we take. status: what the client is told."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, serve: Serve, all_of_them: set[Connection], connections_max: int) -> None:
        self._serve = serve
        self._all = all_of_them
        self._connections_max = connections_max
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast("asyncio.Transport", None)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self.task: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body: Body | None = None
        self._is_held = False
        self._clock = asyncio.get_running_loop().time
        self._has_eof = False
        self._is_deaf = False
        self.is_lost = False
        self.is_stopping = False
        self._reading_deadline_s = _NEVER
        self._writing_deadline_s = _NEVER

    @property
    def deadline_s(self) -> float:
        """When it is to be closed, since nothing comes or nothing is read."""
        return min(self._reading_deadline_s, self._writing_deadline_s)

    @property
    def is_closing(self) -> bool:
        """Whether it is as good as gone."""
        return self._transport.is_closing()

    # -- asyncio --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; where there are too many of us, one goes."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_WRITE_HIGH_BYTES, _WRITE_LOW_BYTES)
        self._all.add(self)
        self._reading_deadline_s = self._clock() + _IDLE_S
        if len(self._all) > self._connections_max:
            self._crowded_out().expire()

    def _crowded_out(self) -> Connection:
        """Return which of too many goes: that which has asked for nothing and has least time left.

        So whoever opens many and sends nothing, or the beginnings of heads, keeps nobody else out.
        """
        idle = (each for each in self._all if each.task is None and not each.is_closing)
        return min(idle, key=lambda each: each.deadline_s)  # this one is idle too

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End, and what is under way: an upload that did not come whole is none."""
        self._all.discard(self)
        self.is_lost = True
        self._may_write.set()
        if self._body is not None:
            self._body.wake()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._is_deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request is answered as if it had not asked
            self._is_deaf = True
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, _Refused):
                raise
            self._refuse(error.__context__.status)
        except httptools.HttpParserError:
            self._refuse(400)

    def eof_received(self) -> bool:
        """Close, when what was asked is answered."""
        self._has_eof = True
        if self._body is not None and not self._body.done:
            self.is_lost = True
            self._body.wake()
        return self.task is not None

    def pause_writing(self) -> None:
        """Let the answer wait: the client does not read."""
        self._may_write.clear()
        self._writing_deadline_s = self._clock() + _SEND_S

    def resume_writing(self) -> None:
        """Let it go on."""
        self._may_write.set()
        self._writing_deadline_s = _NEVER

    # -- httptools --

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._target, self._headers, self._head_bytes = b"", {}, 0
        if self.task is None:
            self._reading_deadline_s = self._clock() + _HEAD_S

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._headers.get(key)
        self._headers[key] = text if before is None else f"{before},{text}"
        if len(self._headers) > _HEADERS_MAX:
            raise _Refused(431)

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        headers, self._headers = self._headers, {}  # what is yet to come are trailers
        awaits = headers.get("expect", "").lower() == "100-continue"
        self._body = Body(self, awaits_continue=awaits)
        length = headers.get("content-length")
        size = None if "transfer-encoding" in headers else int(length) if length else 0
        peer: tuple[str, int] | None = self._transport.get_extra_info("peername")
        request = Request(
            self._parser.get_method().decode(), self._target, headers, self._body, size,
            peer[0] if peer else "",
        )  # fmt: skip
        keeps = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._waiting.append((request, keeps))
        if len(self._waiting) > _PIPELINED_MAX:
            raise _Refused(400)
        if self.task is None:
            self._reading_deadline_s = _NEVER
            self.task = asyncio.get_running_loop().create_task(self._answer_all())

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        assert self._body is not None, "a head was complete before"
        self._body.put(data)

    def on_message_complete(self) -> None:
        """End the body."""
        assert self._body is not None, "a head was complete before"
        self._body.end()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _HEAD_BYTES_MAX:
            raise _Refused(431)

    def _refuse(self, status: int) -> None:
        self._is_deaf = True
        if self.task is not None:  # what came whole before is answered
            self._has_eof = True
            if self._body is not None and not self._body.done:
                self._transport.close()
            return
        phrase = HTTPStatus(status).phrase
        self.send(
            f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        self._linger()

    def _linger(self) -> None:
        """Close when the client does: while it sends, closing would take our answer from it too."""
        if self._transport.is_closing() or self._has_eof:
            self._transport.close()
            return
        self._is_deaf = True
        self._reading_deadline_s = self._clock() + _LINGER_S
        self._transport.write_eof()
        self.read_on()

    # -- what a body does with it --

    def send(self, data: Buffer) -> None:
        """Send."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def hold(self) -> None:
        """Read no more for now."""
        if not self._is_held and not self._transport.is_closing():
            self._is_held = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if self._is_held and not self._transport.is_closing():
            self._is_held = False
            self._transport.resume_reading()

    # -- answers --

    def expire(self) -> None:
        """Close: nothing came, or nothing was read, for too long."""
        self._transport.abort()

    def stop(self) -> None:
        """Close, when what is under way is answered."""
        self.is_stopping = True
        if self.task is None:
            self._transport.close()

    async def _answer_all(self) -> None:
        try:
            while self._waiting and not self.is_lost:
                request, keeps = self._waiting.popleft()
                response = await self._serve(request)
                keeps = keeps and not self.is_stopping and await self._is_readable(request)
                keeps = keeps and (bool(self._waiting) or not self._has_eof)
                await self._send(request, response, keeps=keeps)
                if not keeps and not request.body.done:
                    self._linger()
                    return
                if not keeps:
                    self._transport.close()
                    return
        except SkerryError as error:  # in the middle of an answer, which breaks off
            print(f"skerry s3: {error.code}: {error.message}", file=sys.stderr, flush=True)  # noqa: T201
            self._transport.abort()
        except BaseException:
            self._transport.abort()
            raise
        finally:
            self.task = None
        self._reading_deadline_s = self._clock() + _IDLE_S
        if self.is_stopping or self._has_eof:
            self._transport.close()

    async def _is_readable(self, request: Request) -> bool:
        return request.body.done or await request.body.drained()

    async def _send(self, request: Request, response: Response, *, keeps: bool) -> None:
        body, size = response.body, response.size
        if size is None:
            size = len(body) if isinstance(body, bytes) else 0
        lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if response.status not in (204, 304):
            lines.append(f"Content-Length: {size}")
        if not keeps:
            lines.append("Connection: close")
        head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")
        await self._may_write.wait()
        if isinstance(body, bytes):
            self.send(head + body if body and request.method != "HEAD" else head)
            return
        self.send(head)
        sent = 0
        async with contextlib.aclosing(body):
            async for piece in body:
                await self._may_write.wait()
                if self.is_lost:
                    return
                self.send(piece)
                sent += len(piece)
        assert sent == size, "an answer is as long as it says"


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
