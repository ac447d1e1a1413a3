"""A terminal of this machine for a process on it, whose other side a guest sees and types on."""

import asyncio
import contextlib
import os
import termios
from collections.abc import AsyncGenerator, Callable

from skerry.ssh.channel import Channel, Terminal
from skerry.ssh.pipe import Eof, Lost, Resize, Signal

_READ_BYTES = 64 * 1024


class Screen:
    """A terminal of this machine: ours is what the guest sees and types, theirs is the process's."""

    def __init__(self, ours: int, theirs: int) -> None:
        self.ours = ours
        self.theirs = theirs

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, terminal: Terminal) -> AsyncGenerator["Screen"]:
        """Give the block a terminal of that size."""
        screen = cls(*os.openpty())
        os.set_blocking(screen.ours, False)
        termios.tcsetwinsize(screen.ours, (terminal.rows, terminal.cols))
        try:
            yield screen
        finally:
            os.close(screen.ours)
            screen.hand_over()

    def hand_over(self) -> None:
        """Let go of the process's side, so that its end is seen."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    async def pass_on(self, channel: Channel) -> None:
        """Send what is shown."""
        with contextlib.suppress(Lost):
            while data := await self._read():
                await channel.write(data)

    async def feed(self, channel: Channel, signal: Callable[[str], None]) -> None:
        """Type what comes; signal: called with the names of signals."""
        while (event := await channel.next_event()) is not None:
            match event:
                case bytes():
                    await self._write(event)
                case Eof():
                    await self._write(b"\x04")
                case Resize(rows=rows, cols=cols):
                    termios.tcsetwinsize(self.ours, (rows, cols))
                case Signal(name=name):
                    signal(name)

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self.ours, _READ_BYTES)
            except BlockingIOError:
                await _ready(loop.add_reader, loop.remove_reader, self.ours)
            except OSError:  # EIO: nobody has the other side any more
                return b""

    async def _write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self.ours, data) :]
            except BlockingIOError:
                await _ready(loop.add_writer, loop.remove_writer, self.ours)


async def _ready(
    add: Callable[[int, Callable[[], None]], None], remove: Callable[[int], bool], descriptor: int
) -> None:
    ready = asyncio.Event()
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)
