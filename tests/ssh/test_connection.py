"""Connections: what a client that does not take what it is sent can make us keep."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncssh
import pytest
from asyncssh.constants import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_REQUEST,
    MSG_NEWKEYS,
    MSG_REQUEST_FAILURE,
)
from asyncssh.packet import Byte, SSHPacket, String

from skerry.ssh.channel import Channel
from skerry.ssh.connection import Connection
from skerry.ssh.pipe import Room


class Stream(asyncio.Transport):
    """Has the shape of a socket's transport; what is written to it is counted and gone."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting_bytes = 0
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting_bytes += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def abort(self) -> None:
        self.is_aborted = True


def set_nothing(_level: int, _name: int, _value: int) -> None:
    """Be what sets the options of no socket."""


def tell(story: Callable[[Connection, Stream], Awaitable[None]]) -> None:
    async def whole() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType] - its options for other kinds
        options = asyncssh.SSHServerConnectionOptions(
            server_factory=asyncssh.SSHServer, server_host_keys=[key], login_timeout=0
        )
        loop = asyncio.get_running_loop()
        connection = Connection(loop, options, "127.0.0.1", set_nothing)
        stream = Stream()
        connection.connection_made(stream)
        await story(connection, stream)
        connection.abort()

    asyncio.run(whole())


async def has_room(room: Room) -> bool:
    """Return whether who writes need not wait."""
    waiting = asyncio.ensure_future(room.wait())
    await asyncio.sleep(0)
    return waiting.done() or not waiting.cancel()


def test_channels_are_held_back_while_keys_are_exchanged() -> None:
    async def story(connection: Connection, _: Stream) -> None:
        assert await has_room(connection.room)
        connection.data_received(b"SSH-2.0-somebody\r\n")  # so that it begins
        assert not await has_room(connection.room)
        connection.send_packet(MSG_NEWKEYS)
        assert await has_room(connection.room)

    tell(story)


def test_channels_are_held_back_while_nothing_is_read() -> None:
    async def story(connection: Connection, _: Stream) -> None:
        connection.pause_writing()
        connection.data_received(b"SSH-2.0-somebody\r\n")
        connection.send_packet(MSG_NEWKEYS)
        assert not await has_room(connection.room)
        connection.resume_writing()
        assert await has_room(connection.room)

    tell(story)


def test_who_never_ends_an_exchange_of_keys_is_hung_up_on() -> None:
    async def story(connection: Connection, stream: Stream) -> None:
        connection.data_received(b"SSH-2.0-somebody\r\n")
        for _ in range(16):
            connection.send_packet(MSG_CHANNEL_DATA, bytes(1 << 20))
        await asyncio.sleep(0)
        assert not stream.is_aborted
        connection.send_packet(MSG_CHANNEL_DATA, b"x")
        await asyncio.sleep(0)
        assert stream.is_aborted

    tell(story)


@pytest.mark.parametrize(("waiting_bytes", "is_aborted"), [(1 << 20, False), (17 << 20, True)])
def test_who_reads_no_answers_is_hung_up_on(waiting_bytes: int, *, is_aborted: bool) -> None:
    async def story(connection: Connection, stream: Stream) -> None:
        connection.pause_writing()
        stream.waiting_bytes = waiting_bytes
        connection.send_packet(MSG_REQUEST_FAILURE)
        await asyncio.sleep(0)
        assert stream.is_aborted == is_aborted

    tell(story)


def test_no_more_is_kept_of_an_environment_than_may_be_used() -> None:
    async def story(connection: Connection, _: Stream) -> None:
        channel = connection.create_server_channel(None)
        session = Channel(connection.room, ())
        channel.process_open(0, 1 << 20, 1 << 15, session)  # pyright: ignore[reportUnknownMemberType] - of any session
        await session.made.wait()
        asked = [(b"PATH", b"/evil"), (b"LC_ALL", bytes(30_000)), (b"LANG", b"C.UTF-8")]
        asked += [(b"LC_%d" % number, b"x") for number in range(1000)]
        for name, value in asked:
            request = SSHPacket(String(b"env") + Byte(0) + String(name) + String(value))
            channel.process_packet(MSG_CHANNEL_REQUEST, 0, request)

        kept = channel.get_environment_bytes()
        assert (len(kept), b"PATH" in kept, kept[b"LANG"]) == (32, False, b"C.UTF-8")
        assert b"LC_ALL" not in kept

    tell(story)
