"""Changing a box that is there: its labels, its limits, when it sleeps, who may open its address."""

import contextlib
import dataclasses

from skerry.base import SkerryError
from skerry.boxes import life, store
from skerry.boxes.context import Boxes, whole
from skerry.boxes.idle import change_rule
from skerry.boxes.model import Box, BoxChange, BoxView, check_labels, settle_limits


@whole
async def update(boxes: Boxes, name: str, change: BoxChange) -> BoxView:
    """Change labels, limits, access or when a box sleeps, which takes effect at once.

    Raises NotFound(box_not_found), Invalid(bad_label, bad_sleep).
    """
    labels, limits, sleep = change.labels, change.limits, change.sleep
    async with boxes.hold(name) as box:
        changed = dataclasses.replace(
            box,
            limits_pending=True,
            labels=box.labels if labels is None else check_labels(labels),
            limits=box.limits if limits is None else settle_limits(limits, box.limits),
            sleep=box.sleep if sleep is None else change_rule(sleep, box.sleep),
            access=change.access or box.access,
            updated_at_ns=boxes.clock.now_ns(),
        )
        if changed.limits == box.limits:
            changed = dataclasses.replace(changed, limits_pending=box.limits_pending)
        # The row first: if this is cut short, the next daemon applies what it says.
        await boxes.database.write(lambda c: store.update_box(c, changed))
        boxes.signs_of(box.box_id).rule = None
        if changed.limits != box.limits:
            await _change_limits(boxes, changed, box)
    return boxes.view(boxes.find(name))


async def _change_limits(boxes: Boxes, changed: Box, before: Box) -> None:
    """Apply changed limits; where the machine refuses one, all are again as they were."""
    try:
        await life.apply_limits(boxes, changed)
    except SkerryError:
        old = dataclasses.replace(before, limits_pending=True)
        await boxes.database.write(lambda c: store.update_box(c, old))
        with contextlib.suppress(SkerryError):  # why the change failed says more
            await life.apply_limits(boxes, old)
        raise
