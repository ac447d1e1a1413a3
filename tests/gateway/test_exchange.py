"""Requests and answers through the gateway, on real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from skerry.gateway.upstream import Upstream
from tests.gateway.place import HOST, gateway, run

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


def test_a_box_that_writes_head_and_body_apart_is_not_kept_waiting():
    # It sends the body only once the head is acknowledged, for which a kernel likes to take 40 ms.
    async def story():
        async with gateway() as place:
            program = await place.program()
            client = await place.client()
            client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            box = await program.get()
            for _ in range(3):
                await box.request()
                box.answer(b"")
                await client.head()
                client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            await box.request()
            (upstream,) = place.gateway.site.upstreams
            assert isinstance(upstream, Upstream)
            connection = upstream.transport.get_extra_info("socket")
            return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)

    assert run(story()) == 1


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
