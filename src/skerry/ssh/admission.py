"""Who may stand at the door: how many at once before they have said who they are. Pure."""

import ipaddress
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Admission:
    """Counts of connections: all that are open, and those without a login, by where they are from.

    Strangers have room of their own, so that however many come, who has a key still gets in; no
    address can take it all, and where several do together, one of theirs makes way for the next.
    """

    connections_max: int
    strangers_max: int
    strangers_of_one_max: int
    connections: int = 0
    strangers: Counter[str] = field(default_factory=Counter[str])

    def enter(self, address: str) -> bool:
        """Count a connection from address; False if there is no room for it."""
        origin = origin_of(address)
        if (
            self.connections >= self.connections_max
            or self.strangers.total() >= self.strangers_max
            or self.strangers[origin] >= self.strangers_of_one_max
        ):
            return False
        self.connections += 1
        self.strangers[origin] += 1
        return True

    def recognise(self, address: str) -> None:
        """Count one from address among those who said who they are."""
        origin = origin_of(address)
        assert self.strangers[origin] > 0, "who is recognised was counted"
        self.strangers[origin] -= 1
        if not self.strangers[origin]:
            del self.strangers[origin]

    def crowd(self) -> str | None:
        """Return the origin of which one stranger must make way, None while there is room.

        That of the most; of several, the one that has been there for longest.
        """
        if self.strangers.total() < self.strangers_max:
            return None
        return max(self.strangers, key=self.strangers.__getitem__)

    def leave(self) -> None:
        """Forget one who was recognised."""
        self.connections -= 1


def origin_of(address: str) -> str:
    """Return what counts as one place: an IPv4 address, or the /64 that IPv6 gives to one house."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return address
