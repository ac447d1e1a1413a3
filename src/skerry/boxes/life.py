"""The life of boxes: create, find, list, change, start, stop, destroy, undo, purge."""

import contextlib
import dataclasses
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator

from skerry.base import (
    Conflict,
    LimitReached,
    NotFound,
    box_name,
    new_id,
    random_box_name,
)
from skerry.boxes import metered, policies, store
from skerry.boxes.context import Boxes, ReadyBox, together, whole
from skerry.boxes.idle import PartialSleepRule, change_rule
from skerry.boxes.model import (
    Box,
    BoxView,
    CreateSpec,
    check_environment,
    check_labels,
    free_slot,
    settle_limits,
)
from skerry.host.seam import BoxLimits, BoxStart, BoxUsage


@whole
async def create(boxes: Boxes, spec: CreateSpec) -> BoxView:
    """Make a box and start it; when this returns an exec may follow.

    Takes a box made ready ahead of time where one fits. Raises Invalid(bad_name, bad_label,
    bad_environment), Conflict(name_taken), NotFound(image_not_found), LimitReached(boxes_limit).
    """
    labels, environment = check_labels(spec.labels), check_environment(spec.environment)
    sleep = change_rule(spec.sleep, PartialSleepRule())
    name = box_name(spec.name) if spec.name is not None else made_up_name(boxes)
    image = boxes.find_image(spec.image or boxes.rules.default_image)
    check_room(boxes, 1)
    metered.check_budget(boxes, "", spec.account)
    limits = settle_limits(spec.limits, boxes.rules.default_limits)
    with boxes.coming([name]):
        ready = _take_ready(boxes, image.image_id)
        box = _new_box(boxes, name, image.name, limits, ready)
        box = dataclasses.replace(
            box,
            labels=labels,
            environment={**image.environment, **environment},
            sleep=sleep,
            account=spec.account,
            access=spec.access,
        )
        if ready is not None:
            await _claim(boxes, box, ready)
        else:
            await make(boxes, box, image_id=image.image_id)
    return boxes.view(box)


def made_up_name(boxes: Boxes) -> str:
    """Return a name that is free now."""
    for _ in range(20):
        name = random_box_name(boxes.entropy(4))
        with contextlib.suppress(Conflict), boxes.coming([name]):
            return name
    raise LimitReached("boxes_limit", "No free name was found. Give the box a name of your own.")


def check_room(boxes: Boxes, count: int) -> None:
    """Raise LimitReached(boxes_limit) if count more boxes would be too many."""
    living = boxes.database.read(store.living_count)
    if living + len(boxes.names_coming) + count > boxes.rules.boxes_max:
        raise LimitReached(
            "boxes_limit",
            f"There are {living} boxes, and at most {boxes.rules.boxes_max} may be (--boxes-max). "
            "Destroy some first.",
            {"limit": boxes.rules.boxes_max, "current_count": living},
        )


def new_slot(boxes: Boxes) -> int:
    """Take a free slot. Raises LimitReached(boxes_limit)."""
    slot = free_slot(boxes.slots, boxes.machine.slot_last)
    boxes.slots.add(slot)
    return slot


def _new_box(boxes: Boxes, name: str, image: str, limits: BoxLimits, ready: ReadyBox | None) -> Box:
    now_ns = boxes.clock.now_ns()
    return Box(
        box_id=ready.box_id if ready else new_id("box", boxes.entropy(10)),
        name=name,
        slot=ready.slot if ready else new_slot(boxes),
        image=image,
        limits=limits,
        labels=(),
        environment={},
        created_at_ns=now_ns,
        updated_at_ns=now_ns,
        last_running_at_ns=now_ns,
    )


def _take_ready(boxes: Boxes, image_id: str) -> ReadyBox | None:
    boxes.ready_wanted.set()
    for index, ready in enumerate(boxes.ready):
        if ready.image_id == image_id:
            return boxes.ready.pop(index)
    return None


async def _claim(boxes: Boxes, box: Box, ready: ReadyBox) -> None:
    """Make a ready box the one that was asked for."""
    machine = boxes.machine
    has_own_limits = box.limits != boxes.rules.default_limits
    row = dataclasses.replace(box, limits_pending=has_own_limits)
    works = [
        machine.give_identity(box.box_id, box.name, fresh=False),
        boxes.database.write(lambda c: store.insert_box(c, row)),
    ]
    # Its name is known as soon as its row is there, but whoever comes by it waits for its turn.
    async with boxes.turns.of(box.box_id):
        try:
            await together(*works)
            boxes.running[box.box_id] = ready.running
            if has_own_limits:
                await apply_limits(boxes, box)
        except BaseException:
            await unmake(boxes, box)
            raise
        boxes.signs_of(box.box_id).seen(boxes.clock.monotonic_ns(), "it was made")


async def apply_limits(boxes: Boxes, box: Box) -> None:
    """Make the limits of a box those that its row says, and note that they hold."""
    await boxes.machine.limit_disk(box.box_id, box.limits.disk_bytes)
    if box.box_id in boxes.running:
        await boxes.machine.limit(box.box_id, box.limits)
    await boxes.database.write(lambda c: store.settle_limits(c, box.box_id))


async def make(
    boxes: Boxes,
    box: Box,
    *,
    image_id: str | None = None,
    source_id: str | None = None,
    checkpoint: str | None = None,
) -> None:
    """Make the disk of a box from an image or another box's disk, write its row, start it.

    The data comes before the row that names it; whatever fails, nothing half made stays.
    """
    disk_bytes_max = box.limits.disk_bytes
    policy: str | None = None

    def write_row(connection: sqlite3.Connection) -> None:
        store.insert_box(connection, box)
        store.put_policy(connection, box.box_id, policy)

    async with boxes.turns.of(box.box_id):  # as in _claim
        try:
            if image_id is not None:
                await boxes.machine.clone_image(image_id, box.box_id, disk_bytes_max)
            else:
                assert source_id is not None
                await boxes.machine.clone_disk(source_id, checkpoint, box.box_id, disk_bytes_max)
                policy = await policies.inherit(boxes, source_id, box)
            await boxes.machine.give_identity(box.box_id, box.name, fresh=True)
            await together(_start(boxes, box), boxes.database.write(write_row))
        except BaseException:
            await unmake(boxes, box)
            raise


async def _start(boxes: Boxes, box: Box) -> None:
    boxes.running[box.box_id] = await boxes.machine.start(start_of(box))
    metered.note_soon(boxes, box)
    for hook in boxes.on_start:
        hook(box)


async def unmake(boxes: Boxes, box: Box) -> None:
    """Remove all traces of a box, half made or whole: process, disks, row, slot.

    The caller holds its turn.
    """
    boxes.running.pop(box.box_id, None)
    boxes.signs.pop(box.box_id, None)
    await boxes.machine.stop(box.box_id, 0)
    await boxes.machine.delete_disks(box.box_id)
    await boxes.database.write(lambda c: store.delete_box(c, box.box_id))
    boxes.slots.discard(box.slot)


def start_of(box: Box) -> BoxStart:
    """Return what the machine must know to start box."""
    return BoxStart(box.box_id, box.slot, box.name, box.limits)


async def wake(boxes: Boxes, box: Box) -> None:
    """Start or thaw box unless it runs: once, however many wait for it.

    The caller does not hold its turn, and is `using` it, or it may sleep again at once.
    """
    if boxes.status(box.box_id) != "running":
        async with boxes.hold(box.box_id) as current:  # not one that has got its name since
            await start_held(boxes, current)


@contextlib.asynccontextmanager
async def awake(boxes: Boxes, name: str, kind: str) -> AsyncGenerator[Box]:
    """Keep a box awake while the block lasts; it is woken first. kind: see `idle.reasons`.

    Raises NotFound(box_not_found), and what waking raises.
    """
    box = boxes.find(name)
    with boxes.using(box.box_id, kind):
        await wake(boxes, box)
        yield box


async def start_held(boxes: Boxes, box: Box) -> None:
    """Start or thaw box unless it runs. The caller holds its turn.

    Raises LimitReached(budget_reached), NotAvailable(box_start_failed).
    """
    if boxes.status(box.box_id) != "running":
        metered.check_budget(boxes, box.box_id, box.account)
    signs = boxes.signs_of(box.box_id)
    signs.seen(boxes.clock.monotonic_ns(), "it was woken")
    if box.box_id in boxes.running:
        if signs.frozen_at_ns is not None:
            await boxes.machine.thaw(box.box_id)
            signs.frozen_at_ns = None
            metered.note_soon(boxes, box)
        return
    signs.frozen_at_ns = None
    await policies.enforce(boxes, box)
    await boxes.machine.give_identity(box.box_id, box.name, fresh=False)
    await _start(boxes, box)
    started = dataclasses.replace(box, last_running_at_ns=boxes.clock.now_ns())
    await boxes.database.write(lambda c: store.update_box(c, started))


async def stop_held(boxes: Boxes, box: Box, grace_ns: int) -> None:
    """Stop box; SIGTERM first, SIGKILL after grace_ns. The caller holds its turn."""
    await metered.note(boxes, box)
    try:
        await boxes.machine.stop(box.box_id, grace_ns)
    finally:  # if it failed half way, the next use finds out what still runs
        boxes.running.pop(box.box_id, None)
    boxes.signs_of(box.box_id).frozen_at_ns = None


@whole
async def start(boxes: Boxes, name: str) -> BoxView:
    """Start a box; one that runs stays as it is. Raises NotFound(box_not_found)."""
    async with boxes.hold(name) as box:
        await start_held(boxes, box)
    return boxes.view(boxes.find(name))


@whole
async def stop(boxes: Boxes, name: str) -> BoxView:
    """Stop a box: its processes end, its disk stays. The next exec starts it again.

    Raises NotFound(box_not_found).
    """
    async with boxes.hold(name) as box:
        await stop_held(boxes, box, boxes.rules.stop_grace_ns)
    return boxes.view(box)


@whole
async def destroy(boxes: Boxes, name: str) -> Box:
    """End a box and put it into the trash, from where undo brings it back for a while.

    Raises NotFound(box_not_found).
    """
    async with boxes.hold(name) as box:
        now_ns = boxes.clock.now_ns()
        gone = dataclasses.replace(
            box, destroyed_at_ns=now_ns, purge_at_ns=now_ns + boxes.rules.trash_keep_ns
        )
        await boxes.database.write(lambda c: store.update_box(c, gone))
        boxes.end_disk(box.box_id)
        await stop_held(boxes, box, 0)
    return gone


def trash(boxes: Boxes, account: str | None = None) -> list[Box]:
    """Return destroyed boxes that can be brought back, the last destroyed first.

    account: only the boxes of that one.
    """
    destroyed = boxes.database.read(store.destroyed_boxes)
    return [box for box in destroyed if account in (None, box.account)]


@whole
async def undo(boxes: Boxes, which: str, as_name: str | None = None) -> BoxView:
    """Bring a destroyed box back, by its id or its name (then the last destroyed of that name).

    It comes back cold. Raises NotFound(not_in_trash), Conflict(name_taken), Invalid(bad_name).
    """
    box = find_in_trash(boxes, which)
    name = box_name(as_name) if as_name is not None else box.name
    check_room(boxes, 1)
    with boxes.coming([name]):
        async with boxes.turns.of(box.box_id):
            find_in_trash(boxes, box.box_id)
            back = dataclasses.replace(
                box, name=name, destroyed_at_ns=None, purge_at_ns=None,
                updated_at_ns=boxes.clock.now_ns(),
            )  # fmt: skip
            await boxes.database.write(lambda c: store.update_box(c, back))
    return boxes.view(back)


def find_in_trash(boxes: Boxes, which: str, account: str | None = None) -> Box:
    """Return a destroyed box by id or name; account: boxes of others are not there.

    Raises NotFound(not_in_trash).
    """
    for box in trash(boxes, account):
        if which in (box.box_id, box.name):
            return box
    raise NotFound(
        "not_in_trash", f"The trash holds no box {which[:80]!r}. `skerry trash` lists it."
    )


@whole
async def purge(boxes: Boxes, which: str) -> None:
    """Delete a destroyed box for good. Raises NotFound(not_in_trash)."""
    box_id = find_in_trash(boxes, which).box_id
    async with boxes.turns.of(box_id):
        box = find_in_trash(boxes, box_id)
        await boxes.machine.stop(box.box_id, 0)
        # The disks before the row: a crash between leaves a row that the next start forgets.
        await boxes.machine.delete_disks(box.box_id)
        await boxes.database.write(lambda c: store.delete_box(c, box.box_id))
        boxes.slots.discard(box.slot)
        boxes.signs.pop(box.box_id, None)
    await metered.forget(boxes, box_id)


def page(
    boxes: Boxes, prefix: str, count_max: int, after: str = "", account: str | None = None
) -> list[BoxView]:
    """Return boxes whose name begins with prefix, from past `after` on, in the order of names.

    account: only the boxes of that one.
    """
    if not (prefix + after).isascii():  # as all names are
        return []
    rows = boxes.database.read(lambda c: store.living_boxes(c, prefix, after, count_max, account))
    return [boxes.view(box) for box in rows]


def counts(boxes: Boxes, account: str | None = None) -> dict[str, int]:
    """Return how many boxes, or how many of account's, are in which status."""
    if account is not None:
        own = page(boxes, "", boxes.rules.boxes_max, account=account)
        return {"running": 0, "warm": 0, "cold": 0, **Counter(view.status for view in own)}
    living = boxes.database.read(store.living_count)
    states = Counter(map(boxes.status, boxes.running))
    awake, warm = states["running"], states["warm"]
    return {"running": awake, "warm": warm, "cold": max(0, living - awake - warm)}


async def usage(boxes: Boxes, name: str) -> BoxUsage:
    """Return what a box uses now. Raises NotFound(box_not_found)."""
    return await boxes.machine.usage(boxes.find(name).box_id)
