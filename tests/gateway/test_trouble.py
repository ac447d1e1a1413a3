"""Requests whose box or client does not do its part: slow ones, broken ones, those that go."""

from __future__ import annotations

import asyncio

import pytest

from skerry.gateway.control import Limits
from tests.gateway.place import HOST, MILLISECOND_NS, gateway, run

GET = b"GET / HTTP/1.1\r\nHOST\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_request_on_a_stale_connection_is_sent_again_on_a_new_one():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            stale = await program.get()
            await stale.request()
            stale.answer()
            await client.head()
            await client.exactly(13)
            client.send(b"GET /again HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            await stale.request()
            stale.close()
            box = await program.get()
            target = (await box.request()).target
            box.answer()
            return target, await client.head()

    target, head = run(story())

    assert target == b"/again"
    assert head.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("request_", [b"POST / HTTP/1.1\r\nHOST\r\nContent-Length: 0\r\n\r\n", GET])
def test_a_request_that_may_have_been_carried_out_is_not_sent_again(request_: bytes):
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.answer()
            await client.head()
            await client.exactly(13)
            client.send(request_.replace(b"HOST", b"Host: " + HOST))
            await box.request()
            box.send(b"HTTP/1.1 2" if request_ is GET else b"")
            await asyncio.sleep(0)
            box.close()
            return (await client.head()), program.qsize()

    head, others = run(story())

    assert head.startswith(b"HTTP/1.1 502 ")
    assert others == 0


def test_the_next_request_waits_for_what_a_slow_client_has_not_read():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            size = 64 << 20
            box.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            piece = bytes(1 << 20)
            sending = asyncio.create_task(send_all(box.writer, piece, size // len(piece)))
            await client.head()
            left = sending.done()
            for _ in range(size // len(piece)):
                await client.exactly(len(piece))
            await sending
            return left

    assert run(story()) is False, "it was taken off the box before the client read it"


async def send_all(writer: asyncio.StreamWriter, piece: bytes, count: int) -> None:
    for _ in range(count):
        writer.write(piece)
        await writer.drain()


def test_a_large_body_waits_for_a_slow_box():
    async def story():
        async with gateway() as place:
            program = await place.program()
            size, piece = 64 << 20, bytes(1 << 20)
            client = await place.ask(b"PUT / HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\n\r\n" % size)
            sending = asyncio.create_task(send_all(client.writer, piece, size // len(piece)))
            box = await program.get()
            await box.head()
            left = sending.done()
            for _ in range(size // len(piece)):
                await box.exactly(len(piece))
            box.answer()
            await sending
            return left, await client.head()

    left, head = run(story())

    assert left is False
    assert head.startswith(b"HTTP/1.1 200")


def test_an_answer_before_the_end_of_the_body_ends_the_connection():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"PUT / HTTP/1.1\r\nHOST\r\nContent-Length: 9\r\n\r\nhalf")
            box = await program.get()
            await box.head()
            box.answer(b"no", b"413 Too Large")
            head = await client.head()
            return head, await client.rest(), await box.rest()

    head, body, _ = run(story())

    assert b"Connection: close\r\n" in head
    assert body == b"no"


def test_the_box_learns_that_a_client_has_gone():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await client.head()
            client.reset()
            return await box.closed()

    run(story())


def test_a_client_that_has_ended_its_side_gets_its_answer_and_does_not_wait_for_ever():
    async def story():
        async with gateway(limits=Limits(half_closed_ns=50 * MILLISECOND_NS)) as place:
            program = await place.program()
            client = await place.ask(GET)
            client.writer.write_eof()
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n")
            await client.until(b"yes")
            return await box.closed()

    run(story())


def test_an_answer_that_breaks_off_does_not_look_whole():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            await client.head()
            await client.exactly(4)
            box.close()
            return await client.closed()

    run(story())


def test_nor_does_it_where_only_the_connections_end_would_end_it():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"GET / HTTP/1.0\r\nHOST\r\n\r\n")
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            await client.head()
            await client.exactly(4)
            box.close()
            return await client.closed()

    assert run(story()) is True, "it was not ended by a reset"


def test_all_that_a_client_asked_before_it_ended_its_side_is_answered():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET + GET + b"GET / HT")
            client.writer.write_eof()
            box = await program.get()
            for _ in range(2):
                await box.request()
                box.answer(b"")
            return await client.rest()

    assert run(story()).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    ],
)
def test_what_is_no_clear_answer_is_not_passed_on(answer: bytes):
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.send(answer)
            head = await client.head()
            assert await client.until(b"}\n")
            return head

    assert run(story()).startswith(b"HTTP/1.1 502 Bad Gateway")


def test_an_answer_that_nobody_asked_for_reaches_nobody():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.send(OK + OK.replace(b"ok", b"no"))
            await client.head()
            await client.exactly(2)
            await box.closed()
            client.send(b"GET /next HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            other = await program.get()
            await other.request()
            other.answer(b"yes")
            await client.head()
            return await client.exactly(3)

    assert run(story()) == b"yes"


def test_a_slow_answer_is_given_up():
    async def story():
        limits = Limits(answer_wait_ns=50 * MILLISECOND_NS)
        async with gateway(limits=limits) as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            head = await client.head()
            await box.closed()
            return head

    assert run(story()).startswith(b"HTTP/1.1 504 ")
