"""Network policies: which names a box may reach. Kept with the box, in force before it starts."""

import json
from collections.abc import Sequence

from skerry.base import SkerryError
from skerry.boxes import store
from skerry.boxes.context import Boxes, whole
from skerry.boxes.model import Box
from skerry.host.policy_log import Refusal
from skerry.host.policy_rules import NetworkPolicy, encode, parse

_OPEN = NetworkPolicy()


def find_policy(boxes: Boxes, name: str) -> NetworkPolicy:
    """Return the policy of a box; without rules its network is open. Raises NotFound(box_not_found)."""
    return _policy_of(boxes, boxes.find(name)) or _OPEN


@whole
async def set_policy(boxes: Boxes, name: str, policy: NetworkPolicy) -> None:
    """Replace the policy of a box, at once; connections to what it now denies are cut.

    Raises NotFound(box_not_found), NotAvailable(network_unavailable).
    """
    async with boxes.hold(name) as box:
        before = _policy_of(boxes, box)
        document = json.dumps(encode(policy)) if policy.rules else None
        # In force before it is written down: cut short in between, nobody was told that it holds,
        # and the next daemon puts what is written in force again.
        await boxes.machine.set_policy(box.box_id, box.slot, policy if policy.rules else None)
        try:
            await boxes.database.write(lambda c: store.put_policy(c, box.box_id, document))
        except SkerryError:
            await boxes.machine.set_policy(box.box_id, box.slot, before)
            raise


async def refusals(boxes: Boxes, name: str, since_ns: int) -> Sequence[Refusal]:
    """Return what a box was refused after since_ns. Raises NotFound(box_not_found)."""
    return await boxes.machine.refusals(boxes.find(name).box_id, since_ns)


async def enforce(boxes: Boxes, box: Box) -> None:
    """Put the policy of a box in force, or none: before it starts, and when a daemon begins."""
    await boxes.machine.set_policy(box.box_id, box.slot, _policy_of(boxes, box))


async def inherit(boxes: Boxes, source_id: str, box: Box) -> str | None:
    """Put another's policy in force for a box that is being made; return it, to be written down."""
    document = boxes.database.read(lambda c: store.policy(c, source_id))
    if document is not None:
        await boxes.machine.set_policy(box.box_id, box.slot, parse(json.loads(document)))
    return document


def _policy_of(boxes: Boxes, box: Box) -> NetworkPolicy | None:
    document = boxes.database.read(lambda c: store.policy(c, box.box_id))
    return None if document is None else parse(json.loads(document))
