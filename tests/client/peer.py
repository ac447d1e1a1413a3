"""A server on a Unix socket that does as a test says: one script for each connection."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import h11
import wsproto
from wsproto import events as ws

from skerry.client.endpoint import Endpoint

JSON = (("content-type", "application/json"),)


@dataclass
class Asked:
    """One request as the server got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Line:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._ws = wsproto.WSConnection(wsproto.ConnectionType.SERVER)

    async def event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.reader.read(65536))
        return event  # type: ignore[return-value]

    async def asked(self) -> Asked:
        """Read one whole request."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        head = await self.event()
        assert isinstance(head, h11.Request), "the client closed instead of asking"
        body = b""
        while isinstance(event := await self.event(), h11.Data):
            body += event.data
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Asked(head.method.decode(), head.target.decode(), headers, body)

    async def answer(
        self, status: int = 200, body: bytes = b"", headers: tuple[tuple[str, str], ...] = JSON
    ) -> None:
        """Send a whole response."""
        head = h11.Response(
            status_code=status, headers=[*headers, ("content-length", str(len(body)))]
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.writer.write(self._http.send(event) or b"")
        await self.writer.drain()

    async def begin(self, status: int = 200) -> None:
        """Send the head of a chunked response; `piece` sends its body."""
        head = h11.Response(status_code=status, headers=[("transfer-encoding", "chunked")])
        self.writer.write(self._http.send(head) or b"")

    async def piece(self, data: bytes) -> None:
        self.writer.write(self._http.send(h11.Data(data=data)) or b"")
        await self.writer.drain()

    async def finish(self) -> None:
        self.writer.write(self._http.send(h11.EndOfMessage()) or b"")
        await self.writer.drain()

    # -- WebSocket --

    async def handshake(self) -> str:
        """Agree to a WebSocket; return its target."""
        while True:
            self._ws.receive_data(await self.reader.read(65536))
            for event in self._ws.events():
                assert isinstance(event, ws.Request)
                self.writer.write(self._ws.send(ws.AcceptConnection()))
                return event.target

    async def send(self, *messages: bytes | str, finished: bool = True) -> None:
        """Send messages; not finished: as a part of one."""
        for message in messages:
            event: ws.Event = (
                ws.TextMessage(data=message, message_finished=finished)
                if isinstance(message, str)
                else ws.BytesMessage(data=message, message_finished=finished)
            )
            self.writer.write(self._ws.send(event))
        await self.writer.drain()

    async def heard(self) -> ws.Event:
        """Return the next WebSocket event; a message is whole."""
        data = b""
        while True:
            for event in self._ws.events():
                if not isinstance(event, ws.BytesMessage):
                    return event
                data += event.data
                if event.message_finished:
                    return ws.BytesMessage(data=data)
            self._ws.receive_data(await self.reader.read(65536) or None)

    async def pong(self, ping: ws.Ping) -> None:
        self.writer.write(self._ws.send(ping.response()))
        await self.writer.drain()

    async def goodbye(self) -> None:
        self.writer.write(self._ws.send(ws.CloseConnection(code=1000)))
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the client has closed."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


async def stands_still(count: Callable[[], int]) -> None:
    """Return when count has grown and then does not for many turns of the loop, which runs both
    ends of the connection."""
    before, turns = 0, 0
    while turns < 100:
        await asyncio.sleep(0)
        turns = turns + 1 if count() == before and before else 0
        before = count()


Script = Callable[[Line], Awaitable[None]]


@dataclass
class Peer:
    """A running server and what it saw."""

    endpoint: Endpoint
    connections: int = 0
    failures: list[Exception] = field(default_factory=list[Exception])


@contextlib.asynccontextmanager
async def peer(folder: Path, *scripts: Script) -> AsyncGenerator[Peer]:
    """Serve: the nth connection runs the nth script. A script that fails fails the test."""
    path = str(folder / "admin.sock")
    served = Peer(Endpoint(socket_path=path))
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, served.connections = served.connections, served.connections + 1
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await scripts[number](Line(reader, writer))
        except Exception as error:  # noqa: BLE001 - raised again when the test is over
            served.failures.append(error)
        finally:
            writer.transport.abort()

    server = await asyncio.start_unix_server(connected, path)
    async with server:
        yield served
        async with asyncio.timeout(10):
            await asyncio.gather(*running)
    if served.failures:
        raise served.failures[0]
