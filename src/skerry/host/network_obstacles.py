"""What else on this machine may stop packets of boxes: other firewalls and a switch of the kernel.

A rule that accepts in one nftables table does not overrule another that drops, so Skerry cannot
open what Docker or ufw closes; it can only say so.
"""

import re

from skerry.host import nftables

_TABLE = re.compile(r"table (?P<family>\S+) (?P<name>\S+) \{")
_CHAIN = re.compile(r"\s+chain (?P<name>\S+) \{")
_DROPS = re.compile(r"\s+type filter hook (?P<hook>input|forward) .*policy drop;")


def network_obstacles() -> list[str]:
    """Return what may stop the packets of boxes on this machine, a sentence each, advice included.

    Nothing is changed. Raises NotAvailable(network_unavailable) if nftables cannot be asked.
    """
    obstacles = closed_doors(nftables.run("list chains\n"))
    with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
        if file.read().strip() != "1":
            obstacles.append(
                "The machine does not pass packets on (net.ipv4.ip_forward is 0). "
                "Skerry switches it on when it starts."
            )
    return obstacles


def closed_doors(chains: str) -> list[str]:
    """Return a sentence for each chain, of what `nft list chains` prints, that drops by default."""
    doors: list[str] = []
    table = chain = ""
    for line in chains.splitlines():
        if match := _TABLE.match(line):
            table = f"{match['family']} {match['name']}"
        elif match := _CHAIN.match(line):
            chain = match["name"]
        elif match := _DROPS.match(line):
            wanted = (
                "packets to and from links named sk*"
                if match["hook"] == "forward"
                else "port 53 for links named sk*"
            )
            doors.append(
                f"Chain {chain} of table {table} drops what none of its rules accepts. "
                f"See that it accepts {wanted}."
            )
    return doors
