"""The netlink client, on the empty network of a new namespace."""

import errno
import os
import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.host.netlink import attribute, attributes_in, nested_attribute, number_in, text_in
from skerry.host.rtnetlink import SCOPE_HOST, Address, Route, RouteSocket, VethEnds

ENDS = VethEnds("left", b"\x02\0\0\0\0\1", "right", b"\x02\0\0\0\0\2")
ADDRESS = IPv4Address("10.9.0.1")


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_come_back_as_they_went(found: dict[int, bytes]):
    body = b"head" + b"".join(attribute(kind, payload) for kind, payload in found.items())

    assert len(body) % 4 == 0
    assert attributes_in(body, 4) == found


def test_attributes_hold_attributes():
    body = nested_attribute(3, attribute(1, b"text\0"), attribute(2, b"\1\0\0\0"))

    inside = attributes_in(attributes_in(body, 0)[3], 0)

    assert text_in(inside, 1) == "text"
    assert number_in(inside, 2) == 1
    assert (text_in(inside, 9), number_in(inside, 9)) == ("", 0)


@pytest.mark.machine
def test_a_pair_of_links_is_made_and_passes_packets(own_network: int):
    with RouteSocket() as route:
        route.create_veth(ENDS, own_network, 1234)
        for name in ("left", "right"):
            route.set_link_up(socket.if_nametoindex(name))
        route.set_link_alias(socket.if_nametoindex("left"), "a note")

        left = route.link("left")

    assert left is not None
    assert (left.name, left.mtu_bytes, left.alias) == ("left", 1234, "a note")


@pytest.mark.machine
def test_settings_of_a_link_are_set(own_network: int):
    with RouteSocket() as route:
        route.create_veth(ENDS, own_network, 1500)
        route.set_link_up(socket.if_nametoindex("left"), {8: 1, 19: 8})

    settings = Path("/proc/sys/net/ipv4/conf/left")
    assert (settings / "rp_filter").read_text() == "1\n"
    assert (settings / "arp_ignore").read_text() == "8\n"


@pytest.mark.machine
def test_a_name_that_is_taken_is_refused(own_network: int):
    with RouteSocket() as route:
        route.create_veth(ENDS, own_network, 1500)

        with pytest.raises(FileExistsError):
            route.create_veth(ENDS, own_network, 1500)


@pytest.mark.machine
def test_deleting_a_link_takes_its_far_end_too(own_network: int):
    with RouteSocket() as route:
        route.create_veth(ENDS, own_network, 1500)
        index = socket.if_nametoindex("left")

        route.delete_link(index)
        route.delete_link(index)

        assert [link.name for link in route.links()] == ["lo"]
        assert route.link("left") is None
        assert route.link_at(index) is None


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_addresses_are_added_listed_and_deleted():
    with RouteSocket() as route:
        for _ in range(2):
            route.add_address(1, ADDRESS, scope=SCOPE_HOST, label="lo:mine")
        listed = route.addresses()
        for _ in range(2):
            route.delete_address(1, ADDRESS)

        assert listed == [Address(1, ADDRESS, 32, "lo:mine")]
        assert route.addresses() == []


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_routes_are_added_listed_and_looked_up():
    everywhere = IPv4Network("0.0.0.0/0")
    with RouteSocket() as route:
        assert route.route_to(IPv4Address("203.0.113.9")) is None
        route.set_link_up(1)
        route.add_route(1, IPv4Network("10.9.0.0/24"))
        route.add_route(1, everywhere, gateway=IPv4Address("10.9.0.7"))

        found = route.route_to(IPv4Address("203.0.113.9"))

        assert found is not None
        assert found.link_index == 1
        assert {Route(everywhere, 1), Route(IPv4Network("10.9.0.0/24"), 1)} <= set(route.routes())


@pytest.mark.machine
@pytest.mark.usefixtures("own_network")
def test_the_kernel_says_why_it_refuses():
    with RouteSocket() as route:
        route.set_link_up(1)

        with pytest.raises(OSError, match="gateway") as caught:
            route.add_route(1, IPv4Network("0.0.0.0/0"), gateway=IPv4Address("203.0.113.1"))

    assert caught.value.errno == errno.ENETUNREACH
    assert caught.value.strerror != os.strerror(errno.ENETUNREACH)


@pytest.mark.machine
def test_a_list_longer_than_one_message_comes_whole(own_network: int):
    with RouteSocket() as route:
        for number in range(60):
            ends = VethEnds(f"l{number}", ENDS.mac, f"r{number}", ENDS.peer_mac)
            route.create_veth(ends, own_network, 1500)

        assert len(route.links()) == 121
