"""The gateway's end of the connection to the daemon: made again whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

import msgspec

from skerry.gateway.control import LINE_BYTES_MAX, FromDaemon, FromGateway, from_daemon, line_of

_DELAY_S = (0.02, 1.0)
_UNSENT_BYTES_MAX = 8 << 20


class Link:
    """A connection to a Unix socket, and what to do with what comes.

    path: of the socket. greet: returns what is said first on each connection. take: is called with
    each message.
    """

    def __init__(
        self,
        path: str,
        greet: Callable[[], Iterable[FromGateway]],
        take: Callable[[FromDaemon], None],
    ) -> None:
        self._path = path
        self._greet = greet
        self._take = take
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_up(self) -> bool:
        """Tell whether there is a connection now."""
        return self._writer is not None

    def send(self, message: FromGateway) -> None:
        """Say something to the daemon, if it is there; else `greet` says it when it is."""
        writer = self._writer
        if writer is None:
            return
        writer.write(line_of(message))
        if writer.transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            writer.transport.abort()  # a daemon that reads nothing is none

    async def run(self) -> None:
        """Be connected, for ever."""
        least_s, most_s = _DELAY_S
        delay_s = least_s
        while True:
            if await self._once():
                delay_s = least_s
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, most_s)

    async def _once(self) -> bool:
        """Stay connected for as long as it lasts; tell whether the daemon said anything."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES_MAX)
        except OSError:
            return False
        has_heard = False
        self._writer = writer
        try:
            for message in self._greet():
                self.send(message)
            # A daemon that breaks off in a line, or speaks another language, is left; so is one
            # of a line without end. It is the daemon's to mend.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
                while True:
                    try:
                        line = await reader.readuntil(b"\n")
                    except asyncio.LimitOverrunError:
                        break
                    self._take(from_daemon(line))
                    has_heard = True
        finally:
            self._writer = None
            writer.transport.abort()
        return has_heard
