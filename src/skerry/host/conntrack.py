"""The kernel's memory of connections (ctnetlink, linux/netfilter/nfnetlink_conntrack.h).

Which addresses belong to boxes, this file does not know.
"""

import errno
import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address

from skerry.host.netlink import (
    Netlink,
    attribute,
    attributes_in,
    nested_attribute,
    number_attribute,
)

_NETLINK_NETFILTER = 12
_SUBSYSTEM_CONNTRACK = 1 << 8
_GET, _DELETE, _STATISTICS = (_SUBSYSTEM_CONNTRACK | number for number in (1, 2, 5))
_GENERAL = struct.Struct(">BBH")  # family, version, resource

_TUPLE_ORIGINAL, _FILTER = 1, 25
_TUPLE_ADDRESSES = 1
_SOURCE, _DESTINATION = 1, 2
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_FILTER_BY_SOURCE = 1


def can_forget_connections() -> bool:
    """Return whether the kernel lets connections be listed and forgotten."""
    with Netlink(_NETLINK_NETFILTER) as netlink:
        try:
            netlink.request(_STATISTICS, _GENERAL.pack(socket.AF_INET, 0, 0))
        except OSError as error:
            # What a kernel without CONFIG_NF_CT_NETLINK says, old and new.
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
                return False
            raise
    return True


def forget_connections(source: IPv4Address, spared: Collection[IPv4Address] = frozenset()) -> int:
    """Make the kernel forget the connections that source opened; return how many there were.

    Those to an address in spared are left alone, which should be a set. Packets that still arrive for them then reach nobody, not even a later owner of the address.
    Of the calling thread's network namespace. Takes 10 ms where the kernel's table has 262,144
    places, for it looks at each, and 0.01 ms for each connection. Raises OSError.
    """
    general = _GENERAL.pack(socket.AF_INET, 0, 0)
    wanted = attribute(_SOURCE, source.packed)
    request = b"".join(
        (
            general,
            nested_attribute(_TUPLE_ORIGINAL, nested_attribute(_TUPLE_ADDRESSES, wanted)),
            nested_attribute(
                _FILTER,
                number_attribute(_FILTER_ORIGINAL, _FILTER_BY_SOURCE),
                number_attribute(_FILTER_REPLY, 0),
            ),
        )
    )
    forgotten = 0
    with Netlink(_NETLINK_NETFILTER) as netlink:
        # Listed and then deleted one by one: deleting by filter is not in Debian 12's kernel.
        for body in netlink.dump(_GET, request):
            original = attributes_in(body, _GENERAL.size)[_TUPLE_ORIGINAL]
            addresses = attributes_in(attributes_in(original, 0).get(_TUPLE_ADDRESSES, b""), 0)
            if addresses.get(_SOURCE) != source.packed:
                continue  # a kernel before 5.8 lists everybody's
            if spared and IPv4Address(addresses[_DESTINATION]) in spared:
                continue
            try:
                netlink.request(_DELETE, general + nested_attribute(_TUPLE_ORIGINAL, original))
            except OSError as error:
                if error.errno != errno.ENOENT:  # it ended by itself meanwhile
                    raise
            forgotten += 1
    return forgotten
