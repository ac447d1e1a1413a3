"""The walls around boxes with a network policy: what each may reach now, and what it was refused.

A wall lets through only addresses that our own DNS server gave out for names that the policy
allows (`screen`, `admit`). The kernel holds the walls and goes on doing so while this process is
away; what each address was given for is noted there too, so that a new process goes on where the
former stopped. How packets are refused is in `policy_table`; who is asked for names, in `dns`.

**Invariant:** an address is in a box's set in the kernel only if the box's policy of this moment
allows a name that was asked for and led there: replacing a policy and letting an address through
take the same lock.
"""

import hashlib
import json
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from skerry.host import nftables, policy_answers, policy_table
from skerry.host.conntrack import forget_connections
from skerry.host.dns_message import Query, Rcode, failure, rcode
from skerry.host.firewall import CLOSED_RANGES
from skerry.host.network_plan import NetworkPlan
from skerry.host.policy_log import Refusal, RefusalLog
from skerry.host.policy_packets import RefusedPacket
from skerry.host.policy_rules import NetworkPolicy, PolicyIndex, encode, policy_index
from skerry.host.policy_sets import Element, SetSocket, elements_of
from skerry.host.policy_table import WallNote
from skerry.host.rtnetlink import RouteSocket

# Of one box: addresses that it was given, also those whose time is over, as connections to them may
# go on. The longest unused goes first; the kernel's set has room for more.
ADDRESSES_MAX = 8192
_NAMES_PER_ADDRESS_MAX = 8
# More than any name has, and as many as fit into one message to the kernel with the longest name.
_ADDRESSES_PER_ANSWER_MAX = 128
# In place of a hash, of which it is none.
_UNSETTLED = "unsettled"

_HOST_ADDRESSES_AGE_NS_MAX = 10 * 10**9
_NS_PER_MS = 10**6

_CLOSED = tuple(map(IPv4Network, CLOSED_RANGES))


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTime:
    """For how long an address can be reached after an answer, in seconds.

    As long as the answer says, but at least least_seconds, for programs that connect a little
    after they asked. It is opened for extra_seconds more than that, so that the kernel need not be
    asked again for each answer of that time.
    """

    least_seconds: int = 60
    extra_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WallFeatures:
    """What of it this kernel does: report refused packets, and forget connections."""

    log_packets: bool = True
    cut_connections: bool = True


@dataclass(slots=True)
class _Given:
    """An address of a box: for which names, and until when (of the monotonic clock)."""

    names: dict[str, None]
    until_ns: int


@dataclass(slots=True)
class _Wall:
    """index is None for a wall of an earlier process whose policy nobody has told us yet."""

    note: WallNote
    index: PolicyIndex | None
    given: dict[IPv4Address, _Given] = field(default_factory=dict[IPv4Address, _Given])

    @property
    def set_name(self) -> str:
        return f"allowed_{self.note.slot}"


class Walls:
    """All walls of one instance; to be had from open_walls(). Safe in many threads at once."""

    def __init__(self, plan: NetworkPlan, features: WallFeatures, given_time: GivenTime) -> None:
        self._plan = plan
        self._features = features
        self._time = given_time
        self._walls: dict[str, _Wall] = {}  # by the box's address
        self._logs: dict[str, RefusalLog] = {}  # by the box's id
        # Replacing a policy takes 10 to 30 ms in all, of which names wait only for the first half.
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._log_lock = threading.Lock()
        self._host_addresses: frozenset[IPv4Address] = frozenset()
        self._host_addresses_until_ns = 0

    @property
    def log_packets(self) -> bool:
        """Whether refused packets are reported."""
        return self._features.log_packets

    # -- policies --

    def set_policy(self, box_id: str, slot: int, policy: NetworkPolicy | None) -> None:
        """Put a policy in force for the box of that slot, in one step; None or no rules open it.

        Connections to addresses that no allowed name led to are cut before this returns. A policy
        that is in force already changes nothing. Takes 10 to 30 ms, 110 where the box was given
        thousands of addresses. Raises
        NotAvailable(network_unavailable), OSError; repeating it then finishes what was begun.
        """
        with self._turn:
            if policy is None or not policy.rules:
                self._remove(slot)
                return
            wall = self._replace(box_id, slot, policy)
            if wall is not None:
                self._cut(wall)

    def keep_only(self, slots: Collection[int]) -> None:
        """Remove the walls of boxes that are gone; raises as set_policy() does."""
        with self._turn:
            for slot in {wall.note.slot for wall in self._walls.values()}.difference(slots):
                self._remove(slot)

    def clear_for(self, box_id: str, slot: int) -> None:
        """Remove the wall of a slot if it stands there for another box than this."""
        with self._turn:
            wall = self._walls.get(str(self._plan.address(slot)))
            if wall is not None and wall.note.box_id != box_id:
                self._remove(slot)

    def repair(self) -> None:
        """Put all walls up again after somebody has removed the table that they stand in.

        What boxes connected to meanwhile is cut. Raises as set_policy() does.
        """
        with self._turn:
            with self._lock:
                walls = list(self._walls.values())
                nftables.run(policy_table.base(self._plan) + "".join(map(self._commands, walls)))
            for wall in walls:
                self._cut(wall)

    def _replace(self, box_id: str, slot: int, policy: NetworkPolicy) -> _Wall | None:
        """Put up a wall; return it if it is a new one."""
        address = str(self._plan.address(slot))
        index = policy_index(policy)
        note = WallNote(slot, box_id, self._digest(box_id, slot, policy))
        with self._lock:
            former = self._walls.get(address)
            if former is not None and former.note == note:
                former.index = index
                return None
            wall = _Wall(note, index)
            if former is not None and former.note.box_id == box_id:
                wall.given = _still_allowed(former.given, index)
            nftables.run(policy_table.base(self._plan) + self._commands(wall))
            self._walls[address] = wall
        return wall

    def _cut(self, wall: _Wall) -> None:
        if self._features.cut_connections:
            with self._lock:
                spared = {*wall.given, self._plan.gateway}
            forget_connections(self._plan.address(wall.note.slot), spared)
        # Only now does the kernel say that it is done: else whoever dies in between leaves
        # connections that the next process takes for allowed.
        nftables.run(policy_table.settled(self._plan, wall.note.slot))

    def _remove(self, slot: int) -> None:
        with self._lock:
            address = str(self._plan.address(slot))
            wall = self._walls.get(address)
            if wall is None:
                return
            # Put up first: then it can be taken down, even if somebody did so already.
            standing = policy_table.base(self._plan) + self._commands(wall)
            nftables.run(standing + policy_table.opening(self._plan, slot))
            del self._walls[address]
        with self._log_lock:
            self._logs.pop(wall.note.box_id, None)

    def _commands(self, wall: _Wall) -> str:
        now_ns = time.monotonic_ns()
        given = [
            Element(address, lifetime_ms, next(iter(found.names), ""))
            for address, found in wall.given.items()
            if (lifetime_ms := (found.until_ns - now_ns) // _NS_PER_MS) > 0
        ]
        return policy_table.wall(self._plan, wall.note, given, log=self._features.log_packets)

    def _digest(self, box_id: str, slot: int, policy: NetworkPolicy) -> str:
        """Return a hash of all that a wall is made of, so that a new version of us makes it anew."""
        made_of = policy_table.wall(
            self._plan, WallNote(slot, box_id, ""), [], log=self._features.log_packets
        )
        text = json.dumps(encode(policy)) + made_of
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def restore(self) -> None:
        """Take over the walls that an earlier process left, with the addresses that they let through."""
        table = self._plan.policy_table
        unsettled = policy_table.links_in(nftables.run(f"list set inet {table} unsettled\n"))
        now_ns = time.monotonic_ns()
        for found in policy_table.walls_in(nftables.outline(f"list table inet {table}\n")):
            settled = self._plan.link_name(found.slot) not in unsettled
            note = found if settled else WallNote(found.slot, found.box_id, _UNSETTLED)
            wall = _Wall(note, None)
            for element in elements_of(table, wall.set_name):
                until_ns = now_ns + element.lifetime_ms * _NS_PER_MS
                wall.given[element.address] = _Given({element.comment: None}, until_ns)
            self._walls[str(self._plan.address(found.slot))] = wall

    # -- names --

    def screen(self, box: str, query: Query) -> bytes | None:
        """Return what to answer a box at once, None if its question may be passed on.

        box: its address.
        """
        wall = self._walls.get(box)
        if wall is None:
            return None
        if wall.index is None:
            return failure(query, Rcode.SERVER_FAILURE)
        name = policy_answers.asked_name(query)
        if name is None:
            text = "no host has a name with these letters"
            shown = policy_answers.shown_name(query)
            self._note(wall, Refusal(kind="name", name=shown, rule_text=text))
            return failure(query, Rcode.REFUSED)
        decision = wall.index.decide(name)
        if not decision.allowed:
            refusal = Refusal(kind="name", name=name, rule=decision.rule, rule_text=decision.text)
            self._note(wall, refusal)
            return failure(query, Rcode.REFUSED)
        if policy_answers.asked_type(query) not in policy_answers.PASSED_TYPES:
            return failure(query, Rcode.NO_ERROR)
        return None

    def admit(self, sets: SetSocket, box: str, query: Query, answer: bytes) -> bytes:
        """Let a box reach the addresses in an answer; return what to tell it, which may be a refusal.

        sets is a socket of this instance's table of policies.
        """
        if box not in self._walls:
            return answer
        try:
            with self._lock:
                # The policy that counts is that of now: it may have changed since the question.
                refusal = self.screen(box, query)
                wall = self._walls.get(box)
                if refusal is not None or wall is None or rcode(answer) != Rcode.NO_ERROR:
                    return answer if refusal is None else refusal
                if policy_answers.asked_type(query) != policy_answers.TYPE_A:
                    return answer
                return self._give(sets, wall, query, answer)
        except (policy_answers.Malformed, OSError):
            # Nothing was let through, so nothing may be told; the box asks again.
            return failure(query, Rcode.SERVER_FAILURE)

    def _give(self, sets: SetSocket, wall: _Wall, query: Query, answer: bytes) -> bytes:
        name = policy_answers.asked_name(query)
        assert name is not None, "a question that was passed on has a plain name"
        found = policy_answers.read_answer(query, answer)
        for address, _ in found.addresses:
            # Also a known one: what is the host's own address changes.
            if self._is_closed(address):
                text = "the name leads to an address that is closed to boxes"
                refusal = Refusal(kind="answer", name=name, address=str(address), rule_text=text)
                self._note(wall, refusal)
                return failure(query, Rcode.REFUSED)
        if len(found.addresses) > _ADDRESSES_PER_ANSWER_MAX:
            raise policy_answers.Malformed("nobody has that many addresses")
        self._let_through(sets, wall, name, dict(found.addresses))
        return found.message

    def _let_through(
        self, sets: SetSocket, wall: _Wall, name: str, times: dict[IPv4Address, int]
    ) -> None:
        now_ns = time.monotonic_ns()
        new: list[Element] = []
        known: list[Element] = []
        for address, ttl_seconds in times.items():
            enough_ms = 1000 * max(ttl_seconds, self._time.least_seconds)
            element = Element(address, enough_ms + 1000 * self._time.extra_seconds, name)
            former = wall.given.get(address)
            if former is None:
                new.append(element)
            elif former.until_ns - now_ns < enough_ms * _NS_PER_MS:
                known.append(element)
        sets.put(wall.set_name, new, known)
        for element in (*new, *known):
            until_ns = now_ns + element.lifetime_ms * _NS_PER_MS
            # Taken out and put in again, so that the longest unused comes first.
            former = wall.given.pop(element.address, None)
            names = former.names if former else dict[str, None]()
            wall.given[element.address] = _Given(names, until_ns)
        for address in times:
            _add_name(wall.given[address].names, name)
        self._drop_surplus(sets, wall)

    def _drop_surplus(self, sets: SetSocket, wall: _Wall) -> None:
        surplus = len(wall.given) - ADDRESSES_MAX
        if surplus > 0:
            oldest = list(wall.given)[:surplus]
            sets.remove(wall.set_name, [Element(address, 1, "") for address in oldest])
            for address in oldest:
                del wall.given[address]

    def _is_closed(self, address: IPv4Address) -> bool:
        if address in self._plan.network or address in self._addresses_of_host():
            return True
        return any(address in closed for closed in _CLOSED) and not any(
            address in opened for opened in self._plan.allowed
        )

    def _addresses_of_host(self) -> frozenset[IPv4Address]:
        now_ns = time.monotonic_ns()
        if now_ns >= self._host_addresses_until_ns:
            with RouteSocket() as host:
                self._host_addresses = frozenset(found.address for found in host.addresses())
            self._host_addresses_until_ns = now_ns + _HOST_ADDRESSES_AGE_NS_MAX
        return self._host_addresses

    # -- refusals --

    def note_packet(self, packet: RefusedPacket) -> None:
        """Note that a packet was refused, if it is from a box with a policy."""
        wall = self._walls.get(str(packet.source))
        if wall is None:
            return
        address = packet.address
        given = wall.given.get(address)
        name = next(reversed(given.names), None) if given is not None else None
        decision = wall.index.decide(name) if name and wall.index else None
        rule, text = None, "no allowed name led to this address"
        if decision is not None:
            rule, text = decision.rule, decision.text
            if decision.allowed:
                text = "the time for which a name led here is over; ask for it again"
                if packet.port in policy_table.RESOLVER_PORTS:
                    text = "other resolvers are closed to boxes with a policy"
        refusal = Refusal(
            kind="packet", name=name or None, address=str(address), protocol=packet.protocol,
            port=packet.port, rule=rule, rule_text=text,
        )  # fmt: skip
        self._note(wall, refusal)

    def refusals(self, box_id: str, since_ns: int = 0) -> Sequence[Refusal]:
        """Return what a box was refused after since_ns (since 1970), the oldest first."""
        with self._log_lock:
            log = self._logs.get(box_id)
            return [] if log is None else log.since(since_ns)

    def _note(self, wall: _Wall, refusal: Refusal) -> None:
        with self._log_lock:
            log = self._logs.setdefault(wall.note.box_id, RefusalLog())
            log.note(refusal, time.time_ns())


def open_walls(plan: NetworkPlan, features: WallFeatures, given_time: GivenTime) -> Walls:
    """Make the table of policies if it is not there; return its walls, those that stand included.

    Raises NotAvailable(network_unavailable), OSError.
    """
    nftables.run(policy_table.base(plan))
    walls = Walls(plan, features, given_time)
    walls.restore()
    return walls


def _still_allowed(
    given: dict[IPv4Address, _Given], index: PolicyIndex
) -> dict[IPv4Address, _Given]:
    kept: dict[IPv4Address, _Given] = {}
    for address, found in given.items():
        # One without a name was put there by somebody else, or its name was too long to note.
        names = [name for name in found.names if name and index.decide(name).allowed]
        if names:
            kept[address] = _Given(dict.fromkeys(names), found.until_ns)
    return kept


def _add_name(names: dict[str, None], name: str) -> None:
    """Add a name as the last; the first gives way if there are too many."""
    names.pop(name, None)
    names[name] = None
    if len(names) > _NAMES_PER_ADDRESS_MAX:
        del names[next(iter(names))]
