"""Forks: new boxes from the disk of another, or from a checkpoint of it."""

import asyncio
import dataclasses

from skerry.base import Invalid, box_name, new_id
from skerry.boxes import checkpoints, life, metered
from skerry.boxes.context import Boxes, together, whole
from skerry.boxes.model import LOCAL, Box, BoxView, check_labels

FORKS_MAX = 1000  # as the wire shapes have it
_AT_ONCE = 8  # more starts at a time only wait for each other in the kernel


@whole
async def fork(
    boxes: Boxes,
    source: str,
    checkpoint: str | None,
    names: list[str],
    labels: tuple[str, ...] | None = None,
    account: str = LOCAL,
) -> list[BoxView]:
    """Make new boxes from source, each with an identity of its own; if one fails, none.

    The source may run; what its processes hold in memory does not come along. The new boxes have
    its limits and environment, and its labels unless labels are given. Raises
    NotFound(box_not_found, checkpoint_not_found), Conflict(name_taken), Invalid(bad_name).
    """
    if not 1 <= len(names) <= FORKS_MAX:
        raise Invalid("bad_count", f"Fork 1 to {FORKS_MAX} boxes at a time.")
    names = [box_name(name) for name in names]
    origin = boxes.find(source)
    if checkpoint is not None:
        checkpoints.find_checkpoint(boxes, source, checkpoint)
    life.check_room(boxes, len(names))
    metered.check_budget(boxes, "", account)
    labels = origin.labels if labels is None else check_labels(labels)
    with boxes.coming(names):
        forks: list[Box] = []
        try:
            forks.extend(
                dataclasses.replace(
                    _forked(boxes, origin, name, checkpoint, labels), account=account
                )
                for name in names
            )
            await _make_all(boxes, origin, checkpoint, forks)
        except BaseException:
            boxes.slots.difference_update(box.slot for box in forks)
            raise
    return [boxes.view(box) for box in forks]


def _forked(
    boxes: Boxes, origin: Box, name: str, checkpoint: str | None, labels: tuple[str, ...]
) -> Box:
    now_ns = boxes.clock.now_ns()
    return dataclasses.replace(
        origin,
        box_id=new_id("box", boxes.entropy(10)),
        name=name,
        slot=life.new_slot(boxes),
        labels=labels,
        created_at_ns=now_ns,
        updated_at_ns=now_ns,
        last_running_at_ns=now_ns,
        forked_from=origin.name if checkpoint is None else f"{origin.name}@{checkpoint}",
        checkpoints_made=0,
        limits_pending=False,
        access="private",  # who shows a box to the world does not show its copies
        share_epoch=0,
    )


async def _make_all(boxes: Boxes, origin: Box, checkpoint: str | None, forks: list[Box]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)
    made: list[Box] = []

    async def make_one(box: Box) -> None:
        async with room:
            await life.make(boxes, box, source_id=origin.box_id, checkpoint=checkpoint)
        made.append(box)
        for hook in boxes.on_fork:
            await hook(origin, box)

    try:
        await together(*(make_one(box) for box in forks))
    except BaseException:
        for box in made:
            async with boxes.turns.of(box.box_id):
                await life.unmake(boxes, box)
        raise
