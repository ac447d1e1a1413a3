"""A machine, its boxes and the internet, as network namespaces; what tests of the network share.

The test's own thread must be in a namespace of its own (the fixture `own_network`). Boxes are
processes with a user namespace, as LXC's are; a test acts in a box through sockets that it makes
there.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from skerry.host.network import Network
from skerry.host.network_namespace import in_network_namespace, network_namespace_of
from skerry.host.policy_walls import GivenTime
from skerry.host.rtnetlink import RouteSocket, VethEnds

GATEWAY = "10.213.0.1"
MACHINE = "198.51.100.1"
INTERNET = "198.51.100.9"
PRIVATE = "192.168.7.7"
CLOUD_METADATA = "169.254.169.254"


@dataclass
class Place:
    """A network namespace to make sockets in; all are closed with the machine."""

    pid: int
    namespace: int
    resources: ExitStack

    def socket(self, kind: int, protocol: int = 0, family: int = socket.AF_INET) -> socket.socket:
        made = in_network_namespace(self.namespace, lambda: socket.socket(family, kind, protocol))
        made.settimeout(10)
        return self.resources.enter_context(made)

    def listen(self, address: str, port: int = 0) -> socket.socket:
        server = self.socket(socket.SOCK_STREAM)
        server.bind((address, port))
        server.listen()
        return server

    def connect(self, address: str, port: int) -> socket.socket:
        client = self.socket(socket.SOCK_STREAM)
        client.connect((address, port))
        return client

    def refusal(self, address: str, port: int) -> int | None:
        """Return the errno that connecting ends in, None where it succeeds."""
        try:
            self.connect(address, port)
        except OSError as error:
            return error.errno
        return None

    def send_datagram(self, address: str, port: int, data: bytes) -> None:
        self.socket(socket.SOCK_DGRAM).sendto(data, (address, port))

    def send_as(self, sender: str, address: str, port: int, data: bytes) -> None:
        """Send a datagram whose header names any sender."""
        datagram = struct.pack(">HHHH", 4444, port, 8 + len(data), 0) + data
        header = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, socket.IPPROTO_UDP, 0,
            IPv4Address(sender).packed, IPv4Address(address).packed,
        )  # fmt: skip
        raw = self.socket(socket.SOCK_RAW, socket.IPPROTO_RAW)
        raw.sendto(header + datagram, (address, 0))

    def send_frame(self, frame: bytes) -> None:
        link = self.socket(socket.SOCK_RAW, family=socket.AF_PACKET)
        link.bind(("eth0", 0))
        link.send(frame)

    def netlink(self) -> RouteSocket:
        return in_network_namespace(self.namespace, RouteSocket)

    def link_index(self, name: str) -> int:
        return in_network_namespace(self.namespace, lambda: socket.if_nametoindex(name))

    def route(self, network: str, via: str) -> None:
        with self.netlink() as inside:
            way = inside.route_to(IPv4Address(via))
            assert way is not None
            inside.add_route(way.link_index, IPv4Network(network), gateway=IPv4Address(via))

    def read(self, path: str) -> str:
        return in_network_namespace(self.namespace, lambda: Path(path).read_text().strip())

    def write(self, path: str, text: str) -> None:
        in_network_namespace(self.namespace, lambda: Path(path).write_text(text))


@dataclass
class Machine:
    host: Place
    internet: Place
    network: Network
    resources: ExitStack

    def open(
        self,
        *,
        allowed_private: list[str] | None = None,
        connections_max: int = 4096,
        given_time: GivenTime | None = None,
    ):
        self.network = Network.open(
            instance="test",
            network="10.213.0.0/16",
            allowed_private=allowed_private or [],
            connections_max=connections_max,
            given_time=given_time or GivenTime(),
        )

    def place(self) -> Place:
        return self.resources.enter_context(
            new_place(self.resources, ["--user", "--map-root-user"])
        )

    def box(self, slot: int) -> Place:
        box = self.place()
        self.network.attach(box.pid, slot, f"box_{slot}")
        return box

    def accept(self, server: socket.socket) -> socket.socket:
        connection, _ = server.accept()
        connection.settimeout(10)
        return self.resources.enter_context(connection)

    def links(self) -> set[str]:
        with RouteSocket() as host:
            return {link.name for link in host.links()}


@contextmanager
def new_machine(own_network: int) -> Generator[Machine]:
    """Make the machine in the namespace of the descriptor, which the calling thread is in."""
    with ExitStack() as resources:
        host = Place(os.getpid(), own_network, resources)
        internet = resources.enter_context(new_place(resources, []))
        connect_to_internet(internet)
        network = Network.open(instance="test", network="10.213.0.0/16")
        yield Machine(host, internet, network, resources)


@contextmanager
def new_place(resources: ExitStack, options: list[str]) -> Generator[Place]:
    """Start a process in a new network namespace; it ends with the test, even a killed one."""
    process = subprocess.Popen(
        ["unshare", "--net", *options, "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with network_namespace_of(process.pid) as namespace, suppress(BrokenPipeError):
            yield Place(process.pid, namespace, resources)


def connect_to_internet(internet: Place) -> None:
    with RouteSocket() as host, internet.netlink() as outside:
        ends = VethEnds("up", b"\x02\0\0\0\0\1", "down", b"\x02\0\0\0\0\2")
        host.create_veth(ends, internet.namespace, 1400)
        down = internet.link_index("down")
        outside.set_link_up(1)
        outside.set_link_up(down)
        for address in (INTERNET, PRIVATE, CLOUD_METADATA, "10.1.2.3"):
            outside.add_address(down, IPv4Address(address))
        outside.add_route(down, IPv4Network(MACHINE))
        up = socket.if_nametoindex("up")
        host.set_link_up(1)
        host.set_link_up(up)
        host.add_address(up, IPv4Address(MACHINE))
        host.add_route(up, IPv4Network(INTERNET))
        host.add_route(up, IPv4Network("0.0.0.0/0"), gateway=IPv4Address(INTERNET))


def port_of(server: socket.socket) -> int:
    return server.getsockname()[1]
