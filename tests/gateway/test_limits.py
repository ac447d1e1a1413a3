"""Clients that want too much, or too slowly; and a gateway that is told to stop."""

from __future__ import annotations

import asyncio

import pytest

from skerry.gateway.control import Limits
from skerry.gateway.upstream import Upstream
from tests.gateway.place import AWAKE, HOST, MILLISECOND_NS, SECOND_NS, Peer, gateway, run

SHORT_NS = 50 * MILLISECOND_NS
LONG = b"y" * 60_000
GET = b"GET / HTTP/1.1\r\nHOST\r\n\r\n"


def head_for(request: bytes, limits: Limits) -> bytes:
    """Return the head that a client gets, whose box never says anything."""

    async def story() -> bytes:
        async with gateway(limits=limits) as place:
            await place.program()
            client = await place.ask(request)
            return await client.head()

    return run(story())


@pytest.mark.parametrize(
    ("request_", "limits", "status"),
    [
        (b"GET / HT", Limits(header_wait_ns=SHORT_NS), b"408"),
        (b"POST / HTTP/1.1\r\nHOST\r\nContent-Length: 9\r\n\r\nhalf", Limits(body_wait_ns=SHORT_NS), b"408"),
        (GET, Limits(answer_wait_ns=SHORT_NS), b"504"),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHOST\r\n\r\n", Limits(header_bytes_max=2000), b"431"),
        (b"GET /" + b"a" * 3000, Limits(header_bytes_max=2000), b"431"),
        (b"GET / HTTP/1.1\r\nHOST\r\nA: b\r\nC: d\r\n\r\n", Limits(headers_max=2), b"431"),
    ],
    ids=["slow head", "slow body", "slow answer", "long head", "endless head", "many fields"],
)  # fmt: skip
def test_what_is_too_slow_or_too_large_gets_an_answer_and_the_door(
    request_: bytes, limits: Limits, status: bytes
) -> None:
    assert head_for(request_, limits)[9:12] == status


def test_a_byte_now_and_then_does_not_lengthen_the_time_for_a_head() -> None:
    async def story() -> bytes:
        async with gateway(limits=Limits(header_wait_ns=SHORT_NS)) as place:
            client = await place.client()

            async def drip() -> None:
                while True:
                    client.send(b"G")
                    await asyncio.sleep(0.002)

            dripping = asyncio.create_task(drip())
            head = await client.head()
            dripping.cancel()
            return head

    assert run(story())[9:12] == b"408"


def test_an_idle_connection_is_closed_without_a_word() -> None:
    async def story() -> bytes:
        async with gateway(limits=Limits(idle_ns=SHORT_NS)) as place:
            client = await place.client()
            return await client.rest()

    assert run(story()) == b""


def test_a_client_that_does_not_read_is_given_up() -> None:
    async def story() -> bool:
        async with gateway(limits=Limits(body_wait_ns=SHORT_NS)) as place:
            program = await place.program()
            client = await place.ask(GET)
            box = await program.get()
            await box.request()
            box.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n")
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]

            async def flood() -> None:
                while True:
                    box.send(b"x" * 65536)
                    await box.writer.drain()

            flooding = asyncio.create_task(flood())
            with pytest.raises(ConnectionError):
                await flooding
            return True

    assert run(story())


@pytest.mark.parametrize(
    "request_",
    [
        b"PUT / HTTP/1.1\r\nHOST\r\nContent-Length: 33554432\r\n\r\n",
        b"GET / HTTP/1.1\r\nHOST\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ],
    ids=["body", "tunnel"],
)
def test_a_box_that_read_slowly_has_its_whole_time_to_say_something(request_: bytes) -> None:
    async def story() -> int:
        limits = Limits(body_wait_ns=60 * SECOND_NS, answer_wait_ns=1000 * SECOND_NS)
        async with gateway(limits=limits) as place:
            program = await place.program()
            client = await place.ask(request_)
            box = await program.get()
            if b"Upgrade" in await box.head():
                box.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
                await client.head()
            downstream = await place.connection()
            downstream.data_received(bytes(32 << 20))  # at once, so that it is more than fits
            await box.exactly(32 << 20)
            await place.settled()
            return downstream.deadline_ns - place.gateway.site.now_ns

    assert run(story()) > 900 * SECOND_NS


def test_too_many_connections_of_one_address_are_turned_away() -> None:
    async def story() -> list[bytes]:
        async with gateway(limits=Limits(connections_per_client_max=2)) as place:
            clients = [await place.client() for _ in range(3)]
            last = await clients[-1].rest()
            clients[0].close()
            await place.settled()
            return [last]

    (last,) = run(story())
    assert last[9:12] == b"503"
    assert b"Retry-After: " in last


def test_unused_connections_to_all_ports_of_a_box_are_no_more_than_clients_may_have() -> None:
    ports = range(3000, 3010)

    async def story() -> int:
        async with gateway(limits=Limits(connections_max=4)) as place:
            client = await place.client()
            for port in ports:
                program = await place.program(port)
                client.send(b"GET / HTTP/1.1\r\nHost: amber--%d.localhost\r\n\r\n" % port)
                box = await program.get()
                await box.request()
                box.answer(b"")
                await client.head()
            await place.settled()
            return len(place.gateway.site.upstreams)

    assert run(story()) <= 5


def test_who_comes_too_many_is_heard_out_so_that_the_answer_arrives() -> None:
    async def story() -> bytes:
        async with gateway(limits=Limits(connections_max=1)) as place:
            await place.client()
            await place.connection()
            client = await place.ask(GET)
            return await client.rest()

    assert run(story()).startswith(b"HTTP/1.1 503 ")


def test_too_many_open_requests_of_one_box_are_turned_away() -> None:
    async def story() -> bytes:
        async with gateway(AWAKE, limits=Limits(requests_per_box_max=1)) as place:
            program = await place.program()
            first = await place.ask(GET)
            await (await program.get()).request()
            second = await place.ask(GET)
            head = await second.head()
            first.close()
            return head

    assert run(story())[9:12] == b"503"


def test_a_stop_lets_requests_end_and_closes_what_is_idle() -> None:
    async def story() -> tuple[bytes, bytes]:
        async with gateway(AWAKE) as place:
            program = await place.program()
            idle = await place.client()
            busy = await place.ask(GET)
            box = await program.get()
            await box.request()
            place.stop.set()
            nothing = await idle.rest()
            box.answer()
            return nothing, await busy.rest()

    nothing, answer = run(story())
    assert nothing == b""
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer


def test_a_daemon_that_speaks_nonsense_is_left_and_found_again() -> None:
    async def story() -> bytes:
        async with gateway(AWAKE) as place:
            assert place.daemon is not None
            place.daemon.send(b"this is no message\n")
            await place.connect_daemon()
            program = await place.program()
            client = await place.ask(GET)
            (await program.get()).answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 ")


def test_callers_wait_until_the_gateway_knows_its_boxes() -> None:
    async def story() -> bytes:
        async with gateway(has_table=False) as place:
            client: Peer = await place.ask(GET)
            program = await place.program()
            place.tell_table()
            (await program.get()).answer()
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 200 ")


def test_an_answer_of_the_gateway_says_nothing_that_a_cache_or_page_could_misuse() -> None:
    async def story() -> bytes:
        async with gateway() as place:
            client = await place.ask(
                b"GET /<script> HTTP/1.1\r\nHost: no.localhost\r\nAccept: text/html\r\n\r\n"
            )
            return await client.head()

    head = run(story())
    assert b"Cache-Control: no-store\r\n" in head
    assert b"Content-Security-Policy: default-src 'none'" in head
    assert HOST not in head


def test_heads_of_single_bytes_are_looked_at_once() -> None:
    # Each byte looked at with all before it is 20 seconds of work for one such head.
    async def story() -> tuple[bytes | None, bytes]:
        async with gateway() as place:
            program = await place.program()
            client = await place.client()
            downstream = await place.connection()
            for byte in b"GET / HTTP/1.1\r\nHost: %b\r\nX: %b\r\n\r\n" % (HOST, LONG):
                downstream.data_received(bytes([byte]))
            seen = await (await program.get()).request()
            (upstream,) = place.gateway.site.upstreams
            assert isinstance(upstream, Upstream)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: %b\r\n\r\n" % LONG:
                upstream.data_received(bytes([byte]))
            return seen.header(b"x"), await client.head()

    seen, head = run(story())

    assert seen == LONG
    assert b"X: %b\r\n" % LONG in head
