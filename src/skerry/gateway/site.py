"""What the gateway knows and counts: boxes, tokens, limits, connections, time.

One object that every connection shares. It speaks to nobody: control messages are put into it, and
what is to be told is read from it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Protocol

from skerry.base import Clock
from skerry.gateway.access_log import AccessLog
from skerry.gateway.control import Box, Limits, Table, Token, Traffic, Woken
from skerry.gateway.routes import Routes
from skerry.host.seam import Running

if TYPE_CHECKING:
    from collections.abc import Iterable

_MINUTE_NS = 60 * 10**9
_FAILED_CLIENTS_MAX = 10_000


class Expiring(Protocol):
    """A connection that does not wait for ever: to a client or to a box."""

    deadline_ns: int

    def expire(self) -> None:
        """Do what is to be done at the deadline."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class Client(Expiring, Protocol):
    """A connection to a client."""

    def look_again(self) -> None:
        """Look whether what is under way is still allowed: access or tokens have changed."""
        ...


class Open(Protocol):
    """Something under way with a box: an exchange, a tunnel, or a caller that waits."""

    def box_gone(self) -> None:
        """End, for the box is no more."""
        ...


class Idle(Protocol):
    """An unused connection to a box."""

    def close(self) -> None:
        """Close it."""
        ...


class BoxState:
    """A box and what the gateway has to do with it. pools: unused connections by port.

    listen_until_ns: so long may its ports be closed because its programs have only begun.
    listening: those that were found open since.
    """

    __slots__ = (
        "awake", "box", "bytes_in", "bytes_out", "first", "is_changed", "listen_until_ns",
        "listening", "open", "pools", "requests", "wake_error",
    )  # fmt: skip

    def __init__(self, box: Box) -> None:
        self.box = box
        self.awake = box.awake
        self.first = Running(box.pid, box.started_ticks)
        self.listen_until_ns = 0
        self.listening: set[int] = set()
        self.open: set[Open] = set()
        self.pools: dict[int, list[Idle]] = {}
        self.requests = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.is_changed = False
        self.wake_error: str | None = None

    def begin(self, exchange: Open) -> None:
        """Count an exchange that begins."""
        self.open.add(exchange)
        self.requests += 1
        self.is_changed = True

    def end(self, exchange: Open) -> None:
        """Count that it has ended."""
        self.open.discard(exchange)
        self.is_changed = True

    def close_idle(self) -> None:
        """Close all unused connections."""
        pools, self.pools = self.pools, {}
        for pool in pools.values():
            for connection in pool:
                connection.close()


def peer_of(transport: asyncio.BaseTransport) -> bytes:
    """Return the address of who has connected: one of version 4 as such, though it came by 6."""
    address: tuple[str, int] | None = transport.get_extra_info("peername")
    if address is None:
        return b""
    shorter = address[0].removeprefix("::ffff:")
    return (shorter if "." in shorter else address[0]).encode()


class Site:
    """The gateway's state. now_ns and wall_ns are as old as the last `tick`."""

    def __init__(self, base_domain: str, clock: Clock, log: AccessLog | None = None) -> None:
        self._clock = clock
        self.routes = Routes(base_domain)
        self._trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
        self._failed_logins: dict[bytes, int] = {}
        self._failed_since_ns = 0
        self.log = log
        self.limits = Limits()
        self.boxes: dict[str, BoxState] = {}
        self.tokens: dict[str, Token] = {}
        self.cookie_key = b""
        self.cookie_ns = 0
        self.login_url = ""
        self.version = 0
        self.has_table = False
        self.is_stopping = False
        self.clients: set[Client] = set()
        self.upstreams: set[Expiring] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.per_client: dict[bytes, int] = {}
        self.now_ns = 0
        self.wall_ns = 0
        self.tick()

    def enter(self, client: Client, peer: bytes) -> bool:
        """Count a client that has connected; tell whether its address has too many of them."""
        self.clients.add(client)
        count = self.per_client[peer] = self.per_client.get(peer, 0) + 1
        return count > self.limits.connections_per_client_max

    def leave(self, client: Client, peer: bytes) -> None:
        """Count that a client has gone."""
        self.clients.discard(client)
        left = self.per_client[peer] - 1
        if left:
            self.per_client[peer] = left
        else:
            del self.per_client[peer]

    def tick(self) -> None:
        """Read the clock, and end what is past its deadline."""
        self.now_ns = now_ns = self._clock.monotonic_ns()
        self.wall_ns = self._clock.now_ns()
        for connections in (self.clients, self.upstreams):
            for late in [each for each in connections if each.deadline_ns < now_ns]:
                late.expire()

    def precise_ns(self) -> int:
        """Return what now_ns would be if it were read now."""
        return self._clock.monotonic_ns()

    def replace(self, table: Table) -> None:
        """Know what the table says, and nothing else."""
        self.limits = table.limits
        self.cookie_key = table.cookie_key
        self.cookie_ns = table.cookie_ns
        self.login_url = table.login_url
        self._trusted = tuple(
            ipaddress.ip_network(text, strict=False) for text in table.trusted_proxies
        )
        self.put_tokens(table.tokens)
        for box_id in self.boxes.keys() - {box.box_id for box in table.boxes}:
            self.remove(box_id)
        for box in table.boxes:
            self.put(box)
        self.has_table = True

    def put_tokens(self, tokens: Iterable[Token]) -> None:
        """Know these tokens and no others."""
        self.tokens = {token.token_id: token for token in tokens}
        self.version += 1
        self._look_again()

    def put(self, box: Box) -> None:
        """Know a box, or what it is now."""
        self.routes.put(box)
        self.version += 1
        state = self.boxes.get(box.box_id)
        if state is None:
            self.boxes[box.box_id] = BoxState(box)
            return
        before, state.box = state.box, box
        if (before.access, before.share_epoch) != (box.access, box.share_epoch):
            self._look_again()
        if box.awake:
            first = Running(box.pid, box.started_ticks)
            self._wake(state, first, was_started=first != state.first)
        else:
            self.fall_asleep(state)

    def woken(self, state: BoxState, message: Woken) -> None:
        """Know that a box is awake, by the answer to a question of ours."""
        self._wake(
            state, Running(message.pid, message.started_ticks), was_started=message.was_started
        )

    def fall_asleep(self, state: BoxState) -> None:
        """Know that a box is asleep: from now on requests wake it."""
        state.awake = False
        state.close_idle()

    def remove(self, box_id: str) -> None:
        """Forget a box, and end what is open to it."""
        state = self.boxes.pop(box_id, None)
        if state is None:
            return
        self.routes.remove(box_id)
        self.version += 1
        self.fall_asleep(state)
        for exchange in list(state.open):
            exchange.box_gone()

    def find(self, name: str) -> tuple[BoxState, int] | None:
        """Return the box and port that a host name means."""
        found = self.routes.find(name)
        return (self.boxes[found[0]], found[1]) if found else None

    def is_trusted(self, peer: str) -> bool:
        """Tell whether a client is a proxy whose word counts."""
        if not self._trusted:
            return False
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._trusted)

    def may_log_in(self, peer: bytes) -> bool:
        """Tell whether a client has not sent too many wrong tokens within this minute."""
        if self.now_ns - self._failed_since_ns > _MINUTE_NS:
            self._failed_logins.clear()
            self._failed_since_ns = self.now_ns
        return self._failed_logins.get(peer, 0) < self.limits.failed_logins_per_minute

    def login_failed(self, peer: bytes) -> None:
        """Count a wrong token."""
        if peer not in self._failed_logins and len(self._failed_logins) >= _FAILED_CLIENTS_MAX:
            return  # tokens cannot be guessed; this is only to keep those busy who try
        self._failed_logins[peer] = self._failed_logins.get(peer, 0) + 1

    def traffic(self, *, of_all: bool = False) -> list[Traffic]:
        """Return what has changed since this was last asked; of_all: also boxes in use."""
        told: list[Traffic] = []
        for box_id, state in self.boxes.items():
            if state.is_changed or (of_all and state.open):
                told.append(
                    Traffic(
                        box_id=box_id, open=len(state.open), requests=state.requests,
                        bytes_in=state.bytes_in, bytes_out=state.bytes_out,
                    )
                )  # fmt: skip
                state.requests = state.bytes_in = state.bytes_out = 0
                state.is_changed = False
        return told

    def _look_again(self) -> None:
        for client in list(self.clients):
            client.look_again()

    def _wake(self, state: BoxState, first: Running, *, was_started: bool) -> None:
        if state.awake and state.first == first:
            return
        if state.first != first:
            state.close_idle()
        if was_started:
            state.listening.clear()
            self.now_ns = self._clock.monotonic_ns()
            state.listen_until_ns = self.now_ns + self.limits.listen_wait_ns
        state.first = first
        state.awake = True
        state.wake_error = None
