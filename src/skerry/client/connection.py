"""One HTTP/1.1 connection: a request with its body, the head of the response, its body.

Knows h11 and streams. Does not know about pools, JSON, or what a request means.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeAlias

import h11

from skerry.base import TooLarge
from skerry.client.errors import connection_lost, timed_out

Body: TypeAlias = bytes | AsyncIterable[bytes]
"""A request's body; an iterable is sent piece by piece, read no further ahead than one piece."""

_READ_BYTES = 256 * 1024
_HEAD_BYTES_MAX = 64 * 1024
# Up to this much is written in one go with the head. More is sent while already listening, since
# a server may refuse a big body before it has read it.
_AT_ONCE_BYTES_MAX = 64 * 1024
_ANSWER_BYTES_MAX = 256 * 1024 * 1024  # of an answer that is kept in memory whole


class Lost(Exception):
    """The connection ended before the head of a response came. Never leaves this package."""


class Connection:
    """A connection that carries one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
        self.idle_since_seconds = 0.0  # on the event loop's clock

    async def ask(
        self, request: h11.Request, body: Body, limit_seconds: float | None
    ) -> "Response":
        """Send request and body, return when the head of the response is there.

        limit_seconds: the longest that the server may take no byte, or send none. Raises Lost,
        NotAvailable(timed_out).
        """
        doing = f"sending {request.method.decode()}"
        try:
            self._put(request)
            if isinstance(body, bytes) and len(body) <= _AT_ONCE_BYTES_MAX:
                self._put(h11.Data(data=body) if body else None, h11.EndOfMessage())
                head = await self._head(limit_seconds)
            else:
                head = await self._send_and_listen(body, limit_seconds)
        except TimeoutError as error:
            raise timed_out(doing, limit_seconds or 0) from error
        except (h11.RemoteProtocolError, ConnectionError) as error:
            raise Lost(str(error)) from error
        return Response(self, head, limit_seconds)

    async def _send_and_listen(self, body: Body, limit_seconds: float | None) -> h11.Response:
        """Send body; an answer that comes before its end also ends the sending."""
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._head(None))
                sending = group.create_task(self._send(body, limit_seconds))
                await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
                if not listening.done():
                    async with asyncio.timeout(limit_seconds):
                        return await listening
                sending.cancel()
                return await listening
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _send(self, body: Body, limit_seconds: float | None) -> None:
        async for piece in _pieces(body):
            self._put(h11.Data(data=piece))
            try:
                async with asyncio.timeout(limit_seconds):
                    await self._writer.drain()
            except ConnectionError:
                # The server takes no more; why, its answer tells, if there is one. If there is
                # none, the reading finds the connection lost.
                return
        self._put(h11.EndOfMessage())

    def _put(self, *events: h11.Event | None) -> None:
        data = b"".join(self._protocol.send(event) or b"" for event in events if event is not None)
        self._writer.write(data)

    async def _head(self, limit_seconds: float | None) -> h11.Response:
        while True:
            event = await self.next_event(limit_seconds)
            if isinstance(event, h11.Response):
                return event
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("closed before an answer")

    async def next_event(self, limit_seconds: float | None) -> h11.Event:
        """Return what the server says next.

        Raises TimeoutError, ConnectionError, h11.RemoteProtocolError.
        """
        while (event := self._protocol.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(limit_seconds):
                data = await self._reader.read(_READ_BYTES)
            self._protocol.receive_data(data)
        assert not isinstance(event, type), "one request is asked and read to its end at a time"
        return event

    def make_ready(self) -> bool:
        """Return whether another request may be sent now, after which the connection is new."""
        ours, theirs = self._protocol.our_state, self._protocol.their_state
        if ours is not h11.DONE or theirs is not h11.DONE or self._reader.at_eof():
            return False
        self._protocol.start_next_cycle()
        self.idle_since_seconds = asyncio.get_running_loop().time()
        return True

    @property
    def is_open(self) -> bool:
        """Whether the server has not closed it, as far as is known."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def abort(self) -> None:
        """Close at once, dropping what is unsent. The server sees the connection end."""
        self._writer.transport.abort()


class Response:
    """The head of a response, and its body as it comes in."""

    def __init__(
        self, connection: Connection, head: h11.Response, limit_seconds: float | None
    ) -> None:
        self.status = head.status_code
        self._headers = {name.decode("latin-1"): value for name, value in head.headers}
        self._connection = connection
        self._limit_seconds = limit_seconds

    def header(self, name: str) -> str | None:
        """Return a header by its name in lower case, None if there is none."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Not reading on holds the server back.

        Raises NotAvailable(connection_lost, timed_out).
        """
        try:
            while True:
                event = await self._connection.next_event(self._limit_seconds)
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return
                else:
                    raise connection_lost("reading the answer")
        except TimeoutError as error:
            raise timed_out("reading the answer", self._limit_seconds or 0) from error
        except (h11.RemoteProtocolError, ConnectionError) as error:
            raise connection_lost("reading the answer") from error

    async def read(self) -> bytes:
        """Return the whole body. Raises NotAvailable, TooLarge(answer_too_large)."""
        pieces: list[bytes] = []
        size_bytes = 0
        async for piece in self.pieces():
            size_bytes += len(piece)
            if size_bytes > _ANSWER_BYTES_MAX:
                raise TooLarge(
                    "answer_too_large",
                    f"The answer is larger than {_ANSWER_BYTES_MAX >> 20} MiB. Read it as a stream.",
                )
            pieces.append(piece)
        return b"".join(pieces)


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        for start in range(0, len(body), _AT_ONCE_BYTES_MAX):
            yield body[start : start + _AT_ONCE_BYTES_MAX]
        return
    async for piece in body:
        if piece:  # an empty one would end a chunked body
            yield piece
