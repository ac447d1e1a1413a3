"""One channel as a program holds it: what comes in, in order; what goes out, as it is read.

asyncssh calls; what it calls with waits here until somebody asks. While more waits than may, the
client is held back by its window; while the client does not read, who writes waits.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, TypeAlias

_WAITING_BYTES_MAX = 256 * 1024
_WAITING_EVENTS_MAX = 256  # window sizes and signals: who sends more of them loses some


@dataclass(frozen=True, slots=True)
class Eof:
    """The client sends nothing more."""


@dataclass(frozen=True, slots=True)
class Resize:
    """The client's terminal has a new size."""

    rows: int
    cols: int


@dataclass(frozen=True, slots=True)
class Signal:
    """The client sends a signal; name has no SIG."""

    name: str


Event: TypeAlias = bytes | Eof | Resize | Signal


class Lost(Exception):
    """The channel or its connection is closed."""


class Room:
    """Whether a connection takes more bytes: one for all channels of it."""

    def __init__(self) -> None:
        self._has = asyncio.Event()
        self._has.set()

    def close(self) -> None:
        """Say that it takes no more for now."""
        self._has.clear()

    def open(self) -> None:
        """Say that it takes more."""
        self._has.set()

    async def wait(self) -> None:
        """Return once it takes more."""
        await self._has.wait()


class Pipe:
    """What all kinds of channels share. The methods after `lost` are called by asyncssh."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._channel: Any = None  # of asyncssh; the kinds have no type in common
        self._events: deque[Event] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.made = asyncio.Event()
        self.lost = asyncio.Event()

    @property
    def channel(self) -> Any:  # noqa: ANN401 - as above
        """The channel of asyncssh, once it is open."""
        assert self._channel is not None, "asyncssh has made it"
        return self._channel

    async def next_event(self) -> Event | None:
        """Return what comes next, None once the channel is lost."""
        while not self._events:
            if self.lost.is_set():
                return None
            self._news.clear()
            await self._news.wait()
        event = self._events.popleft()
        if isinstance(event, bytes):
            before = self._waiting_bytes
            self._waiting_bytes -= len(event)
            if before >= _WAITING_BYTES_MAX > self._waiting_bytes and not self.lost.is_set():
                self.channel.resume_reading()
        return event

    async def write(self, data: bytes, datatype: int | None = None) -> None:
        """Send data; wait while the client does not read. Raises Lost."""
        await self._may_write.wait()
        await self._room.wait()
        if self.lost.is_set() or self.channel.is_closing():
            raise Lost
        self.channel.write(data, datatype)

    def put(self, event: Event) -> None:
        """Add an event for who asks for the next."""
        if len(self._events) < _WAITING_EVENTS_MAX or not isinstance(event, Resize | Signal):
            self._events.append(event)
            self._news.set()

    def connection_made(self, chan: Any) -> None:  # noqa: ANN401 - as above
        """Take the channel."""
        self._channel = chan
        self.made.set()

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - its signature
        """Take what the client sends."""
        before = self._waiting_bytes
        self._waiting_bytes += len(data)
        self.put(data)
        if before < _WAITING_BYTES_MAX <= self._waiting_bytes:
            self.channel.pause_reading()

    def eof_received(self) -> bool:
        """Take the end of it; True: what we send may go on."""
        self.put(Eof())
        return True

    def pause_writing(self) -> None:
        """Hold writers back."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its signature
        """Tell everybody who waits."""
        self.lost.set()
        self._news.set()
        self._may_write.set()
        self.made.set()
