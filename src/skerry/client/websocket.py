"""One WebSocket as a client: whole messages in and out, nothing read that nobody asked for.

Knows wsproto and streams. What the messages mean is not its business.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import wsproto
from wsproto import events as ws
from wsproto.connection import ConnectionState
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from skerry.base import Failed, NotAvailable, SkerryError, TooLarge
from skerry.client.endpoint import Endpoint, open_streams
from skerry.client.errors import connection_lost, error_of, timed_out

_READ_BYTES = 256 * 1024
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
_REFUSAL_BYTES_MAX = 1024 * 1024
_HANDSHAKE_SECONDS_MAX = 60.0  # the server may start a cold box before it agrees
# A reader that hears nothing for this long asks whether the server is there, and gives up when it
# hears nothing for as long again. Who does not read asks nothing and never gives up: what it would
# hear could stand behind data that it does not take.
_SILENCE_SECONDS = 30.0
_CLOSE_SECONDS_MAX = 2.0


class WebSocket:
    """An open WebSocket. One task may read while others write."""

    def __init__(
        self,
        protocol: wsproto.WSConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        silence_seconds: float,
    ) -> None:
        self._protocol = protocol
        self._reader = reader
        self._writer = writer
        self._silence_seconds = silence_seconds
        self._events = protocol.events()
        self._parts: list[bytes | str] = []  # of one message, all alike
        self._parts_size = 0
        self._ended = False

    async def receive(self) -> bytes | str | None:
        """Return the next message, None when the server has closed. May be cancelled safely.

        Raises NotAvailable(connection_lost, timed_out), TooLarge(message_too_large).
        """
        while not self._ended:
            for event in self._events:
                if isinstance(event, ws.TextMessage | ws.BytesMessage):
                    message = self._joined(event)
                    if message is not None:
                        return message
                else:
                    self._answer(event)
            if not self._ended:
                await self._take_more()
        return None

    def _joined(self, event: ws.TextMessage | ws.BytesMessage) -> bytes | str | None:
        """Return the message that event completes; keep its part until then."""
        part = event.data if isinstance(event.data, str) else bytes(event.data)
        if event.message_finished and not self._parts:
            return part
        self._parts.append(part)
        self._parts_size += len(part)
        if self._parts_size > _MESSAGE_BYTES_MAX:
            raise TooLarge(
                "message_too_large", f"The server sent more than {_MESSAGE_BYTES_MAX >> 20} MiB."
            )
        if not event.message_finished:
            return None
        parts, self._parts, self._parts_size = self._parts, [], 0
        if isinstance(part, str):
            return "".join(each for each in parts if isinstance(each, str))
        return b"".join(each for each in parts if isinstance(each, bytes))

    def _answer(self, event: ws.Event) -> None:
        if isinstance(event, ws.Ping):
            self._send(event.response())
        elif isinstance(event, ws.CloseConnection):
            if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                self._send(event.response())
            self._ended = True

    async def _take_more(self) -> None:
        try:
            data = await self._heard()
        except NotAvailable:
            if not self._ended:
                raise
        else:
            if not self._ended:  # what comes after our own goodbye is nobody's business
                self._take(data)

    async def _heard(self) -> bytes:
        """Return the bytes that come next; ask whether the server lives when none do."""
        try:
            try:
                async with asyncio.timeout(self._silence_seconds):
                    return await self._reader.read(_READ_BYTES)
            except TimeoutError:
                self._send(ws.Ping())
                async with asyncio.timeout(self._silence_seconds):
                    return await self._reader.read(_READ_BYTES)
        except TimeoutError as error:
            raise timed_out("it should answer a ping", self._silence_seconds) from error
        except ConnectionError as error:
            raise connection_lost("waiting for the next message") from error

    def _take(self, data: bytes) -> None:
        if not data:
            raise connection_lost("waiting for the next message")
        try:
            self._protocol.receive_data(data)
        except (LocalProtocolError, RemoteProtocolError) as error:
            raise Failed(
                "bad_answer", f"The server broke the WebSocket protocol: {error}"
            ) from error
        self._events = self._protocol.events()

    def _send(self, event: ws.Event) -> None:
        self._writer.write(self._protocol.send(event))

    async def send(self, message: bytes | str) -> None:
        """Send one message; wait while the server does not read.

        Raises NotAvailable(connection_lost), also once the server has closed.
        """
        event = (
            ws.TextMessage(data=message)
            if isinstance(message, str)
            else ws.BytesMessage(data=message)
        )
        try:
            self._send(event)
            await self._writer.drain()
        except (LocalProtocolError, ConnectionError) as error:
            raise connection_lost("sending a message") from error

    async def close(self) -> None:
        """Say goodbye and close; what was sent before still goes out, if it does so soon."""
        with contextlib.suppress(LocalProtocolError, ConnectionError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                if not self._ended:
                    self._send(ws.CloseConnection(code=1000))
                    self._ended = True
                self._writer.close()
                await self._writer.wait_closed()
        self.abort()

    def abort(self) -> None:
        """Close at once, without a word."""
        self._ended = True
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def open_websocket(
    endpoint: Endpoint, target: str, *, silence_seconds: float = _SILENCE_SECONDS
) -> AsyncGenerator[WebSocket]:
    """Give the block a WebSocket at target (encoded); it is closed when the block ends.

    A block that ends by an error or a cancellation closes it without a word. Raises what the
    server answers instead of agreeing, NotAvailable(no_connection, connection_lost, timed_out).
    """
    reader, writer = await open_streams(endpoint)
    try:
        async with asyncio.timeout(_HANDSHAKE_SECONDS_MAX):
            protocol = await _shake_hands(endpoint, target, reader, writer)
    except TimeoutError as error:
        writer.transport.abort()
        raise timed_out("opening a WebSocket", _HANDSHAKE_SECONDS_MAX) from error
    except BaseException:
        writer.transport.abort()
        raise
    websocket = WebSocket(protocol, reader, writer, silence_seconds=silence_seconds)
    try:
        yield websocket
        await websocket.close()
    finally:
        websocket.abort()


async def _shake_hands(
    endpoint: Endpoint,
    target: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> wsproto.WSConnection:
    protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    headers: list[tuple[bytes, bytes]] = []
    if endpoint.token is not None:
        headers.append((b"authorization", f"Bearer {endpoint.token}".encode()))
    request = ws.Request(host=endpoint.authority, target=target, extra_headers=headers)
    refusal = _Refusal()
    try:
        writer.write(protocol.send(request))
        await writer.drain()
        while data := await reader.read(_READ_BYTES):
            protocol.receive_data(data)
            for event in protocol.events():
                if isinstance(event, ws.AcceptConnection):
                    return protocol
                refusal.add(event)
    except ConnectionError as error:
        raise connection_lost("opening a WebSocket") from error
    except RemoteProtocolError as error:
        raise Failed(
            "bad_answer", f"The server answered a WebSocket with something else: {error}"
        ) from error
    raise refusal.error() if refusal.status else connection_lost("opening a WebSocket")


class _Refusal:
    """What a server answers instead of agreeing to a WebSocket, as it comes in."""

    def __init__(self) -> None:
        self.status = 0
        self._body = b""

    def add(self, event: ws.Event) -> None:
        """Take one event in. Raises the server's error when it is whole."""
        ended = False
        if isinstance(event, ws.RejectConnection):
            self.status = event.status_code
            ended = not event.has_body
        elif isinstance(event, ws.RejectData):
            self._body += event.data
            ended = event.body_finished
        if ended or len(self._body) > _REFUSAL_BYTES_MAX:
            raise self.error()

    def error(self) -> SkerryError:
        """Return what it says."""
        return error_of(self.status, self._body)
