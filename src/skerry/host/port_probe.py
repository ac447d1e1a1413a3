"""Whether something in a box answers at a port: on the box's own localhost, from inside it."""

import socket

from skerry.base import Conflict
from skerry.host.network_namespace import in_network_namespace, network_namespace_of

_WAIT_S = 1.0
_HEAD_BYTES = 64


def answers(init_pid: int, port: int, path: str | None) -> bool:
    """Tell whether a port of a box listens; with a path, whether it answers that below 400.

    init_pid: the box's first process. Blocks, for a second at most.
    """
    try:
        with network_namespace_of(init_pid) as namespace:
            return in_network_namespace(namespace, lambda: _probe(port, path))
    except (OSError, Conflict):
        return False


def _probe(port: int, path: str | None) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=_WAIT_S) as connection:
        if path is None:
            return True
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        head = b""
        while len(head) < _HEAD_BYTES and b"\r\n" not in head:
            data = connection.recv(_HEAD_BYTES)
            if not data:
                break
            head += data
    words = head.split(b" ")
    return head.startswith(b"HTTP/1.") and words[1][:1] in (b"2", b"3")
