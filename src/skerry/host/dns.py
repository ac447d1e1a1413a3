"""DNS for boxes: passes their questions on to the resolvers of this machine, over UDP and TCP.

Each question goes out on a socket of its own, with a random port and a random number, and only the
server that was asked can answer it. What a box may not have is bounded: questions a second,
questions and connections at a time, their size, how long they take. Remembers no answers; which
names a box may ask for, its guard knows.
"""

import asyncio
import errno
import secrets
import select
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Self

from skerry.base import NotAvailable
from skerry.host.dns_message import (
    MESSAGE_BYTES_MAX,
    Query,
    Rcode,
    failure,
    is_response,
    rcode,
    read_query,
    response_to,
    with_identifier,
)
from skerry.host.resolvers import Resolver

_PORT = 53
# A question is some 50 bytes; 4,096 is what servers take by UDP at most.
_QUERY_BYTES_MAX = 4096
_BACKLOG = 64
# How many datagrams are taken before others get their turn.
_DATAGRAMS_PER_TURN = 64

# A datagram can get lost.
_ROUNDS = 2

_TRY_ANOTHER = {Rcode.SERVER_FAILURE, Rcode.NOT_IMPLEMENTED, Rcode.REFUSED}

# What accepting a connection may end in without anything being wrong with the door itself.
_PASSING_TROUBLES = {errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE_SECONDS = 0.1

_Ask = Callable[[Query, Resolver], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsLimits:
    """What a box may have of this machine's DNS.

    attempt_seconds: how long one server has. query_seconds: how long all of them have; the C
    library in the box asks again after 5 seconds and gives up after 10. connection_idle_seconds:
    how long a connection may be silent. in_flight_max: questions at a time, each of which holds a
    descriptor or two, and many a machine grants a process 1,024. Connections are counted apart, so
    that those which boxes hold open keep nobody from asking by datagram.
    """

    attempt_seconds: float = 2.0
    query_seconds: float = 8.0
    connection_idle_seconds: float = 10.0
    in_flight_max: int = 400
    in_flight_per_box_max: int = 100
    connections_max: int = 200
    connections_per_box_max: int = 10
    queries_per_second_per_box_max: int = 500


_DEFAULT_LIMITS = DnsLimits()


@dataclass(frozen=True, slots=True)
class Guard:
    """Who decides what a box is told; both take its address, and neither waits for anything.

    screen: returns what to answer a question at once, None if it may be passed on. admit: returns
    what to answer in place of the answer of a server.
    """

    screen: Callable[[str, Query], bytes | None]
    admit: Callable[[str, Query, bytes], bytes]


_NO_GUARD = Guard(screen=lambda _box, _query: None, admit=lambda _box, _query, answer: answer)


@dataclass(frozen=True, slots=True)
class DnsSockets:
    """Where boxes' questions arrive; serve_dns() closes both."""

    udp: socket.socket
    tcp: socket.socket


def open_dns_sockets(gateway: IPv4Address, port: int = _PORT) -> DnsSockets:
    """Take the port for both protocols at the address, which the machine must have already.

    Raises NotAvailable(dns_port_taken) if another program has it, NotAvailable(network_unavailable)
    if the machine does not have the address.
    """
    with ExitStack() as on_failure:
        udp = on_failure.enter_context(_socket(socket.AF_INET, socket.SOCK_DGRAM))
        tcp = on_failure.enter_context(_socket(socket.AF_INET, socket.SOCK_STREAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for door in (udp, tcp):
            _bind(door, gateway, port)
            port = door.getsockname()[1]
        tcp.listen(_BACKLOG)
        on_failure.pop_all()
    return DnsSockets(udp, tcp)


async def serve_dns(
    sockets: DnsSockets,
    boxes: IPv4Network,
    resolvers: Callable[[], Sequence[Resolver]],
    limits: DnsLimits = _DEFAULT_LIMITS,
    guard: Guard = _NO_GUARD,
) -> None:
    """Answer the questions that come from addresses in boxes, until cancelled; close the sockets.

    resolvers is asked anew for each question. Nothing that a box or a server sends ends this.
    """
    with sockets.udp, sockets.tcp, _Datagrams() as datagrams:
        async with asyncio.TaskGroup() as tasks:
            forwarder = _Forwarder(boxes, resolvers, limits, guard, tasks, datagrams)
            tasks.create_task(forwarder.serve_datagrams(sockets.udp))
            tasks.create_task(forwarder.serve_connections(sockets.tcp))


class _Forwarder:
    def __init__(
        self,
        boxes: IPv4Network,
        resolvers: Callable[[], Sequence[Resolver]],
        limits: DnsLimits,
        guard: Guard,
        tasks: asyncio.TaskGroup,
        datagrams: "_Datagrams",
    ) -> None:
        self._datagrams = datagrams
        self._boxes = boxes
        self._guard = guard
        self._resolvers = resolvers
        self._tasks = tasks
        self._limits = limits
        self._gate = _Gate(limits, limits.in_flight_max, limits.in_flight_per_box_max)
        self._door = _Gate(limits, limits.connections_max, limits.connections_per_box_max)

    async def serve_datagrams(self, door: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        broken = loop.create_future()

        def take() -> None:
            try:
                for _ in range(_DATAGRAMS_PER_TURN):
                    self._take_datagram(door, *door.recvfrom(_QUERY_BYTES_MAX + 1))
            except BlockingIOError:
                return
            except OSError as error:
                if not broken.done():
                    broken.set_exception(error)

        # Once for all: to ask to be told of each datagram anew took 30 µs more of each. (And
        # loop.sock_recvfrom is not in uvloop.)
        loop.add_reader(door, take)
        try:
            await broken
        finally:
            loop.remove_reader(door)

    def _take_datagram(self, door: socket.socket, message: bytes, source: tuple[str, int]) -> None:
        query = read_query(message) if len(message) <= _QUERY_BYTES_MAX else None
        box = source[0]
        # Whoever is over a limit gets no answer rather than a refusal: a client that hears nothing
        # asks again a little later, one that is refused tells its user that the name is unknown.
        if (
            query is not None
            and self._is_box(box)
            and self._gate.asks(box)
            and self._gate.enter(box)
        ):
            self._tasks.create_task(self._answer_datagram(door, query, source))

    async def _answer_datagram(
        self, door: socket.socket, query: Query, source: tuple[str, int]
    ) -> None:
        try:
            answer = await self._answer(source[0], query, self._datagrams.ask)
        finally:
            self._gate.leave(source[0])
        # The box may be gone, or not reading: then it does not need the answer.
        with suppress(OSError):
            door.sendto(answer, source)

    async def serve_connections(self, door: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, source = await loop.sock_accept(door)
            except OSError as error:
                if error.errno not in _PASSING_TROUBLES:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            box: str = source[0]
            if self._is_box(box) and self._door.enter(box):
                self._tasks.create_task(self._serve_connection(connection, box))
            else:
                connection.close()

    async def _serve_connection(self, connection: socket.socket, box: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            # A box that falls silent, stops reading or goes away ends its connection, no more.
            with connection, suppress(OSError):
                while True:
                    async with asyncio.timeout(self._limits.connection_idle_seconds):
                        message = await _receive(connection, _QUERY_BYTES_MAX)
                    query = read_query(message)
                    if query is None or not self._gate.asks(box):
                        return
                    answer = await self._answer(box, query, _ask_by_connection)
                    async with asyncio.timeout(self._limits.connection_idle_seconds):
                        await loop.sock_sendall(connection, _framed(answer))
        finally:
            self._door.leave(box)

    async def _answer(self, box: str, query: Query, ask: _Ask) -> bytes:
        """Return the response to a query, the word of a failure if no server has one in time."""
        if query.verdict != Rcode.NO_ERROR:
            return failure(query, query.verdict)
        at_once = self._guard.screen(box, query)
        if at_once is not None:
            return at_once
        deadline = asyncio.get_running_loop().time() + self._limits.query_seconds
        answer: bytes | None = None
        for _ in range(_ROUNDS):
            answer = await self._ask_each(query, ask, deadline)
            if answer is not None:
                break
        if answer is None:
            return failure(query, Rcode.SERVER_FAILURE)
        return self._guard.admit(box, query, answer)

    async def _ask_each(self, query: Query, ask: _Ask, deadline: float) -> bytes | None:
        """Return the first good answer of a server, else the last bad one, None if none spoke."""
        now = asyncio.get_running_loop().time
        answer: bytes | None = None
        for resolver in self._resolvers():
            if now() >= deadline:
                break
            try:
                async with asyncio.timeout_at(min(now() + self._limits.attempt_seconds, deadline)):
                    message = await ask(query, resolver)
            except OSError:  # nobody there, no way there, or out of time: the next one may know
                continue
            answer = response_to(query, message)
            if rcode(message) not in _TRY_ANOTHER:
                break
        return answer

    def _is_box(self, source: str) -> bool:
        # Not only boxes can send to the gateway: whoever routes to this machine can try.
        return IPv4Address(source) in self._boxes


class _Gate:
    """Counts what each box has in flight, and asks in this second.

    most: in all; most_per_box: of one box.
    """

    def __init__(self, limits: DnsLimits, most: int, most_per_box: int) -> None:
        self._limits = limits
        self._most = most
        self._most_per_box = most_per_box
        self._in_flight: Counter[str] = Counter()
        self._in_flight_total = 0
        self._asked: Counter[str] = Counter()
        self._second = 0

    def asks(self, box: str) -> bool:
        """Count one question; return whether it is within what a box may ask in a second."""
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second = second
            self._asked.clear()
        self._asked[box] += 1
        return self._asked[box] <= self._limits.queries_per_second_per_box_max

    def enter(self, box: str) -> bool:
        """Count one more in flight, if there may be one more; return whether that is so."""
        # Half of what is left at most, so that some boxes together leave room for another one.
        left = self._most - self._in_flight_total
        if self._in_flight[box] >= min(self._most_per_box, (left + 1) // 2):
            return False
        self._in_flight[box] += 1
        self._in_flight_total += 1
        return True

    def leave(self, box: str) -> None:
        """Count one less in flight."""
        self._in_flight[box] -= 1
        self._in_flight_total -= 1
        if not self._in_flight[box]:
            del self._in_flight[box]


class _Datagrams:
    """Asks resolvers by datagram, each time from a socket of its own.

    The loop watches one epoll, and that the sockets: to have the loop itself watch one for the time
    of a question is eight system calls, this is two.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._takers: dict[int, Callable[[], None]] = {}

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._epoll, self._take)
        return self

    def __exit__(self, *_error: object) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll)
        self._epoll.close()

    async def ask(self, query: Query, resolver: Resolver) -> bytes:
        """Return the resolver's answer; what others send is passed over. Raises OSError."""
        identifier = secrets.randbits(16)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        with _socket_for(resolver, socket.SOCK_DGRAM) as upstream:
            # Connected, the socket takes datagrams of the resolver alone, at a port of the kernel's
            # random choice, and hears at once when nobody listens there.
            upstream.connect(resolver)
            upstream.send(with_identifier(query, identifier))

            def take() -> None:
                try:
                    message = upstream.recv(MESSAGE_BYTES_MAX)
                    if is_response(message, query, identifier) and not answer.done():
                        answer.set_result(message)
                except BlockingIOError:
                    return
                except OSError as error:
                    if not answer.done():
                        answer.set_exception(error)

            self._takers[upstream.fileno()] = take
            self._epoll.register(upstream, select.EPOLLIN)
            try:
                return await answer
            finally:
                # Not left to its closing: a process that is just being forked holds it open, too.
                self._epoll.unregister(upstream)
                del self._takers[upstream.fileno()]

    def _take(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            self._takers[descriptor]()


async def _ask_by_connection(query: Query, resolver: Resolver) -> bytes:
    """Return the resolver's answer. Raises OSError."""
    loop = asyncio.get_running_loop()
    identifier = secrets.randbits(16)
    with _socket_for(resolver, socket.SOCK_STREAM) as upstream:
        await loop.sock_connect(upstream, resolver)
        await loop.sock_sendall(upstream, _framed(with_identifier(query, identifier)))
        message = await _receive(upstream, MESSAGE_BYTES_MAX)
        if not is_response(message, query, identifier):
            raise ConnectionError(errno.EPROTO, "the answer is to another question")
        return message


def _socket_for(resolver: Resolver, kind: int) -> socket.socket:
    return _socket(socket.AF_INET6 if ":" in resolver.address else socket.AF_INET, kind)


def _socket(family: int, kind: int) -> socket.socket:
    return socket.socket(family, kind | socket.SOCK_NONBLOCK)


def _framed(message: bytes) -> bytes:
    """Return message as it stands on a connection, its length before it (RFC 1035, 4.2.2)."""
    return len(message).to_bytes(2, "big") + message


async def _receive(connection: socket.socket, bytes_max: int) -> bytes:
    """Return the next message of a connection. Raises OSError if it ends first or is too long."""
    length = int.from_bytes(await _receive_exactly(connection, 2), "big")
    if length > bytes_max:
        raise ConnectionError(errno.EMSGSIZE, "the message is too long")
    return await _receive_exactly(connection, length)


async def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    while len(received) < count:
        data = await loop.sock_recv(connection, count - len(received))
        if not data:
            raise ConnectionError(errno.ECONNRESET, "the connection ended in a message")
        received += data
    return received


def _bind(door: socket.socket, gateway: IPv4Address, port: int) -> None:
    try:
        door.bind((str(gateway), port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NotAvailable(
                "dns_port_taken",
                f"Another program answers on port {port} of all of this machine's addresses, and "
                f"so on {gateway}, where boxes ask for names. Bind it to its own addresses.",
            ) from error
        raise NotAvailable(
            "network_unavailable",
            f"Names cannot be answered on {gateway} port {port}: {error}. Start Skerry as root.",
        ) from error
