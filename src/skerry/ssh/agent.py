"""The guest's SSH agent, inside a box: a socket there that leads back to it.

A small program in the box listens, where only the box's user gets in, and passes what is said over
its stdin and stdout, many connections at once. It is gone with the last channel that asked for it.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import asyncssh

from skerry import client
from skerry.base import Failed, SkerryError
from skerry.ssh.rights import Keys

if TYPE_CHECKING:
    from asyncssh import SSHReader, SSHWriter

_HEAD = struct.Struct(">BII")  # kind, connection, size of what follows
_PATH, _OPEN, _DATA, _CLOSE = range(4)
_PAYLOAD_BYTES_MAX = 64 * 1024
_CONNECTIONS_MAX = 32
_START_S_MAX, _END_S_MAX, _ALONE_S_MAX = 10.0, 2.0, 10.0

_PROGRAM = """
import os, shutil, signal, socket, struct, sys, tempfile, threading
head, lock, live = struct.Struct(">BII"), threading.Lock(), {}
home = tempfile.mkdtemp(prefix="ssh-")
def over(*_):
    shutil.rmtree(home, ignore_errors=True)
    os._exit(0)
signal.signal(signal.SIGTERM, over)
signal.signal(signal.SIGHUP, over)
def tell(kind, number, data=b""):
    with lock:
        data = head.pack(kind, number, len(data)) + data
        while data:
            data = data[os.write(1, data):]
def serve(number, there):
    try:
        while data := there.recv(65536):
            tell(2, number, data)
    except OSError:
        pass
    if live.pop(number, None):
        tell(3, number)
    there.close()
def listen():
    number = 0
    while True:
        there, number = near.accept()[0], number + 1
        live[number] = there
        tell(1, number)
        threading.Thread(target=serve, args=(number, there), daemon=True).start()
near = socket.socket(socket.AF_UNIX)
near.bind(home + "/agent")
os.chmod(home + "/agent", 0o600)
near.listen(16)
tell(0, 0, (home + "/agent").encode())
threading.Thread(target=listen, daemon=True).start()
said = sys.stdin.buffer
try:
    while len(start := said.read(9)) == 9:
        kind, number, size = head.unpack(start)
        data, there = said.read(size), live.get(number)
        if there and kind == 2:
            try:
                there.sendall(data)
            except OSError:
                pass
        elif there and kind == 3:
            live.pop(number, None)
            there.shutdown(socket.SHUT_RDWR)
finally:
    over()
"""


class Agent:
    """The agent of one guest in one box, for as long as a channel uses it."""

    def __init__(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connection = connection
        self._users = 0
        self._turn = asyncio.Lock()
        self._path: asyncio.Future[str] | None = None
        self._unused = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def use(self, keys: Keys, public_key: str, box: str) -> AsyncGenerator[str]:
        """Give the block the path of the agent's socket in box. Raises Failed(no_agent)."""
        async with self._turn:
            self._users += 1
            if self._serving is None or self._serving.done():
                self._path = asyncio.get_running_loop().create_future()
                self._unused = asyncio.Event()
                serving = self._serve(keys, public_key, box, self._path, self._unused)
                self._serving = asyncio.create_task(serving)
        try:
            assert self._path is not None, "made with the task"
            yield await asyncio.shield(self._path)
        finally:
            self._users -= 1
            serving = self._serving
            if not self._users:
                self._unused.set()
                self._serving = None
                await asyncio.wait([serving])

    async def _serve(
        self,
        keys: Keys,
        public_key: str,
        box: str,
        path: "asyncio.Future[str]",
        unused: asyncio.Event,
    ) -> None:
        """Have the program run until unused; tell path where its socket is, or why there is none."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                session = await keys.attempt(
                    public_key,
                    lambda cloud: stack.enter_async_context(
                        cloud.box(box).open(
                            "python3", "-c", _PROGRAM, max_run_after_disconnect=_ALONE_S_MAX
                        )
                    ),
                )
                try:
                    await _Relay(self._connection, session, path).run(unused)
                finally:
                    if session.exit_code is None:
                        await keys.end(public_key, box, session)
        except (SkerryError, TimeoutError) as error:
            reason = error.message if isinstance(error, SkerryError) else "it does not start."
            if not path.done():
                path.set_exception(
                    Failed("no_agent", f"Your agent cannot be forwarded into this box: {reason}")
                )
                path.exception()  # there may be nobody who waits


class _Relay:
    """Frames of the program in the box, as connections to the guest's agent."""

    def __init__(
        self,
        connection: asyncssh.SSHServerConnection,
        session: client.Session,
        path: "asyncio.Future[str]",
    ) -> None:
        self._connection = connection
        self._session = session
        self._path = path
        self._writers: dict[int, SSHWriter[bytes]] = {}
        self._tasks = set[asyncio.Task[None]]()

    async def run(self, unused: asyncio.Event) -> None:
        """Relay until unused or the program ends. Raises TimeoutError if it does not start."""
        reading = asyncio.create_task(self._read())
        waiting = asyncio.create_task(unused.wait())
        try:
            async with asyncio.timeout(_START_S_MAX):
                await asyncio.wait(
                    [reading, asyncio.shield(self._path)], return_when=asyncio.FIRST_COMPLETED
                )
            await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await self._session.write_eof()  # then it removes its socket and ends
                await asyncio.wait([reading], timeout=_END_S_MAX)
            if reading.done():
                await reading
        finally:
            for task in (reading, waiting, *self._tasks):
                task.cancel()
            await asyncio.gather(reading, waiting, *self._tasks, return_exceptions=True)
            for writer in self._writers.values():
                writer.close()

    async def _read(self) -> None:
        waiting = b""
        said = b""
        async for stream, data in self._session:
            if stream == "stderr":
                said = (said + data)[-1000:]
                continue
            waiting += data
            while len(waiting) >= _HEAD.size:
                kind, number, size = _HEAD.unpack_from(waiting)
                if size > _PAYLOAD_BYTES_MAX:
                    raise Failed("bad_relay", "what passes it on there speaks nonsense.")
                if len(waiting) < _HEAD.size + size:
                    break
                payload, waiting = waiting[_HEAD.size :][:size], waiting[_HEAD.size + size :]
                await self._obey(kind, number, payload)
        if not self._path.done():
            reason = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Failed("bad_relay", reason[:200] or "it ended at once.")

    async def _obey(self, kind: int, number: int, payload: bytes) -> None:
        writer = self._writers.get(number)
        if kind == _PATH and not self._path.done():
            self._path.set_result(payload.decode())
        elif kind == _OPEN:
            await self._open(number)
        elif kind == _DATA and writer is not None:
            writer.write(payload)
            with contextlib.suppress(OSError, asyncssh.Error):
                await writer.drain()
        elif kind == _CLOSE and writer is not None:
            del self._writers[number]
            writer.close()

    async def _open(self, number: int) -> None:
        if len(self._writers) >= _CONNECTIONS_MAX:
            await self._tell(_CLOSE, number)
            return
        try:
            reader, writer = await self._connection.open_agent_connection()
        except (asyncssh.Error, OSError):
            await self._tell(_CLOSE, number)
            return
        self._writers[number] = writer
        task = asyncio.create_task(self._answer(number, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, reader: "SSHReader[bytes]") -> None:
        with contextlib.suppress(OSError, asyncssh.Error):
            while data := await reader.read(_PAYLOAD_BYTES_MAX):
                await self._tell(_DATA, number, data)
        if self._writers.pop(number, None) is not None:
            await self._tell(_CLOSE, number)

    async def _tell(self, kind: int, number: int, payload: bytes = b"") -> None:
        with contextlib.suppress(SkerryError):  # it has ended: reading it tells how
            await self._session.write(_HEAD.pack(kind, number, len(payload)) + payload)
