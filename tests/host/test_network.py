"""The boxes' network, in real namespaces.

Each test's machine is a network namespace of its own, so that tests meet neither each other nor
the network of the machine that they run on. Boxes are processes with a user namespace, as LXC's
are; the test acts in a box through sockets that it makes there. That something does not arrive is
shown without waiting: what is sent after it on the same way arrives first.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv6Address

import pytest

from skerry.base import Conflict, Invalid, NotAvailable
from skerry.host import firewall, nftables
from skerry.host.dns import open_dns_sockets, serve_dns
from skerry.host.network import Network
from skerry.host.network_namespace import network_namespace_of
from skerry.host.resolvers import Resolver
from skerry.host.rtnetlink import RouteSocket, VethEnds
from tests.host.places import (
    CLOUD_METADATA,
    GATEWAY,
    INTERNET,
    MACHINE,
    PRIVATE,
    Machine,
    new_machine,
    port_of,
)

pytestmark = pytest.mark.machine


def test_a_box_reaches_the_internet_under_the_address_of_the_machine(machine: Machine):
    server = machine.internet.listen(INTERNET)

    machine.box(2).connect(INTERNET, port_of(server))

    assert machine.accept(server).getpeername()[0] == MACHINE


def test_a_box_pings_the_internet_without_privileges(machine: Machine):
    ping = machine.box(2).socket(socket.SOCK_DGRAM, socket.IPPROTO_ICMP)

    ping.sendto(struct.pack(">BBHHH", 8, 0, 0, 0, 1), (INTERNET, 0))

    answer, (sender, _) = ping.recvfrom(100)
    assert (answer[0], sender) == (0, INTERNET)


def test_a_box_has_its_address_and_the_way_out(machine: Machine):
    box = machine.box(0x1FF)

    with box.netlink() as inside:
        addresses = {str(found.address) for found in inside.addresses()}
        ways = {str(found.destination) for found in inside.routes()}

    assert addresses == {"127.0.0.1", "10.213.1.255"}
    assert {"0.0.0.0/0", "10.213.0.1/32"} <= ways


def test_a_box_asks_the_gateway_for_names(machine: Machine):
    server = machine.host.socket(socket.SOCK_DGRAM)
    server.bind((GATEWAY, 53))
    listener = machine.host.listen(GATEWAY, 53)
    box = machine.box(2)

    box.connect(GATEWAY, 53)
    box.socket(socket.SOCK_DGRAM).sendto(b"query", (GATEWAY, 53))

    assert machine.accept(listener).getpeername()[0] == "10.213.0.2"
    assert server.recvfrom(100)[1][0] == "10.213.0.2"


def test_a_box_gets_names_from_the_resolvers_of_the_machine(machine: Machine):
    query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1"
    server = machine.internet.socket(socket.SOCK_DGRAM)
    server.bind((INTERNET, 0))
    client = machine.box(2).socket(socket.SOCK_DGRAM)

    async def ask() -> bytes:
        async with serving_dns(machine.network, Resolver(INTERNET, port_of(server))):
            client.sendto(query, (GATEWAY, 53))
            asked, source = await asyncio.to_thread(server.recvfrom, 512)
            server.sendto(asked[:2] + b"\x81\x80" + asked[4:] + b"records", source)
            return await asyncio.to_thread(client.recv, 512)

    assert asyncio.run(ask()) == b"\x12\x34\x81\x80" + query[4:] + b"records"


@pytest.mark.parametrize("address", [GATEWAY, MACHINE])
def test_no_other_port_of_the_host_is_open_to_a_box(machine: Machine, address: str):
    server = machine.host.listen("0.0.0.0")

    assert machine.box(2).refusal(address, port_of(server)) == errno.EHOSTUNREACH


def test_names_are_answered_at_no_other_address_of_the_host(machine: Machine):
    machine.host.listen("0.0.0.0", 53)

    assert machine.box(2).refusal(MACHINE, 53) == errno.EHOSTUNREACH


@pytest.mark.parametrize("address", [PRIVATE, CLOUD_METADATA, "10.213.99.99", "10.1.2.3"])
def test_private_ranges_are_closed_to_a_box(machine: Machine, address: str):
    server = machine.internet.listen("0.0.0.0")

    assert machine.box(2).refusal(address, port_of(server)) == errno.EHOSTUNREACH


def test_a_private_range_that_the_owner_opens_is_open(machine: Machine):
    server = machine.internet.listen(PRIVATE)
    box = machine.box(2)

    machine.open(allowed_private=["192.168.7.0/24", "192.168.7.7/32"])

    box.connect(PRIVATE, port_of(server))
    assert box.refusal("192.168.8.7", port_of(server)) == errno.EHOSTUNREACH


@pytest.mark.parametrize("allowed", [[], ["10.0.0.0/8"]])
def test_a_box_does_not_reach_another(machine: Machine, allowed: list[str]):
    machine.open(allowed_private=allowed)
    other = machine.box(3)
    server = other.listen("10.213.0.3")

    assert machine.box(2).refusal("10.213.0.3", port_of(server)) == errno.EHOSTUNREACH


def test_the_host_reaches_a_box_from_the_gateway(machine: Machine):
    server = machine.box(2).listen("0.0.0.0")

    machine.host.connect("10.213.0.2", port_of(server))

    assert machine.accept(server).getpeername()[0] == GATEWAY


@pytest.mark.parametrize("claimed", ["10.213.0.3", "203.0.113.50", GATEWAY, MACHINE])
def test_packets_that_claim_another_sender_are_dropped(machine: Machine, claimed: str):
    receiver = machine.internet.socket(socket.SOCK_DGRAM)
    receiver.bind((INTERNET, 0))
    box = machine.box(2)
    machine.box(3)

    box.send_as(claimed, INTERNET, port_of(receiver), b"spoofed")
    box.send_as("10.213.0.2", INTERNET, port_of(receiver), b"honest")

    assert receiver.recv(100) == b"honest"


def test_nobody_outside_opens_a_connection_to_a_box(machine: Machine):
    receiver = machine.box(2).socket(socket.SOCK_DGRAM)
    receiver.bind(("0.0.0.0", 0))
    machine.internet.route("10.213.0.0/16", via=MACHINE)

    machine.internet.send_datagram("10.213.0.2", port_of(receiver), b"from outside")
    machine.host.send_datagram("10.213.0.2", port_of(receiver), b"from the host")

    assert receiver.recv(100) == b"from the host"


def test_nobody_outside_reaches_the_gateway(machine: Machine):
    receiver = machine.host.socket(socket.SOCK_DGRAM)
    receiver.bind(("0.0.0.0", 0))
    machine.internet.route("10.213.0.0/16", via=MACHINE)

    machine.internet.send_datagram(GATEWAY, port_of(receiver), b"to the gateway")
    machine.internet.send_datagram(MACHINE, port_of(receiver), b"to the machine")

    assert receiver.recv(100) == b"to the machine"


def test_a_box_has_ipv6_only_on_its_own_loopback(machine: Machine):
    box = machine.box(2)

    server = box.socket(socket.SOCK_STREAM, family=socket.AF_INET6)
    server.bind(("::1", 0))

    assert box.read("/proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1"
    assert box.read("/proc/thread-self/net/if_inet6").split()[-1] == "lo"
    assert machine.host.read("/proc/sys/net/ipv6/conf/sktest-2/disable_ipv6") == "1"


def test_ipv6_that_a_box_makes_by_hand_leads_nowhere(machine: Machine):
    box = machine.box(2)
    machine.host.write("/proc/sys/net/ipv6/conf/sktest-2/disable_ipv6", "0")
    receiver = machine.host.socket(socket.SOCK_DGRAM, family=socket.AF_INET6)
    receiver.bind(("::", 0))

    box.send_frame(ipv6_frame(port_of(receiver), b"with the rules"))
    nftables.run("flush ruleset\n")
    box.send_frame(ipv6_frame(port_of(receiver), b"without them"))

    assert receiver.recv(100) == b"without them"


def test_a_box_has_no_more_connections_than_it_may(machine: Machine):
    machine.open(connections_max=2)
    server = machine.internet.listen(INTERNET)
    box = machine.box(2)

    held = [box.connect(INTERNET, port_of(server)) for _ in range(2)]

    assert box.refusal(INTERNET, port_of(server)) == errno.EHOSTUNREACH
    machine.box(3).connect(INTERNET, port_of(server))
    assert len(held) == 2


def test_a_box_that_asks_without_end_leaves_the_others_their_turn(machine: Machine):
    server = machine.host.socket(socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, 33, 64 * 2**20)  # SO_RCVBUFFORCE: room for all of it
    server.bind((GATEWAY, 53))
    greedy = machine.box(2).socket(socket.SOCK_DGRAM)

    for _ in range(10_000):
        greedy.sendto(b"greedy", (GATEWAY, 53))
    machine.box(3).send_datagram(GATEWAY, 53, b"modest")

    arrived = [server.recv(100)]
    while arrived[-1] != b"modest":
        arrived.append(server.recv(100))
    assert 1000 < len(arrived) < 9_000


def test_the_connections_of_an_ended_box_are_forgotten(machine: Machine):
    server = machine.internet.listen(INTERNET)
    for slot in (2, 3):
        machine.box(slot).connect(INTERNET, port_of(server))

    machine.network.forget(2)

    remembered = machine.host.read("/proc/thread-self/net/nf_conntrack")
    assert "src=10.213.0.2 " not in remembered
    assert "src=10.213.0.3 " in remembered


def test_a_link_takes_the_packet_size_of_the_way_out(machine: Machine):
    box = machine.box(2)

    with box.netlink() as inside:
        link = inside.link("eth0")

    assert link is not None
    assert link.mtu_bytes == 1400


def test_attaching_again_keeps_the_link(machine: Machine):
    box = machine.box(2)
    before = box.link_index("eth0")

    address = machine.network.attach(box.pid, 2, "box_2")

    assert (str(address), box.link_index("eth0")) == ("10.213.0.2", before)


def test_a_half_made_link_is_replaced(machine: Machine):
    server = machine.internet.listen(INTERNET)
    box = machine.place()
    with RouteSocket() as host, network_namespace_of(box.pid) as namespace:
        ends = VethEnds("sktest-2", b"\x02\0\0\0\0\1", "eth0", b"\x02\0\0\0\0\2")
        host.create_veth(ends, namespace, 1500)

    machine.network.attach(box.pid, 2, "box_2")

    box.connect(INTERNET, port_of(server))


def test_a_box_that_has_another_eth0_is_told_of(machine: Machine):
    box = machine.place()
    with box.netlink() as inside:
        ends = VethEnds("eth0", b"\x02\0\0\0\0\1", "other", b"\x02\0\0\0\0\2")
        inside.create_veth(ends, box.namespace, 1500)

    with pytest.raises(NotAvailable, match="The network of box_2 could not be made") as caught:
        machine.network.attach(box.pid, 2, "box_2")

    assert caught.value.code == "network_unavailable"


def test_a_box_that_starts_again_gets_a_new_link(machine: Machine):
    server = machine.internet.listen(INTERNET)
    machine.box(2)  # still there, as a namespace that the kernel has not cleared away yet

    again = machine.box(2)

    again.connect(INTERNET, port_of(server))


@pytest.mark.parametrize("who", ["this process", "nobody"])
def test_a_process_that_is_no_box_is_refused(machine: Machine, who: str):
    pid = {"this process": os.getpid(), "nobody": 2**22}[who]

    with pytest.raises(Conflict, match="first, is gone") as caught:
        machine.network.attach(pid, 2, "box_2")

    assert caught.value.code == "box_not_running"
    assert machine.links() == {"lo", "up"}


def test_opening_again_changes_nothing_for_running_boxes(machine: Machine):
    server = machine.internet.listen(INTERNET)
    connection = machine.box(2).connect(INTERNET, port_of(server))
    far_end = machine.accept(server)

    machine.open()
    connection.send(b"still here")

    assert far_end.recv(100) == b"still here"


def test_opening_replaces_the_rules_of_another_version(machine: Machine):
    nftables.run("add chain inet skerry-test from_another_version\n")

    machine.open()

    assert "from_another_version" not in nftables.run("list ruleset\n")


@pytest.mark.usefixtures("machine")
def test_opening_with_another_range_moves_the_gateway():
    Network.open(instance="test", network="10.77.0.0/16")

    with RouteSocket() as host:
        gateways = [str(found.address) for found in host.addresses() if "test" in found.label]
    assert gateways == ["10.77.0.1"]


def test_two_instances_live_side_by_side(machine: Machine):
    other = Network.open(instance="testb", network="10.214.0.0/16")
    place = machine.place()
    other.attach(place.pid, 2, "box_2")
    server = place.listen("10.214.0.2")

    assert machine.box(2).refusal("10.214.0.2", port_of(server)) == errno.EHOSTUNREACH
    assert {"sktest-2", "sktestb-2"} <= machine.links()


@pytest.mark.parametrize("network", ["10.213.0.0/16", "192.168.0.0/16"])
def test_a_range_that_is_in_use_is_refused(machine: Machine, network: str):
    machine.host.route("192.168.7.0/24", via=INTERNET)

    with pytest.raises(Conflict, match="in use on this machine by") as caught:
        Network.open(instance="testb", network=network)

    assert caught.value.code == "network_taken"


def test_a_slot_beyond_the_range_is_refused(machine: Machine):
    small = Network.open(instance="testb", network="10.214.0.0/29")

    with pytest.raises(Invalid, match="no address left"):
        small.attach(machine.place().pid, 7, "box_7")


def test_sweeping_removes_the_links_of_boxes_that_are_gone(machine: Machine):
    for slot in (2, 3):
        machine.box(slot)

    assert machine.network.sweep({3}) == ["sktest-2"]
    assert machine.links() == {"lo", "up", "sktest-3"}


def test_rules_that_somebody_removed_are_put_back(machine: Machine):
    assert not machine.network.repair()
    nftables.run("flush ruleset\n")

    assert machine.network.repair()

    server = machine.host.listen("0.0.0.0")
    assert machine.box(2).refusal(MACHINE, port_of(server)) == errno.EHOSTUNREACH


def test_closing_leaves_no_trace(machine: Machine):
    machine.box(2)

    machine.network.close()
    machine.network.close()

    with RouteSocket() as host:
        assert GATEWAY not in {str(found.address) for found in host.addresses()}
    assert machine.links() == {"lo", "up"}
    assert nftables.run("list ruleset\n") == ""


def test_this_kernel_has_all_that_is_optional(machine: Machine):
    assert machine.network.missing == ()


@pytest.mark.parametrize("feature", [*firewall.REQUIRED_FEATURES, firewall.CONNECTION_LIMIT])
@pytest.mark.usefixtures("own_network")
def test_the_probe_of_a_feature_is_understood(feature: firewall.Feature):
    nftables.check(feature.commands)

    assert "skerry-probe" not in nftables.run("list tables\n")


# -- the machine, and what is sent --


@pytest.fixture
def machine(own_network: int) -> Iterator[Machine]:
    with new_machine(own_network) as made:
        yield made


@asynccontextmanager
async def serving_dns(network: Network, resolver: Resolver) -> AsyncGenerator[None]:
    sockets = open_dns_sockets(network.plan.gateway)
    serving = asyncio.create_task(serve_dns(sockets, network.plan.network, lambda: [resolver]))
    yield
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


def ipv6_frame(port: int, data: bytes) -> bytes:
    """Return a datagram from a link-local address to all hosts of the link, as it is on the link."""
    sender, everybody = IPv6Address("fe80::5").packed, IPv6Address("ff02::1").packed
    length = 8 + len(data)

    def datagram(checksum: int) -> bytes:
        return struct.pack(">HHHH", 4444, port, length, checksum) + data

    pseudo = sender + everybody + struct.pack(">II", length, socket.IPPROTO_UDP) + datagram(0)
    words = struct.unpack(f">{(len(pseudo) + 1) // 2}H", pseudo + bytes(len(pseudo) % 2))
    header = struct.pack(">IHBB", 6 << 28, length, socket.IPPROTO_UDP, 255) + sender + everybody
    ethernet = bytes.fromhex("333300000001 020000000005 86dd")
    return ethernet + header + datagram(0xFFFF - (sum(words) % 0xFFFF))
