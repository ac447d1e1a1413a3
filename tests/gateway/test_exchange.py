"""Requests and answers through the gateway, on real sockets."""

from __future__ import annotations

import asyncio

import pytest

from skerry.gateway.control import Limits
from tests.gateway.place import HOST, MILLISECOND_NS, gateway, run

GET = b"GET / HTTP/1.1\r\nHOST\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def exchange(request: bytes, answer: bytes) -> bytes:
    """Return what a client gets until the end, whose request is answered so."""
    async with gateway() as place:
        program = await place.program()
        client = await place.ask(request)
        box = await program.get()
        await box.request()
        box.send(answer)
        box.close()
        return await client.rest()


def test_a_request_reaches_the_box_and_its_answer_the_client():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"GET /a?b=c HTTP/1.1\r\nHOST\r\nX-Own: 1\r\n\r\n")
            box = await program.get()
            seen = await box.request()
            box.answer()
            head = await client.head()
            return seen, head, await client.exactly(13)

    seen, head, body = run(story())

    assert (seen.method, seen.target, seen.body) == (b"GET", b"/a?b=c", b"")
    assert (seen.header(b"host"), seen.header(b"x-own")) == (HOST, b"1")
    assert seen.header(b"x-forwarded-for") == b"127.0.0.1"
    assert head == b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"
    assert body == b"hello, world\n"


def test_both_connections_serve_one_request_after_another():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.client()
            box = None
            for number in range(3):
                client.send(b"GET /%d HTTP/1.1\r\nHost: %b\r\n\r\n" % (number, HOST))
                box = box or await program.get()
                assert (await box.request()).target == b"/%d" % number
                box.answer(b"%d" % number)
                await client.head()
                assert await client.exactly(1) == b"%d" % number
            return program.qsize()

    assert run(story()) == 0


def test_pipelined_requests_are_answered_in_their_order():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"".join(GET.replace(b"/ ", b"/%d " % n) for n in range(3)))
            box = await program.get()
            targets: list[bytes] = []
            for _ in range(3):
                targets.append((await box.request()).target)
                box.answer(targets[-1])
            answers: list[bytes] = []
            for _ in range(3):
                await client.head()
                answers.append(await client.exactly(2))
            return targets, answers

    assert run(story()) == ([b"/0", b"/1", b"/2"],) * 2


@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        (b"Content-Length: 5\r\n\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"),
    ],
)
def test_a_body_arrives_byte_by_byte(framing: bytes, sent: bytes):
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"POST / HTTP/1.1\r\nHOST\r\n" + framing)
            box = await program.get()
            for at in range(len(sent)):
                client.send(sent[at : at + 1])
                await asyncio.sleep(0)
            seen = await box.request()
            box.answer()
            await client.head()
            return seen.body

    assert run(story()) == b"hello"


def test_an_answer_in_chunks_is_passed_on_as_it_comes():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            head = await client.head()
            pieces: list[bytes] = []
            for event in (b"data: 1\n\n", b"data: 2\n\n"):
                box.send(b"9\r\n%b\r\n" % event)
                pieces.append(await client.exactly(14))
            box.send(b"0\r\nX-Sum: 3\r\nContent-Length: 7\r\n\r\n")
            return head, pieces, await client.head()

    head, pieces, end = run(story())

    assert b"Transfer-Encoding: chunked\r\n" in head
    assert pieces == [b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n"]
    assert end == b"0\r\nX-Sum: 3\r\n\r\n"


def test_an_answer_that_ends_with_its_connection_becomes_chunks():
    answer = run(
        exchange(
            GET.replace(b"HOST", b"Connection: close\r\nHOST"),
            b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
        )
    )

    assert answer == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )


def test_a_client_of_http_1_0_gets_no_chunks():
    answer = run(
        exchange(
            GET.replace(b"/1.1", b"/1.0"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
    )

    assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


def test_a_client_of_http_1_0_may_keep_its_connection():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"GET / HTTP/1.0\r\nHOST\r\nConnection: keep-alive\r\n\r\n")
            box = await program.get()
            await box.request()
            box.answer()
            head = await client.head()
            await client.exactly(13)
            client.send(GET.replace(b"HOST", b"Host: " + HOST))
            await box.request()
            return head

    assert b"Connection: keep-alive\r\n" in run(story())


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        (b"HEAD", b"200 OK\r\nContent-Length: 9\r\n", b"200 OK\r\nContent-Length: 9\r\n"),
        (b"HEAD", b"200 OK\r\nTransfer-Encoding: chunked\r\n", b"200 OK\r\n"),
        (b"GET", b"204 No Content\r\n", b"204 No Content\r\n"),
        (b"GET", b"304 Not Modified\r\nContent-Length: 9\r\n",
         b"304 Not Modified\r\nContent-Length: 9\r\n"),
    ],
)  # fmt: skip
def test_answers_without_a_body_end_with_their_head(method: bytes, answer: bytes, expected: bytes):
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(b"%b / HTTP/1.1\r\nHOST\r\n\r\n" % method)
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 %b\r\n" % answer)
            head = await client.head()
            client.send(b"GET /next HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            return head, (await box.request()).target

    assert run(story()) == (b"HTTP/1.1 %b\r\n" % expected, b"/next")


def test_the_box_says_when_a_client_may_go_on():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(
                b"PUT / HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            box = await program.get()
            assert b"Expect: 100-continue\r\n" in await box.head()
            box.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"hello")
            assert await box.exactly(5) == b"hello"
            box.answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 OK")


def test_early_hints_come_before_the_answer():
    answer = run(
        exchange(
            GET.replace(b"HOST", b"Connection: close\r\nHOST"),
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
        )
    )

    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")


UPGRADE = b"GET /ws HTTP/1.1\r\nHOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_an_upgrade_becomes_a_tunnel():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(UPGRADE + b"first")
            box = await program.get()
            head = await box.head()
            box.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi"
            )
            answer = await client.head()
            assert await client.exactly(2) == b"hi"
            assert await box.exactly(5) == b"first"
            client.send(b"\x00more")
            assert await box.exactly(5) == b"\x00more"
            box.writer.write_eof()
            assert await client.rest() == b""
            client.send(b"last")
            client.writer.write_eof()
            return head, answer, await box.rest()

    head, answer, last = run(story())

    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in answer
    assert last == b"last"


def test_a_refused_upgrade_is_an_answer_like_others():
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.ask(UPGRADE)
            box = await program.get()
            await box.head()
            box.answer(b"no", b"400 Bad Request")
            await client.head()
            await client.exactly(2)
            client.send(b"GET /next HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            return (await box.request()).target

    assert run(story()) == b"/next"


@pytest.mark.parametrize(
    "upgrade", [b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", b"Upgrade: websocket, h2c\r\n"]
)
def test_nobody_goes_behind_the_gateways_back_with_http_2(upgrade: bytes):
    async def story():
        async with gateway() as place:
            program = await place.program()
            await place.ask(
                b"GET / HTTP/1.1\r\nHOST\r\nConnection: Upgrade\r\n" + upgrade + b"\r\n"
            )
            return await (await program.get()).request()

    seen = run(story())

    assert {seen.header(b"upgrade"), seen.header(b"http2-settings")} == {None}


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
