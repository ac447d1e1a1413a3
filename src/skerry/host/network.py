"""The boxes' network on this machine: rules, the gateway's address, a link for each box.

Everything is plain kernel state that goes on working while the daemon is away: running boxes keep
their network, only DNS waits. Every call may be repeated. Which boxes there are, and when they
start and end, this file does not know; neither does it speak DNS (see `dns`).

**Invariant:** the rules are in force before packets are passed on, and before any box has a link.
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Self

from skerry.base import Conflict, NotAvailable
from skerry.host import firewall, nftables, policy_table
from skerry.host.conntrack import can_forget_connections, forget_connections
from skerry.host.network_namespace import in_network_namespace, network_namespace_of
from skerry.host.network_plan import NetworkPlan, network_plan
from skerry.host.policy_log import Refusal
from skerry.host.policy_rules import NetworkPolicy
from skerry.host.policy_walls import GivenTime, WallFeatures, Walls, open_walls
from skerry.host.rtnetlink import SCOPE_HOST, Link, RouteSocket, VethEnds

_LOOPBACK = 1  # the index of `lo`, in every namespace
_BOX_LINK = "eth0"
_EVERYWHERE = IPv4Network("0.0.0.0/0")
# Any address of the public internet tells by which link the default route leaves: a root server.
_FAR_AWAY = IPv4Address("198.41.0.4")
_MTU_DEFAULT_BYTES = 1500

# Both ends' addresses are given and known to each other, so that nothing is asked by ARP and udev
# does not change them. Locally administered; every host's end has the same, as nobody sees two.
_HOST_MAC = bytes.fromhex("02736b000001")
_BOX_MAC_PREFIX = bytes.fromhex("02736b01")

# 10 seconds; the worker shares a lock with all that changes links, as does each question here.
_PASSING_ATTEMPTS_MAX = 50_000
_PASSING_PAUSE_SECONDS = 0.0002

_GIVEN_TIME = GivenTime()

_HOST_LINK_SETTINGS = {
    1: 1,  # forwarding
    3: 0,  # proxy_arp
    4: 0,  # accept_redirects
    6: 0,  # send_redirects
    8: 1,  # rp_filter: the sender's address again, beside the rules
    9: 0,  # accept_source_route
    19: 8,  # arp_ignore: a box cannot ask which addresses the host has
    26: 0,  # route_localnet: 127.0.0.0/8 never comes in by a link
}

_BOX_SYSCTLS = (
    # ping without privileges, for every group. 2147483647 is the kernel's own limit, in the
    # host's numbers: boxes with slots above 17,500 have higher ones and ping by its capability.
    ("net/ipv4/ping_group_range", "0 2147483647"),
    # The default user serves port 80 as it would in a container of its own.
    ("net/ipv4/ip_unprivileged_port_start", "0"),
)


@dataclass(frozen=True, slots=True)
class Network:
    """The network of one instance, as open() has made it.

    missing: what is optional and this kernel does not do, each as a phrase for a person.
    """

    plan: NetworkPlan
    missing: tuple[str, ...]
    walls: Walls = field(repr=False, compare=False)
    # The kernel changes links one at a time; threads that fight over its lock lose: 40 attached by
    # eight threads at once took 350 to 640 ms, in turn 110 to 210.
    _in_turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        *,
        instance: str,
        network: str,
        allowed_private: Sequence[str] = (),
        connections_max: int = 4096,
        given_time: GivenTime = _GIVEN_TIME,
    ) -> Self:
        """Put the rules in force, give the host the gateway's address and let it pass packets on.

        network: the boxes' range, such as 10.213.0.0/16. allowed_private: private ranges that
        boxes may reach. connections_max: per box. given_time: for how long boxes with a policy
        may reach what they were told of. Replaces what an earlier version or a crash
        left in one step, without a gap; running boxes notice nothing, except where network
        changed: they keep their old address, and with it no network, until they start again.

        net.ipv4.ip_forward is switched on and stays on: it is a switch of the whole machine, and
        others may have come to rely on it. From then on the machine also routes between its other
        networks, unless its owner's firewall says otherwise, as with any container engine.

        Raises Invalid(bad_instance, bad_network), Conflict(network_taken) if the machine uses
        addresses of network already, NotAvailable(network_unavailable) with what is missing.
        """
        plan = network_plan(instance, network, allowed_private, connections_max)
        with _kernel_asked("The boxes' network could not be set up"), RouteSocket() as host:
            _refuse_taken_range(plan, host)
            missing = _enforce(plan)
            walls = open_walls(plan, _wall_features(missing), given_time)
            host.set_link_up(_LOOPBACK)
            _drop_gateways(plan, host, keep=plan.gateway)
            # On `lo`: always up, needs no kernel option (a dummy link would), and with scope host
            # no program takes it for an address by which the machine is reached.
            host.add_address(_LOOPBACK, plan.gateway, scope=SCOPE_HOST, label=plan.gateway_label)
        _pass_packets_on()
        return cls(plan, missing, walls)

    def attach(self, pid: int, slot: int, box_id: str) -> IPv4Address:
        """Give the box whose first process is pid its `eth0`, `lo` and routes; return its address.

        Takes 2 ms; one box at a time. A box that has all this already keeps it; a half made link,
        or one that a box of this slot left, is replaced first; one that fails half way goes with
        the box. box_id is noted at the link. Raises Conflict(box_not_running),
        Invalid(network_full), NotAvailable(network_unavailable).
        """
        address = self.plan.address(slot)
        self.walls.clear_for(box_id, slot)
        with (
            self._in_turn,
            network_namespace_of(pid) as namespace,
            _kernel_asked(f"The network of {box_id} could not be made"),
            RouteSocket() as host,
        ):
            # The note is written last: who carries it is complete, and of this very start.
            note = f"{box_id} net:[{os.fstat(namespace).st_ino}]"
            existing = host.link(self.plan.link_name(slot))
            if existing is not None and existing.alias == note:
                return address
            if existing is not None:
                host.delete_link(existing.index)
            self._make_link(host, namespace, slot, note)
        return address

    def forget(self, slot: int) -> None:
        """Forget the open connections of a box that is gone for good, before its slot is used again.

        Else what is still on its way to it would reach the next box of that address. The link
        went with the box by itself. Takes about 10 ms. Raises NotAvailable(network_unavailable).
        """
        if _CANNOT_FORGET in self.missing:
            return
        with _kernel_asked("The connections of an ended box are still remembered"):
            forget_connections(self.plan.address(slot))

    def sweep(self, slots: Collection[int]) -> list[str]:
        """Remove links and walls of boxes whose slots are not among these; return the links' names.

        A box's link goes with its namespace; what is found here was kept by something that
        outlived its box. Takes up to 40 ms a link. Raises NotAvailable(network_unavailable).
        """
        removed: list[str] = []
        self.walls.keep_only(slots)
        with _kernel_asked("Links of ended boxes could not be removed"), RouteSocket() as host:
            for link in self._links(host):
                slot = self.plan.link_slot(link.name)
                if slot is not None and slot not in slots:
                    host.delete_link(link.index)
                    removed.append(link.name)
        return removed

    def repair(self) -> bool:
        """Put the rules in force again if somebody has removed them; return whether that was so.

        `nft flush ruleset`, which is what reloading Debian's nftables service does, removes every
        table of the machine; until this is called boxes have neither NAT nor walls. Takes 1 ms
        where all is well.
        """
        walls_gone = not _is_there(self.plan.policy_table, policy_table.LAST_CHAIN)
        rules_gone = not _is_there(self.plan.table, firewall.LAST_CHAIN)
        # In this order, as without the rules packets of boxes find no way back to them.
        if walls_gone:
            with _kernel_asked("The policies of boxes could not be put in force again"):
                self.walls.repair()
        if rules_gone:
            _enforce(self.plan)
        return walls_gone or rules_gone

    def close(self) -> None:
        """Remove rules, links and the gateway's address; boxes that run are left without network.

        For uninstalling and for tests: a daemon that stops leaves everything as it is.
        net.ipv4.ip_forward stays on. Raises NotAvailable(network_unavailable).
        """
        with _kernel_asked("The boxes' network could not be removed"), RouteSocket() as host:
            for link in self._links(host):
                host.delete_link(link.index)
            _drop_gateways(self.plan, host, keep=None)
        nftables.run(firewall.removal(self.plan) + policy_table.removal(self.plan))

    def set_policy(self, box_id: str, slot: int, policy: NetworkPolicy | None) -> None:
        """Hold the box of that slot to a policy from now on; None, or no rules, hold it to nothing.

        In one step; connections to what is not allowed any more are cut before this returns. To be
        called before attach(), and again for each box with a policy after a restart of the daemon,
        until when the box's names are not answered. Takes 10 to 30 ms. Raises Invalid(network_full),
        NotAvailable(network_unavailable).
        """
        with _kernel_asked(f"The network policy of {box_id} could not be put in force"):
            self.walls.set_policy(box_id, slot, policy)

    def refusals(self, box_id: str, since_ns: int = 0) -> Sequence[Refusal]:
        """Return what the policy of a box refused after since_ns (since 1970), the oldest first."""
        return self.walls.refusals(box_id, since_ns)

    def _make_link(self, host: RouteSocket, namespace: int, slot: int, note: str) -> None:
        box = in_network_namespace(namespace, lambda: self._make_box_end(host, namespace, slot))
        with box:
            index = self._make_host_end(host, slot)
            _wait_until_passing(box)
        host.set_link_alias(index, note)

    def _make_box_end(self, host: RouteSocket, namespace: int, slot: int) -> RouteSocket:
        """Make and configure `eth0`, return a socket for it; called in the box's namespace.

        host is a socket of the host's.
        """
        for name, value in _BOX_SYSCTLS:
            _write_sysctl(name, value)
        mtu_bytes = _mtu_bytes(host)
        ends = VethEnds(self.plan.link_name(slot), _HOST_MAC, _BOX_LINK, _box_mac(slot))
        host.create_veth(ends, namespace, mtu_bytes)
        _close_ipv6(_BOX_LINK)
        index = socket.if_nametoindex(_BOX_LINK)
        with ExitStack() as on_failure:
            box = on_failure.enter_context(RouteSocket())
            box.set_link_up(_LOOPBACK)
            box.set_link_up(index)
            box.add_address(index, self.plan.address(slot))
            box.add_route(index, IPv4Network(self.plan.gateway))
            box.add_route(index, _EVERYWHERE, gateway=self.plan.gateway)
            box.add_neighbour(index, self.plan.gateway, _HOST_MAC)
            on_failure.pop_all()
        return box

    def _make_host_end(self, host: RouteSocket, slot: int) -> int:
        name, address = self.plan.link_name(slot), self.plan.address(slot)
        _close_ipv6(name)
        index = socket.if_nametoindex(name)
        host.set_link_up(index, _HOST_LINK_SETTINGS)
        host.add_route(index, IPv4Network(address), source=self.plan.gateway)
        host.add_neighbour(index, address, _box_mac(slot))
        return index

    def _links(self, host: RouteSocket) -> list[Link]:
        return [link for link in host.links() if link.name.startswith(self.plan.link_prefix)]


_CANNOT_FORGET = (
    "forgetting connections, of boxes that ended and to what a new policy denies "
    "(CONFIG_NF_CT_NETLINK)"
)
_CANNOT_LOG = f"{policy_table.LOG_FEATURE.name} ({policy_table.LOG_FEATURE.option})"


@contextmanager
def _kernel_asked(failure: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise NotAvailable(
            "network_unavailable", f"{failure}: {error}. Try again; see `skerry doctor`."
        ) from error


def _enforce(plan: NetworkPlan) -> tuple[str, ...]:
    """Put the rules in force; return what is optional and missing."""
    missing: list[str] = []
    limit = firewall.CONNECTION_LIMIT
    limit_connections = _takes(limit)
    if not limit_connections:
        missing.append(f"{limit.name} ({limit.option})")
    if not _takes(policy_table.LOG_FEATURE):
        missing.append(_CANNOT_LOG)
    if not can_forget_connections():
        missing.append(_CANNOT_FORGET)
    try:
        nftables.run(firewall.ruleset(plan, limit_connections=limit_connections))
    except nftables.RulesRefused:
        _raise_for_missing_feature()
        raise
    return tuple(missing)


def _wall_features(missing: Collection[str]) -> WallFeatures:
    return WallFeatures(
        log_packets=_CANNOT_LOG not in missing, cut_connections=_CANNOT_FORGET not in missing
    )


def _is_there(table: str, chain: str) -> bool:
    try:
        nftables.run(f"list chain inet {table} {chain}\n")
    except nftables.RulesRefused:
        return False
    return True


def _raise_for_missing_feature() -> None:
    for feature in firewall.REQUIRED_FEATURES:
        if not _takes(feature):
            raise NotAvailable(
                "network_unavailable",
                f"This kernel lacks {feature.name}, which the boxes' network needs. "
                f"Use a kernel with {feature.option}.",
            )


def _takes(feature: firewall.Feature) -> bool:
    try:
        nftables.check(feature.commands)
    except nftables.RulesRefused:
        return False
    return True


def _refuse_taken_range(plan: NetworkPlan, host: RouteSocket) -> None:
    """Raise unless all addresses and routes inside the boxes' range are this instance's own.

    A wider route around it, such as a VPN's 10.0.0.0/8, does no harm: a box's own goes first.
    """
    ours = {link.index for link in host.links() if link.name.startswith(plan.link_prefix)}
    for address in host.addresses():
        if address.address in plan.network and address.label != plan.gateway_label:
            raise _taken(plan, f"the address {address.address} ({address.label})")
    for route in host.routes():
        gateway = route.destination.network_address == plan.gateway
        if (
            not gateway
            and route.link_index not in ours
            and route.destination.subnet_of(plan.network)
        ):
            raise _taken(plan, f"the route to {route.destination}")


def _taken(plan: NetworkPlan, by: str) -> Conflict:
    return Conflict(
        "network_taken",
        f"The boxes' network {plan.network} is in use on this machine by {by}. "
        "Set another private range as the boxes' network.",
    )


def _drop_gateways(plan: NetworkPlan, host: RouteSocket, keep: IPv4Address | None) -> None:
    for address in host.addresses():
        if address.label == plan.gateway_label and address.address != keep:
            host.delete_address(_LOOPBACK, address.address)


def _wait_until_passing(box: RouteSocket) -> None:
    """Return when packets get through the box's link.

    The end that is brought up first passes packets only after a worker of the kernel has seen the
    other come up, some 0.1 ms later. Until then it drops what is sent, and the first connection
    of a box would take the second after which TCP tries again.
    """
    for _ in range(_PASSING_ATTEMPTS_MAX):
        link = box.link(_BOX_LINK)
        if link is None:
            raise OSError(errno.ENODEV, "the link disappeared")
        if link.passing:
            return
        time.sleep(_PASSING_PAUSE_SECONDS)
    raise TimeoutError(errno.ETIMEDOUT, "the link stayed down")


def _mtu_bytes(host: RouteSocket) -> int:
    route = host.route_to(_FAR_AWAY)
    link = None if route is None else host.link_at(route.link_index)
    return _MTU_DEFAULT_BYTES if link is None else link.mtu_bytes


def _box_mac(slot: int) -> bytes:
    return _BOX_MAC_PREFIX + slot.to_bytes(2, "big")


def _pass_packets_on() -> None:
    try:
        # Written only where it is off: writing it resets the switches of every single link.
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            on = file.read().strip() == "1"
        if not on:
            _write_sysctl("net/ipv4/ip_forward", "1")
    except OSError as error:
        raise NotAvailable(
            "network_unavailable",
            f"This machine cannot be told to pass packets on: {error}. "
            "Set net.ipv4.ip_forward to 1.",
        ) from error


def _close_ipv6(link: str) -> None:
    """Switch IPv6 off on a link of the calling thread's namespace, which is down still."""
    try:
        _write_sysctl(f"net/ipv6/conf/{link}/disable_ipv6", "1")
    except OSError as error:
        if error.errno != errno.ENOENT:  # a kernel without IPv6
            raise


def _write_sysctl(name: str, value: str) -> None:
    """Write below /proc/sys; net/ there is that of the calling thread's namespace."""
    with open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
        file.write(value)
