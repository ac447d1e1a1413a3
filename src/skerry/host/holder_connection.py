"""The daemon's end of a connection to a holder: frames on an asyncio transport.

It keeps no rule of sessions, those are the holder's. What it adds is back-pressure in both
directions, so that neither a client that does not read nor one that writes a lot fills memory.
"""

import asyncio
import os
import socket
from collections import deque
from typing import cast

from skerry.base import NotFound
from skerry.holder import frames, rendezvous

# Reading stops above it; the holder then keeps as much again before the command itself must wait.
_QUEUED_BYTES_MAX = 256 * 1024


class HolderConnection(asyncio.Protocol):
    """Frames to and from one holder. One task at a time may receive."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader = frames.FrameReader()
        self._arrived = deque[tuple[int, bytes]]()
        self._arrived_bytes = 0
        self._is_paused = False
        self._is_lost = False
        self._news = asyncio.Event()
        self._stdin_room_bytes = frames.STDIN_WINDOW_BYTES
        self._stdin_news = asyncio.Event()

    # -- for those who use it --

    @property
    def queued_bytes(self) -> int:
        """Return how much has arrived and waits to be received."""
        return self._arrived_bytes

    @property
    def is_paused(self) -> bool:
        """Return whether the holder is kept from sending more."""
        return self._is_paused

    async def receive(self) -> tuple[int, bytes] | None:
        """Return the next frame (type, payload), None when the holder has closed."""
        while not self._arrived:
            if self._is_lost:
                return None
            self._news.clear()
            await self._news.wait()
        kind, payload = self._arrived.popleft()
        self._arrived_bytes -= len(payload)
        if self._is_paused and self._arrived_bytes <= _QUEUED_BYTES_MAX // 2:
            self._is_paused = False
            if self._transport is not None and not self._is_lost:
                self._transport.resume_reading()
        return kind, payload

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame; one to a holder that is gone is lost."""
        if self._transport is not None and not self._is_lost:
            self._transport.write(frames.header(kind, len(payload)))
            self._transport.write(payload)

    async def send_stdin(self, data: bytes) -> bool:
        """Send data for the command's stdin, waiting while it takes nothing.

        Returns whether all was sent: False where the holder is gone.
        """
        start = 0
        while start < len(data) and not self._is_lost:
            if not self._stdin_room_bytes:
                self._stdin_news.clear()
                await self._stdin_news.wait()
                continue
            piece = data[start : start + self._stdin_room_bytes]
            self._stdin_room_bytes -= len(piece)
            start += len(piece)
            self.send(frames.STDIN, piece)
        return not self._is_lost

    def close(self) -> None:
        """Close it; what was sent before still arrives."""
        if self._transport is not None:
            self._transport.close()
        self._lose()

    # -- for asyncio --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        try:
            arrived = self._reader.feed(data)
        except frames.Malformed:
            self.close()
            return
        for kind, payload in arrived:
            if kind == frames.STDIN_TAKEN:
                self._stdin_room_bytes += cast("int", frames.unpack(payload))
                self._stdin_news.set()
            else:
                self._arrived.append((kind, payload))
                self._arrived_bytes += len(payload)
        self._news.set()
        if self._arrived_bytes > _QUEUED_BYTES_MAX and self._transport and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell whoever waits."""
        self._lose()

    def _lose(self) -> None:
        self._is_lost = True
        self._news.set()
        self._stdin_news.set()


async def connect(ours: socket.socket) -> HolderConnection:
    """Return the connection over a stream socket that is connected already and does not block."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(HolderConnection, sock=ours)
    return connection


async def call(directory: str) -> HolderConnection:
    """Return a connection to the holder of the session in directory.

    Raises NotFound(session_not_found).
    """
    dialled = dial(directory)
    dialled.settimeout(0)
    return await connect(dialled)


def no_such_session() -> NotFound:
    """Return the error for a session that is not, or no longer, there."""
    return NotFound(
        "session_not_found",
        "There is no such session in this box, or it ended and its end was read. "
        "`skerry sessions` shows those there are.",
    )


def dial(directory: str) -> socket.socket:
    """Return a socket connected to the holder of the session in directory, which never blocks.

    Raises NotFound(session_not_found).
    """
    dialled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # By way of the descriptor, because a socket's path may have 107 bytes and no more.
            dialled.connect(f"/proc/self/fd/{descriptor}/{rendezvous.SOCKET_NAME}")
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        dialled.close()
        raise no_such_session() from error
    except BaseException:
        dialled.close()
        raise
    return dialled
