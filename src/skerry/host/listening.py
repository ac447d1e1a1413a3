"""Which TCP ports of a box something listens on, as the kernel tells inside its network.

By `sock_diag(7)`, asked for listening sockets alone. /proc/PID/net/tcp tells the same, but for each
read the kernel walks the table of all connections of the machine, which takes milliseconds.
"""

import ipaddress
import socket
import struct

from skerry.base import Conflict
from skerry.host.monitors import still_runs
from skerry.host.netlink import Netlink
from skerry.host.network_namespace import in_network_namespace, network_namespace_of
from skerry.host.seam import Running

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_LISTENING = 1 << 10  # TCP_LISTEN of the kernel's tcp_states.h
# inet_diag_req_v2: family, protocol, extensions, padding, states; the rest names no socket.
_REQUEST = struct.Struct("=BBBBI48x")
# inet_diag_msg: family, state, timer, retransmissions, then port (big-endian) and address.
_MESSAGE = struct.Struct("=BBBB")
_PORT_AT, _ADDRESS_AT = 4, 8
_PORTS_MAX = 1000  # a box may listen on all of them; whoever watches is told of so many


def listening_ports(first: Running) -> dict[int, str]:
    """Return the ports of a box that listen, and on which address; none where it is gone.

    first: its first process. A port of several addresses is told with one that the box's own
    localhost reaches, if there is one. Blocks for a fraction of a millisecond.
    """
    try:
        with network_namespace_of(first.init_pid) as namespace:
            # Asked after the namespace was opened: now it is that of this process for sure.
            if not still_runs(first):
                return {}
            messages = in_network_namespace(namespace, _ask)
    except Conflict:
        return {}
    found: dict[int, str] = {}
    for message in messages:
        family, *_ = _MESSAGE.unpack_from(message)
        (port,) = struct.unpack_from(">H", message, _PORT_AT)
        size = 4 if family == socket.AF_INET else 16
        address = str(ipaddress.ip_address(message[_ADDRESS_AT : _ADDRESS_AT + size]))
        if (port in found or len(found) < _PORTS_MAX) and not _is_local(found.get(port)):
            found[port] = address
    return found


def _ask() -> list[bytes]:
    with Netlink(_NETLINK_SOCK_DIAG) as kernel:
        return [
            message
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in kernel.dump(
                _SOCK_DIAG_BY_FAMILY,
                _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTENING),
            )
        ]


def _is_local(address: str | None) -> bool:
    if address is None:
        return False
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_unspecified
