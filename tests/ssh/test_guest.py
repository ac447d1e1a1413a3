"""Guests: how much one may have open at once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from skerry.ssh.admission import Admission
from skerry.ssh.connection import Connection
from skerry.ssh.control_channel import ControlPlane
from skerry.ssh.guest import Door, Guest
from skerry.ssh.process import options_of
from skerry.ssh.rights import Keys
from tests.ssh.test_connection import set_nothing


def tell(story: Callable[[Guest, list[asyncio.Task[None]]], Awaitable[None]], where: Path) -> None:
    """Have a guest at a door behind which no daemon is, and what it has the door do."""

    async def whole() -> None:
        works: list[asyncio.Task[None]] = []
        async with Keys(where / "no-socket") as keys:
            door = Door(
                keys=keys,
                plane=ControlPlane(empty=where, url="http://127.0.0.1:1"),
                admission=Admission(connections_max=1, strangers_max=1, strangers_of_one_max=1),
                start=lambda work: works.append(asyncio.create_task(work)),
                say=lambda _: None,
            )
            key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType] - its options for other kinds
            options, loop = options_of(door, key), asyncio.get_running_loop()
            guest = Guest(door)
            guest.connection_made(Connection(loop, options, "127.0.0.1", set_nothing))
            guest.begin_auth("dev")
            await story(guest, works)
            await asyncio.sleep(0)  # a coroutine that never began cannot be ended
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    asyncio.run(whole())


def ask_for_a_port(guest: Guest) -> object:
    return guest.connection_requested("localhost", 80, "localhost", 1)


def test_channels_that_nothing_is_asked_of_count_too(tmp_path: Path) -> None:
    async def story(guest: Guest, _: object) -> None:
        for _ in range(64):
            guest.session_requested()
        for request in (guest.session_requested, lambda: ask_for_a_port(guest)):
            with pytest.raises(asyncssh.ChannelOpenError, match="64 channels"):
                request()

    tell(story, tmp_path)


def test_forwarded_ports_that_come_in_one_packet_are_counted(tmp_path: Path) -> None:
    async def story(guest: Guest, _: object) -> None:
        for _ in range(64):
            ask_for_a_port(guest)
        with pytest.raises(asyncssh.ChannelOpenError, match="64 channels"):
            ask_for_a_port(guest)

    tell(story, tmp_path)


def test_a_channel_has_its_place_until_it_is_closed(tmp_path: Path) -> None:
    async def story(guest: Guest, works: list[asyncio.Task[None]]) -> None:
        channels = [guest.session_requested() for _ in range(64)]
        channels[0].connection_lost(None)
        await works[0]

        guest.session_requested()
        with pytest.raises(asyncssh.ChannelOpenError, match="64 channels"):
            guest.session_requested()

    tell(story, tmp_path)
