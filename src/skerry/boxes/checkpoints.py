"""Checkpoints: keep the disk of a box, look at what changed, put it back."""

import contextlib
from collections.abc import Sequence

from skerry.base import LimitReached, NotFound, SkerryError, checkpoint_name
from skerry.boxes import life, metered, store
from skerry.boxes.context import Boxes, whole
from skerry.boxes.model import Box, Checkpoint, PendingRestore, surplus_autos
from skerry.host.seam import DiskChange


@whole
async def checkpoint(boxes: Boxes, name: str, comment: str = "") -> Checkpoint:
    """Keep the disk of a box as it is at this instant; the box runs on.

    Raises NotFound(box_not_found), LimitReached(checkpoints_limit, pool_full),
    Conflict(nested_subvolumes).
    """
    async with boxes.hold(name) as box:
        kept = [c for c in list_checkpoints(boxes, name) if not c.is_auto]
        if len(kept) >= boxes.rules.checkpoints_max:
            raise LimitReached(
                "checkpoints_limit",
                f"A box keeps at most {boxes.rules.checkpoints_max} checkpoints. Delete some with "
                f"`skerry checkpoint delete {box.name} {kept[0].name}`.",
                {"limit": boxes.rules.checkpoints_max},
            )
        made = _next(boxes, box, "v", comment)
        await boxes.machine.snapshot(box.box_id, made.name)
        await boxes.database.write(lambda c: store.insert_checkpoint(c, made))
        return made


def list_checkpoints(boxes: Boxes, name: str) -> list[Checkpoint]:
    """Return the checkpoints of a box, the oldest first. Raises NotFound(box_not_found)."""
    box_id = boxes.find(name).box_id
    return boxes.database.read(lambda c: store.checkpoints_of(c, box_id))


def find_checkpoint(boxes: Boxes, name: str, which: str) -> Checkpoint:
    """Return one checkpoint. Raises NotFound(box_not_found, checkpoint_not_found), Invalid."""
    checkpoint_name(which)
    for each in list_checkpoints(boxes, name):
        if each.name == which:
            return each
    box = boxes.find(name).name  # which may have been said by its id
    raise NotFound(
        "checkpoint_not_found",
        f"The box {box!r} has no checkpoint {which}. `skerry checkpoint list {box}` shows them.",
    )


@whole
async def delete_checkpoint(boxes: Boxes, name: str, which: str) -> None:
    """Delete a checkpoint. Raises NotFound(box_not_found, checkpoint_not_found)."""
    async with boxes.hold(name) as box:
        await _delete_held(boxes, find_checkpoint(boxes, box.name, which))


async def changes(
    boxes: Boxes, name: str, old: str, new: str | None = None
) -> Sequence[DiskChange]:
    """Return what differs from checkpoint old to new, or to the disk as it is now.

    Raises NotFound(box_not_found, checkpoint_not_found), LimitReached(too_many_changes).
    """
    box = boxes.find(name)
    find_checkpoint(boxes, name, old)
    if new is not None:
        find_checkpoint(boxes, name, new)
    return await boxes.machine.changes(box.box_id, old, new)


@whole
async def restore(boxes: Boxes, name: str, which: str) -> Checkpoint:
    """Put a box back to a checkpoint; return the automatic checkpoint that keeps what it replaced.

    The box's processes end; when this returns an exec may follow, unless its budget is used up. Whenever this is cut short the
    box has either the old disk or the new one, whole, and nothing of either is lost.
    Raises NotFound(box_not_found, checkpoint_not_found).
    """
    async with boxes.hold(name) as box:
        find_checkpoint(boxes, name, which)
        begun = boxes.database.read(lambda c: store.pending_restore(c, box.box_id))
        if begun is not None:  # one whose end failed
            await settle_restore(boxes, begun)
        keep = _next(boxes, boxes.find(name), "auto-", f"before restore of {which}")
        disk_id = await boxes.machine.disk_id(box.box_id)
        assert disk_id is not None, "a living box has a disk"
        restoring = PendingRestore(box.box_id, which, keep, disk_id)
        await boxes.database.write(lambda c: store.begin_restore(c, restoring))
        was_awake = box.box_id in boxes.running
        try:
            # What can fail for want of room comes before the box is touched.
            await boxes.machine.stage_disk(box.box_id, which, keep.name)
            await life.stop_held(boxes, box, 0)
            await boxes.machine.swap_disk(box.box_id, keep.name)
        except Exception:
            await settle_restore(boxes, restoring)
            if was_awake:
                with contextlib.suppress(SkerryError):  # why the restore failed says more
                    await life.start_held(boxes, boxes.find(name))
            raise
        await settle_restore(boxes, restoring)
        boxes.end_disk(box.box_id)
        if metered.refusal(boxes, box.box_id, box.account) is None:  # else it is back, and sleeps
            await life.start_held(boxes, boxes.find(name))
        for surplus in surplus_autos(
            list_checkpoints(boxes, name), boxes.rules.auto_checkpoints_max
        ):
            await _delete_held(boxes, surplus)
        return keep


async def settle_restore(boxes: Boxes, restoring: PendingRestore) -> None:
    """End a restore for good or ill: by the disk's id it is plain whether the swap happened."""
    machine, database = boxes.machine, boxes.database
    if await machine.disk_id(restoring.box_id) == restoring.old_disk_id:
        await machine.delete_checkpoint(restoring.box_id, restoring.keep.name)
        await database.write(lambda c: store.drop_restore(c, restoring.box_id))
    else:
        await machine.seal_checkpoint(restoring.box_id, restoring.keep.name)
        await database.write(lambda c: store.finish_restore(c, restoring))


def _next(boxes: Boxes, box: Box, prefix: str, comment: str) -> Checkpoint:
    number = box.checkpoints_made + 1
    return Checkpoint(
        box_id=box.box_id,
        name=f"{prefix}{number}",
        number=number,
        created_at_ns=boxes.clock.now_ns(),
        comment=comment,
        is_auto=prefix != "v",
    )


async def _delete_held(boxes: Boxes, gone: Checkpoint) -> None:
    await boxes.machine.delete_checkpoint(gone.box_id, gone.name)
    await boxes.database.write(lambda c: store.delete_checkpoint(c, gone.box_id, gone.name))
