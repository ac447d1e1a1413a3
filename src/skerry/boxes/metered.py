"""Boxes and the meter: when they are read, and what a budget that is used up does to them.

They are read at an interval, before one goes down and after one came up, so that no time is in
doubt. Without a meter, as in most tests, nothing here does anything.
"""

import asyncio
import contextlib
import functools
from collections.abc import Collection

from skerry import metering
from skerry.base import LimitReached, SkerryError
from skerry.boxes import store
from skerry.boxes.context import Boxes
from skerry.boxes.model import Box
from skerry.metering import Reading

_ALL_BOXES = 1 << 30


async def keep_metering(boxes: Boxes) -> None:
    """Read all boxes at the meter's interval, for ever."""
    if boxes.meter is None:
        return
    with contextlib.suppress(SkerryError):  # they do no harm until the next start
        await metering.forget_others(boxes.meter, {box.box_id for box in _all(boxes)})
    while True:
        with contextlib.suppress(SkerryError, OSError):  # what is not read now is counted next time
            await read(boxes, _all(boxes))
        await boxes.clock.sleep_ns(boxes.meter.interval_ns)


def over_budget(boxes: Boxes) -> dict[str, str]:
    """Return the boxes that must sleep, by id, and why."""
    return metering.over_budget(boxes.meter) if boxes.meter is not None else {}


async def read(boxes: Boxes, which: Collection[Box]) -> None:
    """Count what boxes have used since they were read last."""
    if boxes.meter is None or not which:
        return
    taken_ns = boxes.clock.monotonic_ns()
    found = await boxes.machine.metered({box.box_id: box.slot for box in which})
    readings = [
        Reading(
            box_id=box.box_id,
            box_name=box.name,
            account=box.account,
            state=boxes.status(box.box_id) if found[box.box_id].epoch is not None else "cold",
            taken_ns=taken_ns,
            epoch=found[box.box_id].epoch,
            cpu_ns=found[box.box_id].cpu_ns,
            memory_bytes=found[box.box_id].memory_bytes,
            written_bytes=found[box.box_id].written_bytes,
            received_bytes=found[box.box_id].received_bytes,
            sent_bytes=found[box.box_id].sent_bytes,
            stored_bytes=found[box.box_id].stored_bytes,
        )
        for box in which
    ]
    await metering.record(boxes.meter, readings)


async def note(boxes: Boxes, box: Box) -> None:
    """Read one box, which is about to go down. Whatever goes wrong stops nobody."""
    with contextlib.suppress(SkerryError, OSError):
        await read(boxes, [box])


def note_soon(boxes: Boxes, box: Box) -> None:
    """Read one box that came up just now, while its user goes on."""
    if boxes.meter is None:
        return
    task = asyncio.create_task(note(boxes, box))
    boxes.verbs_under_way.add(task)
    task.add_done_callback(functools.partial(boxes.verbs_under_way.discard))


async def forget(boxes: Boxes, box_id: str) -> None:
    """Drop what is kept to count a box that is gone; what it used stays in the ledger."""
    if boxes.meter is not None:
        with contextlib.suppress(SkerryError):
            await metering.forget(boxes.meter, [box_id])


def refusal(boxes: Boxes, box_id: str, account: str) -> str | None:
    """Return why a box may not wake, None if it may. A box_id of "" is one that is to be made."""
    if boxes.meter is None:
        return None
    return metering.refusal(boxes.meter, box_id, account)


def check_budget(boxes: Boxes, box_id: str, account: str) -> None:
    """Raise LimitReached(budget_reached) if a box may not wake, or be made."""
    why = refusal(boxes, box_id, account)
    if why is not None:
        raise LimitReached("budget_reached", why)


def _all(boxes: Boxes) -> list[Box]:
    """Return all boxes that keep something, those in the trash too."""
    living = boxes.database.read(lambda c: store.living_boxes(c, "", "", _ALL_BOXES))
    return [*living, *boxes.database.read(store.destroyed_boxes)]
