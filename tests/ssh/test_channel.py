"""Channels: what a guest may set, and that neither side drowns the other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from skerry.ssh.channel import Channel, Command, Subsystem
from skerry.ssh.pipe import Eof, Lost, Resize, Room, Signal


class Wire:
    """Has the shape of asyncssh's channel, and notes what it is told."""

    def __init__(self, environment: dict[bytes, bytes] | None = None) -> None:
        self.environment = environment or {}
        self.said: list[tuple[Any, ...]] = []

    def get_environment_bytes(self) -> dict[bytes, bytes]:
        return self.environment

    def is_closing(self) -> bool:
        return ("exit",) in [each[:1] for each in self.said]

    def write(self, data: bytes, datatype: int | None) -> None:
        self.said.append(("write", data, datatype))

    def pause_reading(self) -> None:
        self.said.append(("pause",))

    def resume_reading(self) -> None:
        self.said.append(("resume",))

    def exit(self, status: int) -> None:
        self.said.append(("exit", status))


def tell(story: Callable[[Channel, Wire], Awaitable[None]], wire: Wire | None = None) -> None:
    async def whole() -> None:
        over = wire or Wire()
        channel = Channel(Room(), ("sftp",))
        channel.connection_made(over)
        await story(channel, over)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        (b"LANG", b"C.UTF-8", True),
        (b"LC_ALL", b"de_DE@euro", True),
        (b"PATH", b"/evil", False),
        (b"LD_PRELOAD", b"x", False),
        (b"LC_X", b"a\nb", False),
        (b"LC_X", b"\xff", False),
        (b"LC_\xff", b"x", False),
        (b"LC_" + b"X" * 100, b"x", False),
        (b"LC_X", b"x" * 300, False),
        (b"TERM", b"xterm", False),
    ],
)
def test_what_is_taken_of_the_environment(name: bytes, value: bytes, taken: bool) -> None:  # noqa: FBT001 - a case gives it
    async def story(channel: Channel, wire: Wire) -> None:
        assert channel.environment == ({name.decode(): value.decode()} if taken else {})

    tell(story, Wire({name: value}))


def test_many_variables_are_not_taken_all() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        assert len(channel.environment) == 32

    tell(story, Wire({b"LC_%d" % number: b"x" for number in range(1000)}))


def test_a_terminal_has_a_size_that_can_be() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        channel.pty_requested("xterm", (0, 1 << 31, 0, 0), {})
        channel.terminal_size_changed(200, 0, 0, 0)

        assert channel.terminal is not None
        assert (channel.terminal.rows, channel.terminal.cols) == (10_000, 80)
        assert await channel.next_event() == Resize(24, 200)
        assert channel.environment == {"TERM": "xterm"}

    tell(story)


def test_what_comes_is_given_in_its_order() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        channel.data_received(b"a", None)
        channel.signal_received("INT")
        channel.eof_received()
        channel.connection_lost(None)

        events = [await channel.next_event() for _ in range(4)]
        assert events == [b"a", Signal("INT"), Eof(), None]

    tell(story)


def test_signals_that_there_are_not_are_let_be() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        for name in ("INFO@openssh.com", "KILL9", "STOP", "USR1"):
            channel.signal_received(name)

        assert await channel.next_event() == Signal("USR1")

    tell(story)


def test_a_guest_who_sends_much_is_held_back_until_it_is_read() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        for _ in range(5):
            channel.data_received(bytes(64 * 1024), None)
        assert wire.said == [("pause",)]
        for _ in range(3):
            await channel.next_event()
        assert wire.said == [("pause",), ("resume",)]

    tell(story)


def test_a_guest_who_only_changes_sizes_fills_nothing() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        channel.pty_requested("xterm", (80, 24, 0, 0), {})
        for _ in range(10_000):
            channel.terminal_size_changed(80, 24, 0, 0)
        channel.data_received(b"x", None)

        assert len([await channel.next_event() for _ in range(257)]) == 257

    tell(story)


def test_who_writes_waits_for_a_guest_who_does_not_read() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        channel.pause_writing()
        writing = asyncio.create_task(channel.write(b"x"))
        for _ in range(3):
            await asyncio.sleep(0)
        assert wire.said == []

        channel.resume_writing()
        await writing
        assert wire.said == [("write", b"x", None)]

    tell(story)


def test_who_waits_for_a_guest_who_goes_is_told() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        channel.pause_writing()
        writing = asyncio.create_task(channel.write(b"x"))
        await asyncio.sleep(0)
        channel.connection_lost(None)

        with pytest.raises(Lost):
            await writing
        channel.exit(0)  # says nothing, to nobody

    tell(story)


def test_what_is_said_to_a_guest_moves_no_cursor() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        await channel.refuse("no \x1b[2J box\n")

        assert wire.said == [("write", b"skerry: no ?[2J box?\n", 1), ("exit", 255)]

    tell(story)


def test_wishes() -> None:
    async def story(channel: Channel, wire: Wire) -> None:
        assert channel.shell_requested()
        assert not channel.exec_requested("a\0b")
        assert not channel.subsystem_requested("netconf")
        assert channel.subsystem_requested("sftp")
        assert channel.wish == Subsystem("sftp")
        assert channel.exec_requested("ls")
        assert channel.wish == Command("ls")

    tell(story)
