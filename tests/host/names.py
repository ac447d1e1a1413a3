"""A server of names on the internet, our own for boxes before it, and questions from boxes to that.

What tests of network policies share.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from skerry.host.dns import open_dns_sockets
from skerry.host.policy_service import serve_policies
from skerry.host.policy_table import log_group
from skerry.host.resolvers import Resolver
from tests.host.places import GATEWAY, INTERNET, Machine, Place

_LOGS = "/proc/thread-self/net/netfilter/nfnetlink_log"

A, CNAME, MX, AAAA, HTTPS, ANY = 1, 5, 15, 28, 65, 255
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 2, 3, 5


@dataclass(frozen=True)
class Told:
    """What a question was answered with."""

    rcode: int
    addresses: tuple[str, ...] = ()
    ttls: tuple[int, ...] = ()


def encoded(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(name: str, kind: int = A, identifier: int = 7) -> bytes:
    header = struct.pack(">HHHHHH", identifier, 0x0100, 1, 0, 0, 0)
    return header + encoded(name) + struct.pack(">HH", kind, 1)


def record(name: str, kind: int, data: bytes, ttl: int = 300) -> bytes:
    return encoded(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def answer(asked: bytes, records: list[bytes], rcode: int = NO_ERROR) -> bytes:
    header = struct.pack(">HHHHH", 0x8180 | rcode, 1, len(records), 0, 0)
    return asked[:2] + header + asked[12:] + b"".join(records)


def told(message: bytes) -> Told:
    """Read an answer whose records repeat their names in full."""
    _, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", message)
    position = _after_name(message, 12) + 4
    addresses: list[str] = []
    ttls: list[int] = []
    for _ in range(answers):
        position = _after_name(message, position)
        kind, _, ttl, length = struct.unpack_from(">HHIH", message, position)
        position += 10
        if kind == A:
            addresses.append(str(IPv4Address(message[position : position + length])))
            ttls.append(ttl)
        position += length
    return Told(flags & 0xF, tuple(addresses), tuple(ttls))


def _after_name(message: bytes, position: int) -> int:
    while message[position]:
        position += 1 + message[position]
    return position + 1


def ask(box: Place, name: str, kind: int = A) -> Told:
    """Ask our server, as a program in the box does."""
    client = box.socket(socket.SOCK_DGRAM)
    client.sendto(question(name, kind), (GATEWAY, 53))
    return told(client.recv(65_535))


def ask_by_connection(box: Place, name: str) -> Told:
    client = box.connect(GATEWAY, 53)
    sent = question(name)
    client.sendall(len(sent).to_bytes(2, "big") + sent)
    length = int.from_bytes(client.recv(2, socket.MSG_WAITALL), "big")
    return told(client.recv(length, socket.MSG_WAITALL))


class Zone(asyncio.DatagramProtocol):
    """Answers what it has records for, by name and type; nothing else exists."""

    def __init__(self, records: Mapping[tuple[str, int], list[bytes]]):
        self.records = records
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(self.answer(data), addr)

    def answer(self, asked: bytes) -> bytes:
        labels: list[bytes] = []
        position = 12
        while length := asked[position]:
            labels.append(asked[position + 1 : position + 1 + length])
            position += 1 + length
        name = b".".join(labels).decode().lower()
        kind = int.from_bytes(asked[-4:-2], "big")
        self.asked.append(name)
        records = self.records.get((name, kind), [])
        return answer(asked, records, NO_ERROR if records else NO_SUCH_NAME)


def addresses_of(**names: str | list[str]) -> dict[tuple[str, int], list[bytes]]:
    """Return the records of names; `a_b` in a keyword stands for a.b."""
    return {
        (name.replace("_", "."), A): [
            record(name.replace("_", "."), A, IPv4Address(address).packed)
            for address in ([found] if isinstance(found, str) else found)
        ]
        for name, found in names.items()
    }


@contextmanager
def answering(machine: Machine, records: Mapping[tuple[str, int], list[bytes]]) -> Generator[Zone]:
    """Serve the boxes' names and hear of refused packets, as a daemon does; ends as one that dies."""
    zone = Zone(records)
    server = machine.internet.socket(socket.SOCK_DGRAM)
    server.bind((INTERNET, 0))
    server.settimeout(0)
    resolver = Resolver(INTERNET, server.getsockname()[1])
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve() -> None:
        await loop.create_datagram_endpoint(lambda: zone, sock=server)
        sockets = open_dns_sockets(machine.network.plan.gateway)
        serving = asyncio.ensure_future(
            serve_policies(machine.network, sockets, lambda: [resolver])
        )
        ready.set()
        ended = asyncio.ensure_future(stop.wait())
        await asyncio.wait([serving, ended], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        ended.cancel()
        await asyncio.gather(serving, ended, return_exceptions=True)
        zone.transport.close()
        await asyncio.sleep(0)

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        # What is refused before the log is open is in no log.
        group = str(log_group(machine.network.plan))
        while thread.is_alive() and group not in machine.host.read(_LOGS):
            pass
        yield zone
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
