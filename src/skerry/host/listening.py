"""Which TCP ports of a box something listens on, as the kernel tells inside its network."""

import ipaddress
import socket
from collections.abc import Iterator

from skerry.host.monitors import still_runs
from skerry.host.seam import Running

_LISTEN = b"0A"  # TCP_LISTEN of the kernel's tcp_states.h
_PORTS_MAX = 1000  # a box may listen on all of them; whoever watches is told of so many


def listening_ports(first: Running) -> dict[int, str]:
    """Return the ports of a box that listen, and on which address; none where it is gone.

    first: its first process. A port of several addresses is told with one that the box's own
    localhost reaches, if there is one.
    """
    found: dict[int, str] = {}
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{first.init_pid}/net/{name}", "rb") as file:
                # Asked after it was opened: now it is that of this process for sure.
                if not still_runs(first):
                    return {}
                for port, address in _listeners(file):
                    if len(found) < _PORTS_MAX and not _is_local(found.get(port)):
                        found[port] = address
        except (FileNotFoundError, ProcessLookupError):
            return {}
    return found


def _listeners(lines: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    next(lines, None)
    for line in lines:
        words = line.split()
        if words[3] != _LISTEN:
            return  # the kernel tells those that listen first, and there may be many others
        address, _, port = words[1].partition(b":")
        yield int(port, 16), _address(address)


def _address(text: bytes) -> str:
    # Words of 32 bits, each in the machine's own order.
    words = [bytes.fromhex(text[at : at + 8].decode()) for at in range(0, len(text), 8)]
    packed = b"".join(
        socket.ntohl(int.from_bytes(word, "big")).to_bytes(4, "big") for word in words
    )
    return str(ipaddress.ip_address(packed))


def _is_local(address: str | None) -> bool:
    if address is None:
        return False
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_unspecified
