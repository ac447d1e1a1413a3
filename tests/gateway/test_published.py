"""Ports of this machine that are ports of boxes: bytes pass both ways, and wake a box."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import msgspec

from skerry.gateway.control import Box, BoxChanged, Gone, Limits, MaySleep, Published, SleepAnswer
from tests.gateway.place import ASLEEP, AWAKE, BOX_ID, MILLISECOND_NS, Peer, Place, gateway, run

PORT = 5432


def published(box: Box) -> tuple[Box, int]:
    """Return a box with a port of this machine, and that port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listen = f"127.0.0.1:{port}"
    return msgspec.structs.replace(box, published=(Published(listen, PORT),)), port


async def guest(place: Place, port: int) -> Peer:
    """Connect to a port that is listened on soon."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await place.settled()
        else:
            place.resources.callback(writer.close)
            return Peer(reader, writer)


def test_bytes_pass_both_ways_until_each_side_has_ended() -> None:
    box, port = published(AWAKE)

    async def story() -> tuple[bytes, bytes]:
        async with gateway(box) as place:
            program = await place.program(PORT)
            client = await guest(place, port)
            client.send(b"question")
            client.writer.write_eof()
            inside = await program.get()
            asked = await inside.rest()
            inside.send(b"answer")
            inside.close()
            return asked, await client.rest()

    assert run(story()) == (b"question", b"answer")


def test_a_connection_wakes_a_box_and_keeps_what_was_sent() -> None:
    box, port = published(ASLEEP)

    async def story() -> bytes:
        async with gateway(box) as place:
            program = await place.program(PORT)
            client = await guest(place, port)
            client.send(b"early")
            await place.wake()
            return await (await program.get()).exactly(5)

    assert run(story()) == b"early"


def test_who_sends_nothing_and_only_listens_is_heard_to_the_end() -> None:
    box, port = published(ASLEEP)

    async def story() -> bytes:
        async with gateway(box) as place:
            program = await place.program(PORT)
            client = await guest(place, port)
            client.writer.write_eof()
            await place.wake()
            inside = await program.get()
            assert await inside.rest() == b"", "it is told that nothing comes"
            inside.send(b"220 hello\r\n")
            inside.close()
            return await client.rest()

    assert run(story()) == b"220 hello\r\n"


def test_what_a_box_says_first_arrives() -> None:
    box, port = published(AWAKE)

    async def story() -> bytes:
        async with gateway(box) as place:
            program = await place.program(PORT)
            client = await guest(place, port)
            (await program.get()).send(b"SSH-2.0-x\r\n")
            return await client.exactly(11)

    assert run(story()) == b"SSH-2.0-x\r\n"


def test_a_box_with_a_connection_may_not_sleep_and_one_without_may() -> None:
    box, port = published(AWAKE)

    async def may_sleep(place: Place) -> bool:
        place.tell(MaySleep(1, BOX_ID))
        return (await place.told(SleepAnswer)).ok

    async def story() -> tuple[bool, bool]:
        async with gateway(box) as place:
            program = await place.program(PORT)
            client = await guest(place, port)
            inside = await program.get()
            during = await may_sleep(place)
            client.close()
            await inside.closed()
            inside.close()
            while place.gateway.site.clients:
                await asyncio.sleep(0)
            return during, await may_sleep(place)

    assert run(story()) == (False, True)


def test_a_peer_that_is_gone_without_a_word_is_found() -> None:
    box, port = published(AWAKE)

    async def story() -> int:
        async with gateway(box) as place:
            program = await place.program(PORT)
            await guest(place, port)
            await program.get()
            (client,) = place.gateway.site.clients
            connection = getattr(client, "_transport").get_extra_info("socket")  # noqa: B009
            return connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    assert run(story()) == 1


def test_a_box_that_does_not_wake_lets_nobody_wait_for_ever() -> None:
    box, port = published(ASLEEP)

    async def story() -> bool:
        async with gateway(box, limits=Limits(wake_wait_ns=50 * MILLISECOND_NS)) as place:
            client = await guest(place, port)
            await client.closed()
            return not place.gateway.site.boxes[BOX_ID].open

    assert run(story())


def test_a_port_that_is_no_more_published_is_free_again() -> None:
    box, port = published(AWAKE)

    async def refused(place: Place) -> None:
        while True:
            with suppress(ConnectionResetError):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    return
                writer.close()
            await place.settled()

    async def story() -> None:
        async with gateway(box) as place:
            await guest(place, port)
            place.tell(BoxChanged(AWAKE))
            await refused(place)
            place.tell(BoxChanged(box))
            await guest(place, port)
            place.tell(Gone(BOX_ID))
            await refused(place)

    run(story())


def test_a_port_that_somebody_else_has_is_taken_once_it_is_free() -> None:
    box, port = published(AWAKE)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", port)):
            async with gateway(box) as place:
                await place.settled()
        async with gateway(box) as place:
            await guest(place, port)

    run(story())
