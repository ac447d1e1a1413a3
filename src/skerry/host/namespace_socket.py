"""Sockets that live in the network namespace of a box, made from outside it."""

import socket

from skerry.base import Conflict
from skerry.host.monitors import still_runs
from skerry.host.network_namespace import in_network_namespace, network_namespace_of
from skerry.host.seam import Running


def stream_socket(first: Running, family: socket.AddressFamily) -> socket.socket:
    """Return a TCP socket that does not block, in the network of a box's first process.

    It stays there, whatever becomes of the process. Raises Conflict(box_not_running) if the process
    is gone, also where its number belongs to another one now.
    """
    with network_namespace_of(first.init_pid) as namespace:
        # Asked after the namespace was opened: now it is that of this process for sure.
        if not still_runs(first):
            raise Conflict("box_not_running", "The box was stopped just now. Start it again.")
        made = in_network_namespace(namespace, lambda: socket.socket(family, socket.SOCK_STREAM))
    made.settimeout(0)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made
