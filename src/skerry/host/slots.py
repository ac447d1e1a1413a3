"""How many boxes a network and a range of ids have room for, before anything is made of either."""

from collections.abc import Sequence

from skerry.base import Invalid
from skerry.host.network_plan import network_plan

_IDS_PER_BOX = 1 << 16
_IDS_BASE_MIN = 1 << 17
_IDS_END = (1 << 32) - 2  # the last but one means "no change" in many calls


def slots_of(instance: str, network: str, network_allow: Sequence[str], ids_base: int) -> int:
    """Return the last slot that has an address and ids, before anything is made of the settings.

    Raises Invalid(bad_instance, bad_network, bad_ids).
    """
    plan = network_plan(instance, network, network_allow, connections_max=1)
    if not _IDS_BASE_MIN <= ids_base <= _IDS_END - 100 * _IDS_PER_BOX:
        raise Invalid(
            "bad_ids",
            f"--ids-base {ids_base} leaves boxes no ids of their own. Use a number from "
            f"{_IDS_BASE_MIN} (below are the machine's own users) to 4000000000.",
        )
    by_ids = (_IDS_END - ids_base) // _IDS_PER_BOX - 1
    return min(plan.network.num_addresses - 2, by_ids)  # the network's last is for broadcasts
