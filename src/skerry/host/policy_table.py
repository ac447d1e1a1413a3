"""The rules that hold a box to the addresses it was given: text for nftables. Pure.

**Invariant:** this table only ever refuses, so nothing that the table of `firewall` closes is open
because of it. It is a table of its own because that other one is replaced as a whole whenever the
daemon starts, and what holds boxes back must not be gone for a moment, least of all the addresses
that they were given. Each box with a policy has a chain and a set; a map from its link to its
chain keeps the cost of a packet the same however many there are.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from zlib import crc32

from skerry.host.firewall import Feature
from skerry.host.network_plan import NetworkPlan
from skerry.host.policy_sets import Element

# Before the table of `firewall` (filter, 0), so that what a policy refuses is in the log even where
# it is closed to all.
_PRIORITY = -5
_ADDRESSES_MAX = 65_535

# Per box: a box that floods has its first packets noted, and then a few each second.
_LOG_LIMIT = "limit rate 10/second burst 20 packets"
# Both headers: 20 to 60 bytes of IP, and 4 of ports.
_LOG_BYTES = 64

# The chain that is made last: where it is, all are.
LAST_CHAIN = "refuse"

# Where names are answered, plainly and over TLS: by nobody but ourselves, at whatever address.
RESOLVER_PORTS = (53, 853)

_COMMENT_CHARACTERS_MAX = 127  # of libnftables; the kernel takes more

_STANDING_WALL = re.compile(
    r'chain box_(?P<slot>\d+) \{\s+ct state established return comment "(?P<note>\S+ \S+)"'
)

_BASE = """\
add table inet {table}
add map inet {table} walls {{ type ifname : verdict; }}
add set inet {table} unsettled {{ type ifname; }}
add chain inet {table} input {{ type filter hook input priority {priority}; policy accept; }}
add chain inet {table} forward {{ type filter hook forward priority {priority}; policy accept; }}
add chain inet {table} refuse
flush chain inet {table} input
flush chain inet {table} forward
flush chain inet {table} refuse
add rule inet {table} input iifname vmap @walls
add rule inet {table} forward iifname vmap @walls
add rule inet {table} refuse tcp flags & (fin | syn | rst | ack) != syn reject with tcp reset
add rule inet {table} refuse reject with icmpx admin-prohibited
"""

_WALL = """\
add chain inet {table} box_{slot}
flush chain inet {table} box_{slot}
add set inet {table} allowed_{slot} {{ type ipv4_addr; size {size}; flags timeout; }}
flush set inet {table} allowed_{slot}
add rule inet {table} box_{slot} ct state established return comment "{note}"
add rule inet {table} box_{slot} ct state related meta l4proto icmp return
add rule inet {table} box_{slot} ip daddr {gateway} udp dport 53 return
add rule inet {table} box_{slot} ip daddr {gateway} tcp dport 53 return
add rule inet {table} box_{slot} meta l4proto {{ tcp, udp }} th dport != {{ {resolver_ports} }} ip daddr @allowed_{slot} return
add rule inet {table} box_{slot} meta l4proto != {{ tcp, udp }} ip daddr @allowed_{slot} return
{log}add rule inet {table} box_{slot} counter goto refuse
{given}add element inet {table} unsettled {{ "{link}" }}
add element inet {table} walls {{ "{link}" : jump box_{slot} }}
"""


@dataclass(frozen=True, slots=True)
class WallNote:
    """What is written at the wall of a slot: whose it is, and a hash of all that made it."""

    slot: int
    box_id: str
    digest: str


def log_group(plan: NetworkPlan) -> int:
    """Return the number under which the kernel reports refused packets of this instance.

    From the upper half, as people who log packets themselves count from 0.
    """
    return 1 << 15 | crc32(plan.instance.encode()) & 0x7FFF


def base(plan: NetworkPlan) -> str:
    """Return the commands that make the table if it is not there; walls that stand stay as they are."""
    return _BASE.format(table=plan.policy_table, priority=_PRIORITY)


def wall(plan: NetworkPlan, note: WallNote, given: Sequence[Element], *, log: bool) -> str:
    """Return the commands that put one box's wall in place of what it had.

    given: the addresses that it may go on to reach. log: whether refused packets are reported. The
    wall counts as unsettled until settled().
    """
    table, slot = plan.policy_table, note.slot
    logged = (
        f"add rule inet {table} box_{slot} {_LOG_LIMIT} "
        f"log group {log_group(plan)} snaplen {_LOG_BYTES}\n"
    )
    elements = ", ".join(map(_element, given))
    return _WALL.format(
        table=table,
        slot=slot,
        size=_ADDRESSES_MAX,
        gateway=plan.gateway,
        resolver_ports=", ".join(map(str, RESOLVER_PORTS)),
        link=plan.link_name(slot),
        note=f"{note.box_id} {note.digest}",
        log=logged if log else "",
        given=f"add element inet {table} allowed_{slot} {{ {elements} }}\n" if given else "",
    )


def settled(plan: NetworkPlan, slot: int) -> str:
    """Return the commands that note that connections from before a wall are cut."""
    element = f'element inet {plan.policy_table} unsettled {{ "{plan.link_name(slot)}" }}\n'
    return f"add {element}delete {element}"


def opening(plan: NetworkPlan, slot: int) -> str:
    """Return the commands that take the wall of a slot away; it must be there."""
    table = plan.policy_table
    return (
        settled(plan, slot) + f'delete element inet {table} walls {{ "{plan.link_name(slot)}" }}\n'
        f"delete chain inet {table} box_{slot}\n"
        f"delete set inet {table} allowed_{slot}\n"
    )


def removal(plan: NetworkPlan) -> str:
    """Return the commands that remove the table, whether it is there or not."""
    return f"add table inet {plan.policy_table}\ndelete table inet {plan.policy_table}\n"


def _element(element: Element) -> str:
    text = f"{element.address} timeout {element.lifetime_ms}ms"
    # A name that is cut short would be another name; without one it counts as unknown.
    fits = 0 < len(element.comment) <= _COMMENT_CHARACTERS_MAX
    return f'{text} comment "{element.comment}"' if fits else text


LOG_FEATURE = Feature(
    "reports of refused packets (log group)",
    "CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG",
    "table inet skerry-probe {\nchain probe {\n"
    "type filter hook forward priority filter; policy accept;\n"
    f"{_LOG_LIMIT} log group 40000 snaplen {_LOG_BYTES}\n}}\n}}\n",
)


def walls_in(listing: str) -> list[WallNote]:
    """Return the walls in what `nft --terse list table` prints."""
    return [
        WallNote(int(match["slot"]), *match["note"].split(" ", 1))
        for match in _STANDING_WALL.finditer(listing)
    ]


def links_in(listing: str) -> Collection[str]:
    """Return the names in what `nft list set` prints of a set of links."""
    _, _, elements = listing.partition("elements = {")
    return frozenset(re.findall(r'"([^"]+)"', elements))
