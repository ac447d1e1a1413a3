"""What the boxes' network looks like: names, addresses, resolv.conf. Pure; touches no machine.

Every box has the address network + slot, alone on a link of its own to the host, and the gateway,
network + 1, at the other end of each. There is no bridge: boxes meet only where rules let them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from skerry.base import Invalid

# 15 characters is the kernel's limit for a link's name: sk, 8 of the instance, -, 4 of the slot.
_INSTANCE = re.compile(r"[a-z][a-z0-9]{0,7}")
_SLOT_MIN, _SLOT_MAX = 2, 0xFFFF
_PREFIX_LENGTH_MAX = 29


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The network of one instance.

    allowed: private ranges that boxes may reach all the same. connections_max: how many
    connections of one box the host remembers.
    """

    instance: str
    network: IPv4Network
    allowed: tuple[IPv4Network, ...]
    connections_max: int

    @property
    def table(self) -> str:
        """The name of the nftables table that holds the rules for all boxes."""
        return f"skerry-{self.instance}"

    @property
    def policy_table(self) -> str:
        """The name of the nftables table that holds boxes to their network policies."""
        return f"skerry-{self.instance}-policy"

    @property
    def link_prefix(self) -> str:
        """What the names of all links of this instance, and of no other, begin with."""
        return f"sk{self.instance}-"

    @property
    def gateway(self) -> IPv4Address:
        """The host's address in the boxes' eyes; DNS answers there."""
        return self.network[1]

    @property
    def gateway_label(self) -> str:
        """The note by which the gateway's address on `lo` is known as this instance's."""
        return f"lo:{self.instance}"

    @property
    def resolv_conf(self) -> str:
        """The content of /etc/resolv.conf in boxes."""
        return f"nameserver {self.gateway}\n"

    def address(self, slot: int) -> IPv4Address:
        """Return a box's address. Raises Invalid(network_full) if the network has no such one."""
        assert _SLOT_MIN <= slot <= _SLOT_MAX, "a slot is a number from 2 to 65535"
        if slot >= self.network.num_addresses - 1:
            raise Invalid(
                "network_full",
                f"The boxes' network {self.network} has no address left. "
                "Destroy boxes, or set a larger network.",
            )
        return self.network[slot]

    def link_name(self, slot: int) -> str:
        """Return the name of the host's end of a box's link."""
        return f"{self.link_prefix}{slot:x}"

    def link_slot(self, name: str) -> int | None:
        """Return the slot of a link of that name, None if it is no box's link."""
        digits = name.removeprefix(self.link_prefix)
        if digits == name or not re.fullmatch(r"[0-9a-f]{1,4}", digits):
            return None
        return int(digits, 16)


def network_plan(
    instance: str, network: str, allowed: Sequence[str], connections_max: int
) -> NetworkPlan:
    """Return the plan that the settings describe.

    network and allowed are IPv4 ranges such as 10.213.0.0/16. Raises Invalid(bad_instance,
    bad_network).
    """
    if _INSTANCE.fullmatch(instance) is None:
        raise Invalid(
            "bad_instance",
            f"{instance[:40]!r} is no instance name. Use 1 to 8 of a-z and 0-9, a letter first.",
        )
    boxes = _range(network)
    if boxes.prefixlen > _PREFIX_LENGTH_MAX or not boxes.is_private:
        raise Invalid(
            "bad_network",
            f"{boxes} cannot be the boxes' network. Use a private range such as 10.213.0.0/16.",
        )
    if connections_max < 1:
        raise Invalid("bad_network", "A box needs at least 1 connection. Set a larger number.")
    return NetworkPlan(instance, boxes, tuple(map(_range, allowed)), connections_max)


def _range(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise Invalid(
            "bad_network",
            f"{text[:40]!r} is no IPv4 range: {error}. Write it like 10.213.0.0/16.",
        ) from error
