"""The rules that close the host, the private ranges and the other boxes to a box. Pure: text.

**Invariant:** one table holds everything, no rule names a single box, and no rule of another table
is touched. That a packet carries its sender's own address is asked of the routing table, which has
one route per box, made with its link and gone with it: there is nothing to keep in step. The set
of link and address pairs that would say the same took 0.7 ms a box and a reconciliation at start.
"""

from dataclasses import dataclass

from skerry.host.network_plan import NetworkPlan

# What is not the public internet (RFC 6890), as far as it could lead to somebody: the ranges for
# documentation are left out, because they lead nowhere, or to where somebody meant them to.
CLOSED_RANGES = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT, also the addresses of mesh VPNs
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local; 169.254.169.254 hands out a cloud machine's keys
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)

# The chain that stands last in the table: where it is, all are.
LAST_CHAIN = "leaving"

_REJECT = "reject with icmpx admin-prohibited"

_TABLE = """\
add table inet {table}
delete table inet {table}
table inet {table} {{
    {connections_set}
    {questions_set}
    set allowed {{
        type ipv4_addr
        flags interval
        auto-merge
        {allowed}
    }}

    set closed {{
        type ipv4_addr
        flags interval
        elements = {{ {closed} }}
    }}

    # Before anything is remembered of a packet: is it from who it says?
    chain arriving {{
        type filter hook prerouting priority raw; policy accept;
        iifname "{prefix}*" meta nfproto != ipv4 drop
        iifname "{prefix}*" fib saddr . iif oif missing drop
        iifname != "{prefix}*" iifname != "lo" ip daddr {gateway} drop
    }}

    chain input {{
        type filter hook input priority filter; policy accept;
        iifname "{prefix}*" jump box_to_host
    }}

    chain box_to_host {{
        ip daddr {gateway} udp dport 53 update @questions {{ {questions_limit} }} drop
        ct state established,related accept
        {limit}
        ip daddr {gateway} udp dport 53 accept
        ip daddr {gateway} tcp dport 53 accept
        {reject}
    }}

    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname "{prefix}*" jump to_box
        iifname "{prefix}*" jump box_to_elsewhere
    }}

    # Nobody opens a connection to a box but the host itself, whose packets do not pass here.
    chain to_box {{
        ct state established,related accept
        {reject}
    }}

    chain box_to_elsewhere {{
        ct state invalid drop
        ip daddr {network} {reject}
        ip daddr != @allowed ip daddr @closed {reject}
        {limit}
    }}

    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} oifname != "{prefix}*" masquerade
    }}
}}
"""

# More questions than this a box may ask, but they end here, and fill no queue that all boxes share.
_QUESTIONS_LIMIT = "ip saddr limit rate over 1000/second burst 1000 packets"

_QUESTIONS_SET = """\
set questions {
        type ipv4_addr
        size 65535
        flags dynamic,timeout
        timeout 10s
    }
"""

_CONNECTIONS_SET = """\
set connections {
        type ipv4_addr
        size 65535
        flags dynamic
    }
"""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something of nftables that the rules use.

    option: what switches it on in a kernel's configuration. commands: rules that a kernel without
    it refuses.
    """

    name: str
    option: str
    commands: str


def ruleset(plan: NetworkPlan, *, limit_connections: bool) -> str:
    """Return the commands that put all the rules in force, in place of earlier ones, at once."""
    limit = (
        f"ct state new add @connections {{ ip saddr ct count over {plan.connections_max} }} {_REJECT}"
        if limit_connections
        else ""
    )
    return _TABLE.format(
        table=plan.table,
        prefix=plan.link_prefix,
        network=plan.network,
        gateway=plan.gateway,
        reject=_REJECT,
        limit=limit,
        questions_set=_QUESTIONS_SET,
        questions_limit=_QUESTIONS_LIMIT,
        connections_set=_CONNECTIONS_SET if limit_connections else "",
        allowed=f"elements = {{ {', '.join(map(str, plan.allowed))} }}" if plan.allowed else "",
        closed=", ".join(CLOSED_RANGES),
    )


def removal(plan: NetworkPlan) -> str:
    """Return the commands that remove all the rules, whether they are there or not."""
    return f"add table inet {plan.table}\ndelete table inet {plan.table}\n"


def _rule(feature: str, option: str, hook: str, rule: str, sets: str = "") -> Feature:
    return Feature(
        feature,
        option,
        f"table inet skerry-probe {{\n{sets}\nchain probe {{\ntype {hook}\n{rule}\n}}\n}}\n",
    )


_FILTER = "filter hook forward priority filter; policy accept;"

CONNECTION_LIMIT = _rule(
    "a limit on connections (ct count)",
    "CONFIG_NFT_CONNLIMIT",
    _FILTER,
    "ct state new add @connections { ip saddr ct count over 1 } drop",
    _CONNECTIONS_SET,
)

# In the order in which one builds on another, so that the first that is refused is what is missing.
REQUIRED_FEATURES = (
    Feature("nftables with inet tables", "CONFIG_NF_TABLES_INET", "add table inet skerry-probe\n"),
    _rule("rules on packets that are passed on", "CONFIG_NF_TABLES_IPV4", _FILTER, ""),
    _rule("connection tracking", "CONFIG_NFT_CT", _FILTER, "ct state established accept"),
    _rule("a refusal that says so", "CONFIG_NFT_REJECT_INET", _FILTER, _REJECT),
    _rule(
        "sets of ranges",
        "CONFIG_NF_TABLES",
        _FILTER,
        "ip daddr @ranges drop",
        "set ranges {\ntype ipv4_addr\nflags interval\nelements = { 10.0.0.0/8 }\n}",
    ),
    _rule(
        "a limit on how often",
        "CONFIG_NFT_LIMIT",
        _FILTER,
        f"update @questions {{ {_QUESTIONS_LIMIT} }} drop",
        _QUESTIONS_SET,
    ),
    _rule(
        "a look at the routing table",
        "CONFIG_NFT_FIB_INET",
        "filter hook prerouting priority raw; policy accept;",
        "fib saddr . iif oif missing drop",
    ),
    _rule(
        "address translation",
        "CONFIG_NFT_MASQ",
        "nat hook postrouting priority srcnat; policy accept;",
        "ip saddr 10.0.0.0/8 masquerade",
    ),
)
