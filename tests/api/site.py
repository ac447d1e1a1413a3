"""A served API whose sessions follow a script, in the event loop of the test."""

import asyncio
import contextlib
import dataclasses
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from skerry import accounts, api, boxes, metering
from skerry import services as services_domain
from skerry.accounts import Accounts
from skerry.base import NotFound
from skerry.host.database import Database
from skerry.host.seam import ExecSpec, Exit, Output, SessionState
from skerry.testing import House, SimulatedMachine, World

LIMITS = api.Limits(
    json_bytes_max=1 << 20,
    file_bytes_max=4 << 20,
    output_bytes_max=64 << 10,
    header_bytes_max=1 << 20,
    header_wait_ns=20 * 10**9,
    idle_wait_ns=20 * 10**9,
    connections_max=50,
    failed_logins_per_minute=5,
)


class ScriptedLink:
    """Implements host.seam.SessionLink: says what the script says, and notes what it is told."""

    def __init__(self, state: SessionState, script: "Script") -> None:
        self.state = state
        self._script = script
        self.stdin = b""
        self.stdin_ended = asyncio.Event()
        self.reads = asyncio.Event()  # whether the command takes what it is written
        self.reads.set()
        self.told: list[tuple[Any, ...]] = []
        self.heard = asyncio.Event()
        self.closed = asyncio.Event()

    def events(self) -> AsyncIterator[Output | Exit]:
        """Follow the script."""
        return self._script(self)

    async def write(self, data: bytes) -> None:
        """Note it, and wait while the command does not read."""
        self.stdin += data
        self.heard.set()
        await self.reads.wait()

    async def write_eof(self) -> None:
        """Note it."""
        self.stdin_ended.set()

    async def resize(self, rows: int, cols: int) -> None:
        """Note it."""
        self.told.append(("resize", rows, cols))
        self.heard.set()

    async def signal(self, number: int) -> None:
        """Note it."""
        self.told.append(("signal", number))
        self.heard.set()

    async def close(self) -> None:
        """Note it."""
        self.closed.set()


Script: TypeAlias = Callable[[ScriptedLink], AsyncIterator[Output | Exit]]


async def silent(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    """Say nothing until the link is let go of."""
    await link.closed.wait()
    yield Exit(0)


class ScriptedMachine(SimulatedMachine):
    """A machine whose sessions follow script, and whose one disk is the directory disk."""

    def __init__(self, world: World, disk: Path) -> None:
        super().__init__(world)
        self.script: Script = silent
        self.disk = disk
        self.specs: list[ExecSpec] = []
        self.links: list[ScriptedLink] = []
        self.ended: list[str] = []

    async def open_session(self, box_id: str, session_id: str, spec: ExecSpec) -> ScriptedLink:  # type: ignore[override]
        """Begin the script."""
        self.specs.append(spec)
        state = SessionState(
            session_id=session_id, box_id=box_id, argv=tuple(spec.argv), directory=b"/",
            tty=spec.tty, created_at_ns=0, last_output_at_ns=0, attached=1, exit_code=None, pid=1,
        )  # fmt: skip
        self.links.append(ScriptedLink(state, self.script))
        return self.links[-1]

    async def attach_session(self, box_id: str, session_id: str) -> ScriptedLink:  # type: ignore[override]
        """Begin the script anew."""
        for link in self.links:
            if (link.state.box_id, link.state.session_id) == (box_id, session_id):
                self.links.append(ScriptedLink(link.state, self.script))
                return self.links[-1]
        raise NotFound("session_not_found", f"There is no session {session_id}.")

    async def sessions(self, box_id: str) -> list[SessionState]:
        """Tell them."""
        return [link.state for link in self.links if link.state.box_id == box_id]

    async def end_session(
        self,
        box_id: str,
        session_id: str,
        signal: int,
        grace_ns: int,
    ) -> int | None:
        """Note it."""
        self.ended.append(f"{session_id} {signal} {grace_ns}")
        for link in self.links:
            if link.state.session_id == session_id:
                link.state = dataclasses.replace(link.state, exit_code=128 + signal)
        return 128 + signal

    async def open_disk(self, box_id: str, checkpoint: str | None) -> int:
        """Open the one disk."""
        return os.open(self.disk, os.O_PATH | os.O_DIRECTORY)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)


@dataclass
class Site:
    """A served API with a box called `dev`."""

    url: str
    machine: ScriptedMachine
    context: boxes.Boxes
    tokens: dict[str, str]
    stop: asyncio.Event
    socket_path: Path
    meter: metering.Meter
    services: api.Services
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def last(self) -> ScriptedLink:
        """The last session that was opened or joined."""
        return self.machine.links[-1]

    def websocket_url(self, path: str) -> str:
        """Return the URL of a WebSocket."""
        return self.url.replace("http", "ws", 1) + path

    async def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        scope: str | None = "admin",
    ) -> Answer:
        """Make one call on a connection of its own."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        if scope is not None:
            lines.append(f"Authorization: Bearer {self.tokens[scope]}")
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        if body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        return parsed(await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode() + body))

    async def raw(self, data: bytes) -> bytes:
        """Send data; return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address, limit=1 << 24)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()


def parsed(data: bytes) -> Answer:
    """Return the one HTTP answer that data holds."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(chunks(body))
    return Answer(int(first.split()[1]), headers, body)


def chunks(body: bytes) -> list[bytes]:
    """Return the chunks of a chunked body."""
    found: list[bytes] = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        found.append(body[:length])
        body = body[length + 2 :]
    return found


@contextlib.asynccontextmanager
async def serving(folder: Path, limits: api.Limits) -> AsyncGenerator[Site]:
    """Serve; leaving stops it."""
    house = House(folder)
    disk = folder / "disk"
    disk.mkdir()
    async with house.open() as context:
        machine = ScriptedMachine(house.world, disk)
        context.machine = machine
        await boxes.build_image(context, "base", "base", lambda _: None)
        await boxes.create(context, boxes.CreateSpec(name="dev"))
        database = Database.open(
            folder / "accounts.db",
            {"accounts": accounts.MIGRATIONS, "metering": metering.MIGRATIONS},
        )
        known = Accounts(database=database, clock=house.clock, entropy=house.entropy)
        tokens = {
            scope: (await accounts.create(known, scope, (scope,)))[1]
            for scope in ("read", "write", "admin")
        }
        meter = metering.Meter(
            database=database, clock=house.clock,
            books=metering.price_books(metering.OwnMachine()),
            interval_ns=30 * 10**9, keep_ns=90 * 24 * metering.HOUR_NS,
        )  # fmt: skip
        services = api.Services(
            boxes=context,
            accounts=known,
            meter=meter,
            services=services_domain.Services(
                boxes=context, log_bytes_max=1 << 20, log_files_max=3
            ),
            limits=limits,
            instance="test",
            doctor=list,
        )
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        path = folder / "admin.sock"
        server = asyncio.create_task(
            api.serve(
                *api.build(services), listen="127.0.0.1:0", socket_path=path, limits=limits,
                ready=ready.set_result, stop=stop,
            )
        )  # fmt: skip
        await asyncio.wait([server, ready], return_when=asyncio.FIRST_COMPLETED)
        site = Site(ready.result(), machine, context, tokens, stop, path, meter, services)
        site.headers = {"Authorization": f"Bearer {tokens['write']}"}
        try:
            yield site
        finally:
            stop.set()
            await server
            await services_domain.close(services.services)
            database.close()


def tell(
    folder: Path, story: Callable[[Site], Awaitable[None]], limits: api.Limits = LIMITS
) -> None:
    """Run story against a served API."""

    async def whole() -> None:
        async with asyncio.timeout(60), serving(folder, limits) as site:
            await story(site)

    asyncio.run(whole())
