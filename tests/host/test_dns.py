"""The DNS forwarder, between clients on 127.0.0.0/8 and servers made up for the occasion."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Coroutine
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Protocol, TypeVar

import pytest
import uvloop

from skerry.base import NotAvailable
from skerry.host.dns import DnsLimits, open_dns_sockets, serve_dns
from skerry.host.resolvers import Resolver

# Not 127.0.0.1, where other programs have ports of their own.
GATEWAY = IPv4Address("127.9.0.1")
BOXES = IPv4Network("127.7.0.0/16")
BOX = "127.7.0.2"
QUESTION = b"\x07example\x03org\x00\x00\x01\x00\x01"
QUERY = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + QUESTION
ANSWER = struct.pack(">HHHHHH", 0x1234, 0x8180, 1, 1, 0, 0) + QUESTION + b"records"
SERVER_FAILURE = struct.pack(">HHHHHH", 0x1234, 0x8182, 1, 0, 0, 0) + QUESTION

Replies = Callable[[bytes], list[bytes]]
Note = Callable[[bytes, tuple[str, int]], None]
Result = TypeVar("Result")


class Run(Protocol):
    """Runs a coroutine to its end."""

    def __call__(self, work: Coroutine[Any, Any, Result]) -> Result: ...


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine for at most 30 seconds, on each of the event loops."""
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]

    def run_limited(work: Coroutine[Any, Any, Result]) -> Result:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(work, 30))

    return run_limited


def test_a_question_is_passed_on_and_its_answer_passed_back(run: Run):
    async def ask() -> bytes:
        async with datagram_server(honest) as server, forwarder(server) as port:
            return await asked_by_datagram(port)

    assert run(ask()) == ANSWER


def test_questions_go_out_under_other_numbers_and_ports(run: Run):
    async def ask() -> set[tuple[bytes, int]]:
        seen: set[tuple[bytes, int]] = set()

        def note(query: bytes, source: tuple[str, int]) -> None:
            seen.add((query[:2], source[1]))

        async with datagram_server(honest, note) as server, forwarder(server) as port:
            for _ in range(8):
                await asked_by_datagram(port)
        return seen

    seen = run(ask())

    assert len({number for number, _ in seen}) > 4
    assert len({port for _, port in seen}) > 4


def test_answers_to_another_question_or_number_are_passed_over(run: Run):
    def dishonest(query: bytes) -> list[bytes]:
        (good,) = honest(query)
        other_number = bytes([good[0] ^ 1]) + good[1:]
        other_question = good.replace(b"example", b"ezample") + b"evil"
        return [b"", b"short", query, other_number + b"evil", other_question, good]

    async def ask() -> bytes:
        async with datagram_server(dishonest) as server, forwarder(server) as port:
            return await asked_by_datagram(port)

    assert run(ask()) == ANSWER


def test_an_answer_from_another_server_is_not_heard(run: Run):
    async def ask() -> bytes:
        intruder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def intrude(query: bytes, source: tuple[str, int]) -> None:
            (good,) = honest(query)
            intruder.sendto(good + b"evil", source)

        with intruder:
            async with datagram_server(honest, intrude) as server, forwarder(server) as port:
                return await asked_by_datagram(port)

    assert run(ask()) == ANSWER


@pytest.mark.parametrize("bad", ["nobody", "failing"])
def test_the_next_server_is_asked_when_one_is_bad(run: Run, bad: str):
    async def ask() -> bytes:
        async with datagram_server(failing) as sick, datagram_server(honest) as healthy:
            first = {"nobody": unused_resolver(), "failing": sick}[bad]
            async with forwarder(first, healthy) as port:
                return await asked_by_datagram(port)

    assert run(ask()) == ANSWER


def test_the_failure_of_every_server_is_passed_back(run: Run):
    async def ask() -> bytes:
        async with datagram_server(failing) as sick, forwarder(sick, unused_resolver()) as port:
            return await asked_by_datagram(port)

    assert run(ask()) == SERVER_FAILURE + b"sick"


@pytest.mark.parametrize("resolvers", [0, 1])
def test_a_question_that_nobody_answers_ends_in_a_failure(run: Run, resolvers: int):
    async def ask() -> bytes:
        async with forwarder(*[unused_resolver()] * resolvers) as port:
            return await asked_by_datagram(port)

    assert run(ask()) == SERVER_FAILURE


def test_a_server_that_keeps_silent_costs_a_limited_time(run: Run):
    limits = DnsLimits(attempt_seconds=0.05)

    async def ask() -> bytes:
        async with (
            datagram_server(silent) as mute,
            datagram_server(honest) as healthy,
            forwarder(mute, healthy, limits=limits) as port,
        ):
            return await asked_by_datagram(port)

    assert run(ask()) == ANSWER


def test_questions_by_connection_are_passed_on_by_connection(run: Run):
    async def ask() -> list[bytes]:
        async with stream_server(honest) as server, forwarder(server) as port:
            return await asked_by_connection(port, [QUERY, QUERY])

    assert run(ask()) == [ANSWER, ANSWER]


def test_a_long_answer_arrives_whole_by_connection(run: Run):
    def long(query: bytes) -> list[bytes]:
        return [honest(query)[0].ljust(65_535, b".")]

    async def ask() -> list[bytes]:
        async with stream_server(long) as server, forwarder(server) as port:
            return await asked_by_connection(port, [QUERY])

    assert run(ask()) == [ANSWER.ljust(65_535, b".")]


@pytest.mark.parametrize("answer", [b"\x00\x05no", b"\x00\x00", b"", ANSWER])
def test_a_server_that_talks_nonsense_by_connection_is_a_failure(run: Run, answer: bytes):
    async def ask() -> list[bytes]:
        async with stream_server(lambda _: [answer]) as server, forwarder(server) as port:
            return await asked_by_connection(port, [QUERY])

    assert run(ask()) == [SERVER_FAILURE]


@pytest.mark.parametrize("sent", [b"\xff\xff", b"\x00\x03abc"])
def test_a_client_that_talks_nonsense_by_connection_is_cut_off(run: Run, sent: bytes):
    async def ask() -> bytes:
        async with forwarder() as port:
            reader, writer = await asyncio.open_connection(str(GATEWAY), port, local_addr=(BOX, 0))
            writer.write(sent)
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
            return received

    assert run(ask()) == b""


def test_connections_that_are_held_open_keep_nobody_from_asking(run: Run):
    async def ask() -> tuple[bytes, bytes]:
        async with datagram_server(honest) as server, forwarder(server) as port:
            held = [
                await asyncio.open_connection(str(GATEWAY), port, local_addr=(BOX, 0))
                for _ in range(11)
            ]
            cut = await held[-1][0].read()
            answer = await asked_by_datagram(port)
            for _, writer in held:
                writer.close()
            return cut, answer

    assert run(ask()) == (b"", ANSWER)


def test_who_is_no_box_is_not_answered(run: Run):
    async def ask() -> tuple[bytes, bytes]:
        async with datagram_server(honest) as server, forwarder(server) as port:
            with client("127.8.0.2", port) as stranger:
                stranger.send(QUERY)
                by_datagram = await asked_by_datagram(port)
                with pytest.raises(BlockingIOError):
                    stranger.recv(100)
            reader, writer = await asyncio.open_connection(
                str(GATEWAY), port, local_addr=("127.8.0.2", 0)
            )
            by_connection = await reader.read()
            writer.close()
            await writer.wait_closed()
            return by_datagram, by_connection

    assert run(ask()) == (ANSWER, b"")


def test_a_box_over_its_limit_leaves_the_others_theirs(run: Run):
    limits = DnsLimits(in_flight_per_box_max=2)
    arrived = 0

    def count(_query: bytes, _source: tuple[str, int]) -> None:
        nonlocal arrived
        arrived += 1

    def only_one(query: bytes) -> list[bytes]:
        return honest(query) if b"example" in query else []

    async def ask() -> bytes:
        server = datagram_server(only_one, count)
        async with server as resolver, forwarder(resolver, limits=limits) as port:
            with client("127.7.0.3", port) as greedy:
                for _ in range(20):
                    greedy.send(QUERY.replace(b"example", b"nowhere"))
                return await asked_by_datagram(port)

    assert run(ask()) == ANSWER
    assert arrived == 3


def test_boxes_that_ask_all_they_may_leave_room_for_another_one(run: Run):
    limits = DnsLimits(in_flight_max=10, in_flight_per_box_max=5)

    def only_one(query: bytes) -> list[bytes]:
        return honest(query) if b"example" in query else []

    async def ask() -> bytes:
        server = datagram_server(only_one)
        async with server as resolver, forwarder(resolver, limits=limits) as port:
            with contextlib.ExitStack() as clients:
                for number in range(3, 6):
                    greedy = clients.enter_context(client(f"127.7.0.{number}", port))
                    for _ in range(20):
                        greedy.send(QUERY.replace(b"example", b"nowhere"))
                return await asked_by_datagram(port)

    assert run(ask()) == ANSWER


def test_a_box_asks_only_so_often(run: Run):
    limits = DnsLimits(queries_per_second_per_box_max=0)

    async def ask() -> list[bytes]:
        async with stream_server(honest) as server, forwarder(server, limits=limits) as port:
            return await asked_by_connection(port, [QUERY])

    assert run(ask()) == [b""]


def test_a_port_that_is_taken_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))

        with pytest.raises(NotAvailable, match="Another program answers on port") as caught:
            open_dns_sockets(GATEWAY, other.getsockname()[1])

    assert caught.value.code == "dns_port_taken"


def test_an_address_that_the_machine_has_not_is_told():
    with pytest.raises(NotAvailable, match="cannot be answered on 203") as caught:
        open_dns_sockets(IPv4Address("203.0.113.77"))

    assert caught.value.code == "network_unavailable"


# -- servers and clients --


def honest(query: bytes) -> list[bytes]:
    assert query[2:] == QUERY[2:]
    return [query[:2] + ANSWER[2:]]


def failing(query: bytes) -> list[bytes]:
    return [query[:2] + SERVER_FAILURE[2:] + b"sick"]


def silent(_query: bytes) -> list[bytes]:
    return []


@contextlib.asynccontextmanager
async def forwarder(*resolvers: Resolver, limits: DnsLimits | None = None) -> AsyncGenerator[int]:
    sockets = open_dns_sockets(GATEWAY, 0)
    port = sockets.udp.getsockname()[1]
    serving = asyncio.create_task(
        serve_dns(sockets, BOXES, lambda: resolvers, limits or DnsLimits())
    )
    try:
        yield port
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


class DatagramServer(asyncio.DatagramProtocol):
    def __init__(self, replies: Replies, note: Note | None):
        self.replies = replies
        self.note = note

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.note is not None:
            self.note(data, addr)
        for reply in self.replies(data):
            self.transport.sendto(reply, addr)


@contextlib.asynccontextmanager
async def datagram_server(replies: Replies, note: Note | None = None) -> AsyncGenerator[Resolver]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: DatagramServer(replies, note), local_addr=("127.0.0.1", 0)
    )
    try:
        yield Resolver(*transport.get_extra_info("sockname"))
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def stream_server(replies: Replies) -> AsyncGenerator[Resolver]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        for reply in replies(await reader.readexactly(length)):
            writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Resolver(*server.sockets[0].getsockname())


def unused_resolver() -> Resolver:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return Resolver(*probe.getsockname())


def client(box: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((box, 0))
    made.connect((str(GATEWAY), port))
    return made


async def asked_by_datagram(port: int) -> bytes:
    with client(BOX, port) as box:
        box.send(QUERY)
        return await asyncio.get_running_loop().sock_recv(box, 65_535)


async def asked_by_connection(port: int, queries: list[bytes]) -> list[bytes]:
    reader, writer = await asyncio.open_connection(str(GATEWAY), port, local_addr=(BOX, 0))
    answers: list[bytes] = []
    for query in queries:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await reader.read(2), "big")
        answers.append(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return answers
