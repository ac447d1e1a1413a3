"""What a daemon does for its boxes' policies while it runs: answers names, hears of refused packets."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from skerry.host import policy_table
from skerry.host.dns import DnsLimits, DnsSockets, Guard, serve_dns
from skerry.host.network import Network
from skerry.host.policy_packets import watch_packets
from skerry.host.policy_sets import SetSocket
from skerry.host.resolvers import Resolver

_LIMITS = DnsLimits()


async def serve_policies(
    network: Network,
    sockets: DnsSockets,
    resolvers: Callable[[], Sequence[Resolver]],
    limits: DnsLimits = _LIMITS,
) -> None:
    """Answer the names that boxes may ask for, until cancelled; close the sockets.

    resolvers is asked anew for each question. What boxes are refused meanwhile is in
    network.refusals(). Raises OSError if the kernel cannot be asked.
    """
    plan, walls = network.plan, network.walls
    with SetSocket(plan.policy_table) as sets:
        guard = Guard(walls.screen, partial(walls.admit, sets))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve_dns(sockets, plan.network, resolvers, limits, guard))
            if walls.log_packets:
                tasks.create_task(watch_packets(policy_table.log_group(plan), walls.note_packet))
