"""A gateway to test, with a daemon and programs in boxes that the test plays itself.

All are real sockets on loopback and one event loop, the gateway's own. Ports of boxes are ports of
this machine, found by `Place.programs`, so that no namespace is needed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import h11
import msgspec
import uvloop

from skerry.accounts.model import hash_secret, token_text
from skerry.base import Conflict, new_id
from skerry.gateway.access_log import AccessLog
from skerry.gateway.control import (
    Box,
    FromDaemon,
    FromGateway,
    Hello,
    Limits,
    MaySleep,
    SleepAnswer,
    Table,
    Token,
    Wake,
    Woken,
    from_gateway,
    line_of,
)
from skerry.gateway.downstream import Downstream
from skerry.gateway.gateway import Gateway, Start
from skerry.host.clock import SystemClock
from skerry.host.seam import Running

_T = TypeVar("_T")
KEY = b"k" * 32
BOX_ID = new_id("box", b"b" * 10)
OTHER_ID = new_id("box", b"o" * 10)
HOST = b"amber.localhost"
SECRET = b"s" * 32
TOKEN_ID = new_id("tok", b"t" * 10)
TOKEN_TEXT = token_text(TOKEN_ID, SECRET)
TOKEN = Token(token_id=TOKEN_ID, secret_hash=hash_secret(SECRET), scopes=("write",))
AWAKE = Box(box_id=BOX_ID, name="amber", awake=True, pid=1, started_ticks=1, access="public")
ASLEEP = msgspec.structs.replace(AWAKE, awake=False, pid=0, started_ticks=0)
SECOND_NS = 10**9
MILLISECOND_NS = 10**6

# A limit for what must come at once: nothing is measured by it.
_PATIENCE_S = 20


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a test on the event loop that the gateway has in earnest."""

    unhandled: list[str] = []

    async def with_limit() -> _T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unhandled.append(repr(context)))
        async with asyncio.timeout(_PATIENCE_S):
            return await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(with_limit())
    # A callback that raises ends a connection and nothing else, so nobody would notice.
    assert unhandled == []
    return result


class Peer:
    """One end of a connection, read and written by the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """Return the bytes up to the empty line, which is included."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def exactly(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def until(self, end: bytes) -> bytes:
        return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        """Return all that comes until the other side closes."""
        return await self.reader.read()

    async def closed(self) -> bool:
        """Return once the other side has closed: whether it did so by a reset."""
        try:
            assert await self.reader.read() == b""
        except ConnectionResetError:
            return True
        return False

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Be gone, and have the kernel say so."""
        made = self.writer.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Seen:
    """A request as h11 understands it."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    is_complete: bool = True

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"several {name!r}"
        return values[0] if values else None


class Program(Peer):
    """One connection that a program in a box has accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.parser = h11.Connection(h11.SERVER)

    async def request(self) -> Seen:
        """Read one request, whole, by h11."""
        if self.parser.our_state is not h11.IDLE:
            self.parser = h11.Connection(h11.SERVER)
        head = await self._event()
        assert isinstance(head, h11.Request), head
        body = b""
        while True:
            event = await self._event()
            if isinstance(event, h11.EndOfMessage):
                break
            assert isinstance(event, h11.Data), event
            body += event.data
        assert self.parser.trailing_data == (b"", False), "one request, and nothing behind it"
        seen = Seen(head.method, head.target, list(head.headers), body, list(event.headers))
        self.parser = h11.Connection(h11.SERVER)
        return seen

    def answer(self, body: bytes = b"hello, world\n", status: bytes = b"200 OK") -> None:
        self.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    async def _event(self) -> Any:
        while (event := self.parser.next_event()) is h11.NEED_DATA:
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.parser.receive_data(data)
        return event


@dataclass
class Place:
    """A gateway, its clients, its daemon and its boxes."""

    gateway: Gateway
    port: int
    programs: dict[int, int]
    control: asyncio.Queue[Peer]
    stop: asyncio.Event
    resources: AsyncExitStack
    table: Table
    knocks: list[int] = field(default_factory=list[int])
    daemon: Peer | None = None
    is_box_gone: bool = False

    async def client(self) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.resources.callback(writer.close)
        return Peer(reader, writer)

    async def connection(self) -> Downstream:
        """Return the gateway's end of the one connection that there is."""
        while not self.gateway.site.clients:
            await asyncio.sleep(0)
        (made,) = self.gateway.site.clients
        assert isinstance(made, Downstream)
        return made

    async def ask(self, request: bytes) -> Peer:
        """Send a request on a new connection. `HOST` stands for the box's Host line."""
        client = await self.client()
        client.send(request.replace(b"HOST\r\n", b"Host: %b\r\n" % HOST))
        return client

    async def program(self, port: int = 8080) -> asyncio.Queue[Program]:
        """Listen at a port of the boxes; return where its connections come."""
        accepted: asyncio.Queue[Program] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.resources.callback(writer.close)
            accepted.put_nowait(Program(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.resources.callback(server.close)
        self.programs[port] = server.sockets[0].getsockname()[1]
        return accepted

    async def answering(
        self, handler: Callable[[Program], Awaitable[None]], port: int = 8080
    ) -> None:
        """Have each connection to a port of the boxes handled."""

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(EOFError, ConnectionError, asyncio.CancelledError):
                await handler(Program(reader, writer))
            writer.close()

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.resources.callback(server.close)
        self.programs[port] = server.sockets[0].getsockname()[1]

    def tell_table(self) -> None:
        self.tell(self.table)

    def tell(self, message: FromDaemon) -> None:
        assert self.daemon is not None
        self.daemon.send(line_of(message))

    async def told(self, kind: type[_T]) -> _T:
        """Return the next message of a kind; others are passed over."""
        assert self.daemon is not None
        while True:
            message: FromGateway = from_gateway(await self.daemon.until(b"\n"))
            if isinstance(message, kind):
                return message

    async def wake(self, *, was_started: bool = True) -> Wake:
        """Be asked for a wake, and answer it."""
        message = await self.told(Wake)
        self.tell(
            Woken(
                id=message.id, box_id=message.box_id, pid=2, started_ticks=2, was_started=was_started
            )
        )  # fmt: skip
        return message

    async def connect_daemon(self) -> Hello:
        """Take the gateway's next connection to the daemon."""
        self.daemon = await self.control.get()
        return await self.told(Hello)

    async def settled(self) -> None:
        """Return once the gateway has taken all that the daemon told it."""
        self.tell(MaySleep(0, "box_0000000000000000"))
        await self.told(SleepAnswer)


@asynccontextmanager
async def gateway(
    *boxes: Box,
    limits: Limits | None = None,
    tokens: tuple[Token, ...] = (TOKEN,),
    trusted_proxies: tuple[str, ...] = (),
    login_url: str = "",
    log: AccessLog | None = None,
    has_table: bool = True,
) -> AsyncGenerator[Place]:
    """Give a gateway that knows the boxes, `AWAKE` alone if none are given."""
    async with AsyncExitStack() as resources:
        directory = resources.enter_context(tempfile.TemporaryDirectory())
        control: asyncio.Queue[Peer] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            resources.callback(writer.close)
            control.put_nowait(Peer(reader, writer))

        path = f"{directory}/gateway.sock"
        server = await asyncio.start_unix_server(accept, path)
        resources.callback(server.close)
        listener = socket.create_server(("127.0.0.1", 0))
        resources.callback(listener.close)
        listener.settimeout(0)
        programs: dict[int, int] = {}
        knocks: list[int] = []
        place: Place | None = None

        async def connect(first: Running, port: int) -> socket.socket:
            knocks.append(port)
            assert place is not None
            if place.is_box_gone:
                raise Conflict("box_not_running", "It is gone.")
            if port not in programs:
                raise ConnectionRefusedError
            made = socket.socket()
            made.settimeout(0)
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", programs[port]))
            return made

        made = Gateway(
            listener=listener,
            start=Start(path, "localhost"),
            clock=SystemClock(),
            connector=connect,
            log=log,
            tick_ns=5 * MILLISECOND_NS,
        )
        stop = asyncio.Event()
        table = Table(
            boxes=boxes or (AWAKE,),
            tokens=tokens,
            cookie_key=KEY,
            trusted_proxies=trusted_proxies,
            login_url=login_url,
            limits=limits or Limits(),
        )
        place = Place(
            made, listener.getsockname()[1], programs, control, stop, resources, table, knocks
        )
        running = asyncio.create_task(made.run(stop))
        try:
            await place.connect_daemon()
            if has_table:
                place.tell_table()
                await place.settled()
            yield place
        finally:
            for client in list(made.site.clients):
                client.abort()
            stop.set()
            await running
