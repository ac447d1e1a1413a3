"""The gateway's connection to its daemon: made again when lost, and never a reason to end."""

from __future__ import annotations

import pytest

from skerry.gateway.control import Hello, Tokens, Traffic, line_of
from tests.gateway.place import HOST, Place, gateway, run

GET = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST


async def served(place: Place) -> bytes:
    """Return the head of an answer of the box, whatever the daemon does."""
    program = await place.program()
    client = await place.ask(GET)
    box = await program.get()
    await box.request()
    box.answer(b"")
    return await client.head()


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"\xff\n",
        b"[]\n",
        b'{"type":"unheard_of"}\n',
        b'{"type":"box","box":{"box_id":"b","name":"n","http_port":0}}\n',
        b'{"type":"table"}\n',
        line_of(Tokens(()))[:-9],
    ],
)
def test_a_daemon_that_cannot_be_understood_is_left_and_traffic_goes_on(line: bytes) -> None:
    async def story() -> tuple[Hello, bytes]:
        async with gateway() as place:
            assert place.daemon is not None
            place.daemon.send(line)
            place.daemon.writer.write_eof()
            hello = await place.connect_daemon()
            return hello, await served(place)

    hello, head = run(story())
    assert hello == Hello()
    assert head.startswith(b"HTTP/1.1 200 ")


def test_a_daemon_that_comes_back_is_told_what_is_open() -> None:
    async def story() -> int:
        async with gateway() as place:
            program = await place.program()
            await place.ask(GET)
            await (await program.get()).request()
            assert place.daemon is not None
            place.daemon.close()
            await place.connect_daemon()
            return (await place.told(Traffic)).open

    assert run(story()) == 1


def test_a_field_that_a_newer_daemon_says_is_passed_over() -> None:
    async def story() -> bytes:
        async with gateway() as place:
            assert place.daemon is not None
            place.daemon.send(b'{"type":"tokens","tokens":[],"later":{"a":1}}\n')
            await place.settled()
            return await served(place)

    assert run(story()).startswith(b"HTTP/1.1 200 ")
