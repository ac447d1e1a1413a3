"""Links, addresses, routes and neighbours of one network namespace (`man 7 rtnetlink`).

One request costs about 0.05 ms where an `ip` command costs 3. Numbers that stand bare in a call
are the kernel's, from linux/if_link.h, if_addr.h, rtnetlink.h and neighbour.h; the names beside
them can be looked up there. What the links are for, this file does not know.
"""

import errno
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from skerry.host.netlink import (
    FLAG_CREATE,
    FLAG_EXCLUSIVE,
    FLAG_REPLACE,
    Netlink,
    attribute,
    attributes_in,
    nested_attribute,
    number_attribute,
    number_in,
    text_attribute,
    text_in,
)

SCOPE_GLOBAL, SCOPE_LINK, SCOPE_HOST = 0, 253, 254

_NETLINK_ROUTE = 0
_NEW_LINK, _DELETE_LINK, _GET_LINK, _SET_LINK = 16, 17, 18, 19
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _GET_ROUTE = 24, 26
_NEW_NEIGHBOUR = 28

_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, which flags change
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=8BI")  # family, dst, src, tos, table, protocol, scope, type, flags
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type

_LINK_UP = 1
_OPERATIONAL = bytes([6])  # IF_OPER_UP
_TABLE_MAIN = 254
_PROTOCOL_STATIC = 4
_TYPE_UNICAST = 1
_STATE_PERMANENT = 0x80


@dataclass(frozen=True, slots=True)
class Link:
    """One network interface. passing: it is up, so is its far end, and packets get through."""

    index: int
    name: str
    mtu_bytes: int
    passing: bool
    alias: str


@dataclass(frozen=True, slots=True)
class Address:
    """One IPv4 address of a link. label: a note that the kernel keeps with it."""

    link_index: int
    address: IPv4Address
    prefix_length: int
    label: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets to destination leave; link_index is 0 where no one link is named."""

    destination: IPv4Network
    link_index: int


class RouteSocket(Netlink):
    """A netlink socket for the links of the calling thread's network namespace.

    Every method raises OSError with the kernel's errno and explanation.
    """

    def __init__(self) -> None:
        super().__init__(_NETLINK_ROUTE)

    def create_veth(self, ends: "VethEnds", peer_namespace: int, mtu_bytes: int) -> None:
        """Create a pair of links, both down: one here, one in the namespace of the descriptor.

        Raises FileExistsError if either name is taken.
        """
        peer = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + b"".join(
            (
                text_attribute(3, ends.peer_name),
                attribute(1, ends.peer_mac),
                number_attribute(4, mtu_bytes),
                number_attribute(28, peer_namespace),  # IFLA_NET_NS_FD
            )
        )
        body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + b"".join(
            (
                text_attribute(3, ends.name),  # IFLA_IFNAME
                attribute(1, ends.mac),  # IFLA_ADDRESS
                number_attribute(4, mtu_bytes),  # IFLA_MTU
                # IFLA_LINKINFO > IFLA_INFO_KIND, IFLA_INFO_DATA > VETH_INFO_PEER
                nested_attribute(
                    18, text_attribute(1, "veth"), nested_attribute(2, nested_attribute(1, peer))
                ),
            )
        )
        self.request(_NEW_LINK, body, FLAG_CREATE | FLAG_EXCLUSIVE)

    def set_link_up(self, index: int, ipv4_settings: Mapping[int, int] | None = None) -> None:
        """Bring a link up.

        ipv4_settings: what goes to the link's net.ipv4.conf first, by number (IPV4_DEVCONF of
        linux/ip.h); one message in place of a file each.
        """
        body = _LINK.pack(socket.AF_UNSPEC, 0, index, _LINK_UP, _LINK_UP)
        if ipv4_settings:
            values = (number_attribute(kind, value) for kind, value in ipv4_settings.items())
            # IFLA_AF_SPEC > AF_INET > IFLA_INET_CONF
            body += nested_attribute(
                26, nested_attribute(socket.AF_INET, nested_attribute(1, *values))
            )
        self.request(_SET_LINK, body)

    def set_link_alias(self, index: int, alias: str) -> None:
        """Attach a note to a link, of at most 255 bytes, that `ip link` shows."""
        body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        self.request(_SET_LINK, body + text_attribute(20, alias))  # IFLA_IFALIAS

    def delete_link(self, index: int) -> None:
        """Delete a link, and its peer with it; takes 10 to 40 ms. That it is gone is fine."""
        try:
            self.request(_DELETE_LINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def links(self) -> list[Link]:
        """Return all links."""
        header = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        return [_link(body) for body in self.dump(_GET_LINK, header)]

    def link(self, name: str) -> Link | None:
        """Return the link of that name, None if there is none."""
        return self._found_link(0, text_attribute(3, name))  # IFLA_IFNAME

    def link_at(self, index: int) -> Link | None:
        """Return the link of that index, None if there is none."""
        return self._found_link(index, b"")

    def _found_link(self, index: int, name: bytes) -> Link | None:
        header = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        try:
            return _link(self.request(_GET_LINK, header + name)[0])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def add_address(
        self, index: int, address: IPv4Address, *, scope: int = SCOPE_GLOBAL, label: str = ""
    ) -> None:
        """Give a link the address with a prefix of 32 bits; that it has it already is fine."""
        header = _ADDRESS.pack(socket.AF_INET, 32, 0, scope, index)
        body = attribute(2, address.packed) + attribute(1, address.packed)  # IFA_LOCAL, _ADDRESS
        if label:
            body += text_attribute(3, label)  # IFA_LABEL
        self.request(_NEW_ADDRESS, header + body, FLAG_CREATE | FLAG_REPLACE)

    def delete_address(self, index: int, address: IPv4Address) -> None:
        """Take an address with a prefix of 32 bits from a link; that it has none is fine."""
        header = _ADDRESS.pack(socket.AF_INET, 32, 0, 0, index)
        try:
            self.request(_DELETE_ADDRESS, header + attribute(2, address.packed))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise

    def addresses(self) -> list[Address]:
        """Return all IPv4 addresses."""
        header = _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
        return [_address(body) for body in self.dump(_GET_ADDRESS, header)]

    def add_route(
        self,
        index: int,
        destination: IPv4Network,
        *,
        gateway: IPv4Address | None = None,
        source: IPv4Address | None = None,
    ) -> None:
        """Route destination to a link, straight or through gateway, in place of such a route.

        source: the address that this machine's own packets to there carry.
        """
        scope = SCOPE_LINK if gateway is None else SCOPE_GLOBAL
        body = _ROUTE.pack(
            socket.AF_INET, destination.prefixlen, 0, 0,
            _TABLE_MAIN, _PROTOCOL_STATIC, scope, _TYPE_UNICAST, 0,
        )  # fmt: skip
        if destination.prefixlen:
            body += attribute(1, destination.network_address.packed)  # RTA_DST
        body += number_attribute(4, index)  # RTA_OIF
        if gateway is not None:
            body += attribute(5, gateway.packed)  # RTA_GATEWAY
        if source is not None:
            body += attribute(7, source.packed)  # RTA_PREFSRC
        self.request(_NEW_ROUTE, body, FLAG_CREATE | FLAG_REPLACE)

    def routes(self) -> list[Route]:
        """Return the IPv4 routes of all tables, the kernel's own for local addresses included."""
        header = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        return [_route(body) for body in self.dump(_GET_ROUTE, header)]

    def route_to(self, address: IPv4Address) -> Route | None:
        """Return the route that this machine's packets to address take, None if there is none."""
        header = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
        try:
            answers = self.request(_GET_ROUTE, header + attribute(1, address.packed))
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                return None
            raise
        return _route(answers[0])

    def add_neighbour(self, index: int, address: IPv4Address, mac: bytes) -> None:
        """State for good which MAC address an address on a link has, so that nobody need ask."""
        header = _NEIGHBOUR.pack(socket.AF_INET, index, _STATE_PERMANENT, 0, 0)
        body = attribute(1, address.packed) + attribute(2, mac)  # NDA_DST, NDA_LLADDR
        self.request(_NEW_NEIGHBOUR, header + body, FLAG_CREATE | FLAG_REPLACE)


@dataclass(frozen=True, slots=True)
class VethEnds:
    """The names and MAC addresses (6 bytes) of the two ends of a pair of links."""

    name: str
    mac: bytes
    peer_name: str
    peer_mac: bytes


def _link(body: bytes) -> Link:
    _, _, index, _, _ = _LINK.unpack_from(body)
    found = attributes_in(body, _LINK.size)
    return Link(
        index=index,
        name=text_in(found, 3),
        mtu_bytes=number_in(found, 4),
        passing=found.get(16) == _OPERATIONAL,  # IFLA_OPERSTATE
        alias=text_in(found, 20),
    )


def _address(body: bytes) -> Address:
    _, prefix_length, _, _, index = _ADDRESS.unpack_from(body)
    found = attributes_in(body, _ADDRESS.size)
    # IFA_LOCAL is missing only where there is no far end to tell it from.
    packed = found.get(2, found.get(1, bytes(4)))
    return Address(index, IPv4Address(packed), prefix_length, text_in(found, 3))


def _route(body: bytes) -> Route:
    prefix_length = _ROUTE.unpack_from(body)[1]
    found = attributes_in(body, _ROUTE.size)
    destination = IPv4Network((found.get(1, bytes(4)), prefix_length))
    return Route(destination, number_in(found, 4))
