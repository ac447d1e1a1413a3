"""Forwarded connections (`ssh -L`, `-D`): to the box's own ports, and from the box to elsewhere.

Elsewhere is reached by a small program in the box, so by its network and under its policy.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

import asyncssh
from asyncssh.constants import OPEN_CONNECT_FAILED

from skerry import client
from skerry.base import Failed, NotAvailable, SkerryError
from skerry.ssh.pipe import Eof, Lost, Pipe, Room
from skerry.ssh.rights import Keys

_OWN = ("localhost", "localhost.localdomain", "127.0.0.1", "::1", "0.0.0.0", "::", "")  # noqa: S104 - names, not to bind to
_ALONE_S_MAX = 10.0
# Says "+" once it is connected, else why not. What it is sent, it sends on; the end of that too.
_RELAY = """
import os, socket, sys, threading
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
except OSError as e:
    sys.exit(e.strerror or str(e))
s.settimeout(None)
os.write(1, b"+")
def send():
    try:
        while d := os.read(0, 65536):
            s.sendall(d)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
threading.Thread(target=send, daemon=True).start()
try:
    while d := s.recv(65536):
        while d:
            d = d[os.write(1, d):]
except OSError:
    pass
os._exit(0)
"""


class Tunnel(Pipe, asyncssh.SSHTCPSession[bytes]):
    """The channel of one forwarded connection."""

    def session_started(self) -> None:
        """Begin."""


class _Far(Protocol):
    """The other end: of the API's proxy, or of the program in the box."""

    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def write_eof(self) -> None: ...


async def carry(
    keys: Keys,
    public_key: str,
    box: str,
    target: tuple[str, int],
    room: Room,
    opened: "asyncio.Future[Tunnel]",
) -> None:
    """Connect to host and port as seen from box, say so to opened, and pass bytes to the end.

    opened is given asyncssh.ChannelOpenError where it cannot be done.
    """
    try:
        async with contextlib.AsyncExitStack() as stack:
            far = await keys.attempt(
                public_key,
                lambda cloud: stack.enter_async_context(
                    _reach(cloud.box(box), *target, functools.partial(keys.end, public_key, box))
                ),
            )
            if opened.done():  # nobody waits any more
                return
            tunnel = Tunnel(room)
            opened.set_result(tunnel)
            await tunnel.made.wait()
            await _relay(tunnel, far)
        await tunnel.lost.wait()  # until then it has a place among the connection's channels
    except SkerryError as error:
        if not opened.done():
            text = error.message
            opened.set_exception(asyncssh.ChannelOpenError(OPEN_CONNECT_FAILED, text))


@contextlib.asynccontextmanager
async def _reach(
    box: client.Box, host: str, port: int, end: Callable[[client.Session], Awaitable[None]]
) -> AsyncGenerator[_Far]:
    if not 1 <= port <= 65_535:
        raise Failed("bad_port", f"There is no port {port}.")
    if host.lower() in (*_OWN, box.name):
        async with box.forward(port) as forward:
            yield forward
        return
    if host.startswith("-") or not host.isprintable() or len(host) > 253:
        raise Failed("bad_host", "That is no host name.")
    argv = ("python3", "-c", _RELAY, host, str(port))
    try:
        async with box.open(*argv, max_run_after_disconnect=_ALONE_S_MAX) as session:
            try:
                yield await _connected(session, host, port)
            finally:
                if session.exit_code is None:
                    await end(session)
    except NotAvailable as error:
        if error.code != "connection_lost":
            raise
    except SkerryError as error:
        if error.code != "command_not_found":
            raise
        raise Failed(
            "no_relay", f"Reaching {host} from the box needs python3 in it. Install python3 there."
        ) from None


async def _connected(session: client.Session, host: str, port: int) -> _Far:
    said = b""
    async for stream, data in session:
        if stream == "stdout":
            return _Relayed(session, data[1:])
        said += data
    reason = said.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
    raise Failed("not_connected", f"{host} port {port}: {reason or 'no connection'}.")


class _Relayed:
    def __init__(self, session: client.Session, first: bytes) -> None:
        self._session = session
        self._first = first

    async def read(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        async for stream, data in self._session:
            if stream == "stdout":
                return data
        return b""

    async def write(self, data: bytes) -> None:
        await self._session.write(data)

    async def write_eof(self) -> None:
        await self._session.write_eof()


async def _relay(tunnel: Tunnel, far: _Far) -> None:
    """Pass bytes both ways until one side is through."""
    output = asyncio.create_task(_output(tunnel, far))
    sending = asyncio.create_task(_input(tunnel, far))
    tasks = (output, sending, asyncio.create_task(tunnel.lost.wait()))
    try:
        await asyncio.wait({output, tasks[2]}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not tunnel.lost.is_set():
            tunnel.channel.close()


async def _output(tunnel: Tunnel, far: _Far) -> None:
    with contextlib.suppress(Lost, SkerryError):  # the end of a connection, however it came
        while data := await far.read():
            await tunnel.write(data)


async def _input(tunnel: Tunnel, far: _Far) -> None:
    with contextlib.suppress(SkerryError):  # as above
        while (event := await tunnel.next_event()) is not None:
            match event:
                case bytes():
                    await far.write(event)
                case Eof():
                    await far.write_eof()
                case _:
                    pass
