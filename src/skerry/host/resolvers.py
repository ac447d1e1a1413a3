"""Which DNS servers this machine asks (`man 5 resolv.conf`). Speaks to none of them."""

import ipaddress
import os
from typing import NamedTuple

_RESOLV_CONF = "/etc/resolv.conf"
# Where systemd-resolved keeps the servers that its stub stands in for.
_BEHIND_THE_STUB = "/run/systemd/resolve/resolv.conf"
_STUBS = {"127.0.0.53", "127.0.0.54"}
_PORT = 53
_SERVERS_MAX = 3  # as in the C library


class Resolver(NamedTuple):
    """One DNS server; the pair is what a socket connects to."""

    address: str
    port: int


def nameservers(resolv_conf: str) -> tuple[str, ...]:
    """Return the addresses of the first three servers that the text names."""
    found: list[str] = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_address(words[1]):
            found.append(words[1])
    return tuple(found[:_SERVERS_MAX])


class HostResolvers:
    """The servers of this machine, read again whenever the files that name them change."""

    def __init__(self, path: str = _RESOLV_CONF, behind_the_stub: str = _BEHIND_THE_STUB) -> None:
        self._path = path
        self._behind_the_stub = behind_the_stub
        self._state: object = None
        self._resolvers: tuple[Resolver, ...] = ()

    def __call__(self) -> tuple[Resolver, ...]:
        """Return the servers to ask, in order; none if the machine names none."""
        state = _state(self._path), _state(self._behind_the_stub)
        if state != self._state:
            addresses = nameservers(_text(self._path))
            if addresses and _STUBS.issuperset(addresses):
                # The stub also knows the names of this machine and of its neighbours, which are
                # no business of boxes; the servers behind it know those of the internet.
                addresses = nameservers(_text(self._behind_the_stub)) or addresses
            self._resolvers = tuple(Resolver(address, _PORT) for address in addresses)
            self._state = state
        return self._resolvers


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65_536)
    except OSError:
        return ""  # unreadable is as good as missing: no server is known, and boxes are told so
