"""Sessions: a command in a box that is read, written to, left and joined over a WebSocket.

Knows the messages of an exec. How a WebSocket works is not its business.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from skerry import wire
from skerry.base import Failed, NotAvailable, NotFound, SkerryError
from skerry.client.calls import Calls, path_of, target_of
from skerry.client.command import Argument, Command, Stream, duration_text
from skerry.client.errors import connection_lost

if TYPE_CHECKING:
    from skerry.client.websocket import WebSocket

_MESSAGE_BYTES_MAX = 256 * 1024  # of one message of input: servers refuse very large ones
_SESSION_INFO_SECONDS_MAX = 60.0
_GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL for what a block leaves running
_END_SECONDS_MAX = 10.0  # beyond the grace
_BEGIN_SECONDS_MAX = 3.0  # that a cancelled beginning is waited for; then the server's rules end it


class OnPort(Protocol):
    """What a caller wants done when a port opens or closes."""

    def __call__(self, port: int, *, is_open: bool) -> None:
        """Do it."""
        ...


class Session:
    """One command that runs in a box, and this client's hold on it.

    `async for stream, data in session` gives what it writes until it ends; not reading on holds
    the command back. One task may read while others write. exit_code is None until its end has
    been read. on_port: called, while output is read, when a TCP port of the box begins to listen
    (is_open) or ends.
    """

    def __init__(self, websocket: "WebSocket", info: wire.SessionInfo) -> None:
        self.id = info.session_id
        self.tty = info.tty
        self.command = info.command
        self.exit_code: int | None = None
        self.notice = ""
        self.on_port: OnPort | None = None
        self._websocket = websocket
        self._detached = False

    @property
    def detached(self) -> bool:
        """Whether `detach` was called."""
        return self._detached

    def __aiter__(self) -> AsyncIterator[tuple[Stream, bytes]]:
        return self

    async def __anext__(self) -> tuple[Stream, bytes]:
        """Return the next output. Raises NotAvailable(connection_lost, timed_out)."""
        while not self._detached:
            message = await self._websocket.receive()
            if message is None:
                break
            output = self._told(message) if isinstance(message, str) else self._read(message)
            if output is not None:
                return output
        if self.exit_code is None and not self._detached:
            raise connection_lost(f"session {self.id} ran", "It may run on: attach to it to see.")
        raise StopAsyncIteration

    def _read(self, message: bytes) -> tuple[Stream, bytes] | None:
        if self.tty:
            return ("stdout", message) if message else None
        stream, data = message[0] if message else None, message[1:]
        if stream == wire.EXIT:
            self.exit_code = data[0] if data else 0
        elif stream in (wire.STDOUT, wire.STDERR) and data:
            return ("stdout" if stream == wire.STDOUT else "stderr"), data
        return None

    def _told(self, message: str) -> None:
        """Take in a message about the session; kinds that are not known say nothing."""
        try:
            told = msgspec.json.decode(message, type=_Told)
        except msgspec.DecodeError as error:
            raise Failed("bad_answer", f"A message about a session is no JSON: {error}") from error
        if told.type == "exit":
            self.exit_code = told.exit_code
            self.notice = told.notice
        elif told.type in ("port_opened", "port_closed") and self.on_port is not None:
            self.on_port(told.port, is_open=told.type == "port_opened")
        elif told.type == "error":
            raise Failed(told.error or "session_failed", told.message or "The session failed.")

    async def write(self, data: bytes) -> None:
        """Send data to its stdin; wait while the command does not read.

        Raises NotAvailable(connection_lost), also when the command has ended.
        """
        prefix = b"" if self.tty else bytes([wire.STDIN])
        for start in range(0, len(data), _MESSAGE_BYTES_MAX):
            await self._websocket.send(prefix + data[start : start + _MESSAGE_BYTES_MAX])

    async def write_eof(self) -> None:
        """Close its stdin; with a terminal, type the end of transmission (Ctrl+D)."""
        await self._websocket.send(b"\x04" if self.tty else bytes([wire.STDIN_EOF]))

    async def resize(self, rows: int, cols: int) -> None:
        """Give its terminal a new size."""
        await self._tell(wire.Resize(rows=rows, cols=cols))

    async def signal(self, name: str) -> None:
        """Send a signal, such as `INT` or `SIGTERM`, to its process group."""
        await self._tell(wire.Signal(signal=name))

    async def _tell(self, message: msgspec.Struct) -> None:
        await self._websocket.send(msgspec.json.encode(message).decode())

    async def wait(self) -> int:
        """Return the exit code when it has ended; what it writes until then is dropped.

        Raises NotAvailable(connection_lost, timed_out).
        """
        async for _ in self:
            pass
        assert self.exit_code is not None, "who detached a session does not wait for it"
        return self.exit_code

    async def detach(self) -> None:
        """Let go of it. It runs on, for as long as max_run_after_disconnect says."""
        self._detached = True
        await self._websocket.close()


class _Told(msgspec.Struct):
    """The fields that text messages of a session may have."""

    type: str = ""
    exit_code: int = 0
    notice: str = ""
    error: str = ""
    message: str = ""
    port: int = 0


@contextlib.asynccontextmanager
async def open_session(calls: Calls, box: str, command: Command) -> AsyncGenerator[Session]:
    """Start command; give the block its session.

    A block that ends before the command, and did not detach, ends the command and all that it
    started. Raises NotFound(box_not_found, command_not_found) and what else a box answers to an
    exec, NotAvailable(no_connection, connection_lost, timed_out).
    """
    async with contextlib.AsyncExitStack() as stack:
        session = await _begun(stack, calls, box, command)
        try:
            yield session
        finally:
            if session.exit_code is None and not session.detached:
                await _end(calls, box, session.id)


async def _begun(
    stack: contextlib.AsyncExitStack, calls: Calls, box: str, command: Command
) -> Session:
    """Return the session of a command that was begun; being cancelled ends it all the same."""
    path = path_of("boxes", box, "exec")
    joining = _joined(calls, path, command.query())
    beginning = asyncio.create_task(stack.enter_async_context(joining))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        # It may run there already, and nobody else would know of it.
        with contextlib.suppress(SkerryError, TimeoutError):
            async with asyncio.timeout(_BEGIN_SECONDS_MAX):
                await _end(calls, box, (await beginning).id)
        raise


@contextlib.asynccontextmanager
async def attach_session(calls: Calls, box: str, session_id: str) -> AsyncGenerator[Session]:
    """Join a session; give the block its recent output, then what comes. Leaving leaves it be.

    Raises NotFound(box_not_found, session_not_found), NotAvailable.
    """
    async with _joined(calls, path_of("boxes", box, "exec", session_id), ()) as session:
        yield session


@contextlib.asynccontextmanager
async def _joined(
    calls: Calls, path: str, query: Sequence[tuple[str, Argument]]
) -> AsyncGenerator[Session]:
    from skerry.client.websocket import open_websocket  # noqa: PLC0415 - wsproto is slow to import

    target = target_of(calls.endpoint, path, query)
    async with open_websocket(calls.endpoint, target) as websocket:
        try:
            async with asyncio.timeout(_SESSION_INFO_SECONDS_MAX):
                message = await websocket.receive()
        except TimeoutError as error:
            raise connection_lost("opening a session") from error
        if not isinstance(message, str):
            raise connection_lost("opening a session")
        try:
            info = msgspec.json.decode(message, type=wire.SessionInfo)
        except msgspec.DecodeError as error:
            raise Failed("bad_answer", f"A session began with something else: {error}") from error
        yield Session(websocket, info)


async def _end(calls: Calls, box: str, session_id: str) -> None:
    """End a session that nobody wants any more; gone already is fine."""
    try:
        await kill(calls, box, session_id, "TERM", _GRACE_SECONDS)
    except NotFound:
        return
    except NotAvailable as error:
        # A server that is down cannot be told. What holds the session counts the time since
        # nobody is connected, and what ended this block says more than this would.
        if error.code != "no_connection":
            raise


async def kill(
    calls: Calls, box: str, session_id: str, signal: str, grace_seconds: float
) -> int | None:
    """Send signal to a session, after grace_seconds SIGKILL to all that it started.

    Returns its exit code, None if it is not known. Raises NotFound(session_gone).
    """
    query = [("signal", signal), ("timeout", duration_text(grace_seconds))]
    path = path_of("boxes", box, "exec", session_id, "kill")
    code: int | None = None
    limit_seconds = grace_seconds + _END_SECONDS_MAX
    async for event in calls.lines(
        wire.KillEvent, "POST", path, query=query, limit_seconds=limit_seconds
    ):
        if event.type == "error":
            raise Failed("kill_failed", event.message or "The session could not be ended.")
        code = event.exit_code if event.exit_code is not None else code
    return code


async def list_all(calls: Calls, box: str) -> list[wire.Session]:
    """Return the sessions of a box, the oldest first. Raises NotFound(box_not_found)."""
    answer = await calls.ask(wire.SessionList, "GET", path_of("boxes", box, "exec"))
    return answer.sessions
