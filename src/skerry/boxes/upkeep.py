"""What runs beside the verbs: repairs at the start, boxes made ready, the trash emptied.

Each loop ends only by being cancelled. What the machine refuses now is tried again in the next
round; a mistake of ours ends the daemon, which the next start repairs, rather than leaving it half
alive.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import assert_never

from skerry.base import LimitReached, NotFound, SkerryError, new_id
from skerry.boxes import checkpoints, images, life, policies, store
from skerry.boxes import model as m
from skerry.boxes.context import Boxes, ReadyBox, together, whole
from skerry.boxes.model import Found, Repair, plan_repairs
from skerry.host.seam import BoxStart, Running

_LOOK_EVERY_NS = 5 * 10**9  # a box that ended by itself is told as cold at most so much later
_PURGE_EVERY_NS = 30 * 10**9
_QUIET_NS, _QUIET_ROUNDS_MAX = 80 * 10**6, 25
_RETRY_READY_NS = 10 * 10**9  # what fails for want of disk or memory is not tried in a tight loop


async def recover(boxes: Boxes) -> list[Repair]:
    """Make machine and database agree again; return what had to be done. Comes before all else."""
    recorded = boxes.database.read(store.recorded)
    running = await boxes.machine.running()
    found = Found(await boxes.machine.disks(), set(running), await boxes.machine.images())
    repairs = plan_repairs(recorded, found)
    for repair in repairs:
        await _carry_out(boxes, repair)
    recorded = boxes.database.read(store.recorded)
    boxes.slots = {box.slot for box in recorded.boxes}
    living = {box.box_id: box for box in recorded.boxes if box.destroyed_at_ns is None}
    boxes.running = {box_id: state for box_id, state in running.items() if box_id in living}
    now_ns = boxes.clock.now_ns()
    await boxes.database.write(lambda c: store.delete_ended_holds(c, now_ns))
    for box_id in await boxes.machine.frozen():
        boxes.signs_of(box_id).frozen_at_ns = boxes.clock.monotonic_ns()
    await boxes.machine.sweep({living[box_id].slot: box_id for box_id in boxes.running})
    for box_id in boxes.running:
        await policies.enforce(boxes, living[box_id])
    for box in living.values():
        if box.limits_pending:
            with contextlib.suppress(SkerryError):  # they hold from the next change on
                await life.apply_limits(boxes, box)
    for box_id in boxes.running:
        # A box claimed in the instant of the crash may still have the name it was made ready with.
        with contextlib.suppress(LimitReached):  # a full pool: only a new start can make room in it
            await boxes.machine.give_identity(box_id, living[box_id].name, fresh=False)
    return repairs


async def _carry_out(boxes: Boxes, repair: Repair) -> None:
    machine, database = boxes.machine, boxes.database
    match repair:
        case m.StopStray(box_id):
            await machine.stop(box_id, 0)
        case m.DeleteStrayDisks(box_id):
            await machine.delete_disks(box_id)
        case m.DeleteStrayCheckpoint(box_id, name):
            await machine.delete_checkpoint(box_id, name)
        case m.FinishRestore(restore) | m.DropRestore(restore):
            await checkpoints.settle_restore(boxes, restore)
        case m.ForgetCheckpoint(box_id, name):
            await database.write(lambda c: store.delete_checkpoint(c, box_id, name))
        case m.ForgetBox(box_id):
            await machine.delete_disks(box_id)
            await database.write(lambda c: store.delete_box(c, box_id))
        case m.DeleteStrayImage(image_id):
            await machine.delete_image(image_id)
        case m.ForgetImage(image_id):
            await database.write(lambda c: store.delete_image(c, image_id))
        case _:
            assert_never(repair)


async def keep_watch(boxes: Boxes) -> None:
    """Notice boxes that ended by themselves, and tidy up after ended execs."""
    while True:
        await boxes.clock.sleep_ns(_LOOK_EVERY_NS)
        with contextlib.suppress(SkerryError, OSError):  # a busy machine: the next look is soon
            await look(boxes)


async def look(boxes: Boxes) -> None:
    """Forget as running what runs no more, and remove what ended execs left."""
    running = await notice_ends(boxes)
    for ready in [each for each in boxes.ready if each.box_id not in running]:
        await _discard(boxes, ready)
        boxes.ready_wanted.set()
    await boxes.machine.tidy()


async def notice_ends(boxes: Boxes) -> Mapping[str, Running]:
    """Forget as running what runs no more; return what the machine says that runs."""
    before = dict(boxes.running)
    running = await boxes.machine.running()
    for box_id, state in before.items():
        # A box that was stopped and started while we looked has another state.
        if box_id not in running and boxes.running.get(box_id) == state:
            del boxes.running[box_id]
    return running


async def empty_trash(boxes: Boxes) -> None:
    """Purge destroyed boxes whose time is up."""
    while True:
        with contextlib.suppress(SkerryError, OSError):  # what cannot be purged now is tried again
            await purge_due(boxes)
        await boxes.clock.sleep_ns(_PURGE_EVERY_NS)


async def purge_due(boxes: Boxes) -> None:
    """Purge the destroyed boxes whose time is up now; none of them runs on."""
    now_ns = boxes.clock.now_ns()
    running = await boxes.machine.running()
    for box in life.trash(boxes):
        if box.box_id in running:  # one whose end failed when it was destroyed
            await boxes.machine.stop(box.box_id, 0)
        if box.purge_at_ns is not None and box.purge_at_ns <= now_ns:
            with contextlib.suppress(NotFound):  # brought back, or purged by hand, in this instant
                await life.purge(boxes, box.box_id)


async def keep_ready(boxes: Boxes) -> None:
    """Keep rules.ready_boxes boxes of the default image started ahead of time."""
    boxes.ready_wanted.set()
    while True:
        await boxes.ready_wanted.wait()
        await _quiet(boxes)
        boxes.ready_wanted.clear()
        try:
            await fill_ready(boxes)
        except (SkerryError, OSError):
            # A full pool, or an image deleted under us. Creates tell those whom it concerns.
            await boxes.clock.sleep_ns(_RETRY_READY_NS)
            boxes.ready_wanted.set()


async def _quiet(boxes: Boxes) -> None:
    """Wait a moment, and while boxes are being made, but not for ever.

    Whoever just took a ready box is about to use it; making the next one at once would slow down
    just that.
    """
    for _ in range(_QUIET_ROUNDS_MAX):
        await boxes.clock.sleep_ns(_QUIET_NS)
        if not boxes.names_coming:
            return


async def fill_ready(boxes: Boxes) -> None:
    """Bring the ready boxes up to the number and to the image that they should have."""
    wanted = boxes.rules.default_image
    current = next((i.image_id for i in images.list_images(boxes) if i.name == wanted), None)
    for stale in [ready for ready in boxes.ready if ready.image_id != current]:
        await _discard(boxes, stale)
    while current is not None and len(boxes.ready) < boxes.rules.ready_boxes:
        await _add_ready(boxes, current)


@whole
async def _add_ready(boxes: Boxes, image_id: str) -> None:
    box_id, slot = new_id("box", boxes.entropy(10)), life.new_slot(boxes)
    limits = boxes.rules.default_limits
    start = BoxStart(box_id, slot, "ready", limits)
    try:
        await boxes.machine.clone_image(image_id, box_id, limits.disk_bytes)
        await boxes.machine.give_identity(box_id, start.hostname, fresh=True)
        running = await boxes.machine.start(start)
    except BaseException:
        await _remove(boxes, box_id, slot)
        raise
    boxes.ready.append(ReadyBox(box_id, slot, image_id, running))


async def _discard(boxes: Boxes, ready: ReadyBox) -> None:
    """Remove a ready box. It is out of the list at once, so that nobody takes it."""
    boxes.ready.remove(ready)
    try:
        await _remove(boxes, ready.box_id, ready.slot)
    except BaseException:
        boxes.ready.append(dataclasses.replace(ready, image_id=""))  # stale: tried again
        raise


@whole
async def _remove(boxes: Boxes, box_id: str, slot: int) -> None:
    await boxes.machine.stop(box_id, 0)
    await boxes.machine.delete_disks(box_id)
    boxes.slots.discard(slot)


async def discard_ready(boxes: Boxes) -> None:
    """Remove all ready boxes: at the end of the daemon nobody would take them."""
    leaving, boxes.ready = boxes.ready, []
    await together(*(_remove(boxes, ready.box_id, ready.slot) for ready in leaving))
