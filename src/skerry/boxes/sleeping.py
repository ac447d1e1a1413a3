"""Boxes fall asleep when nothing needs them, and say why they do not yet. Waking is in `life`.

A box is frozen only under its turn, and only if nobody uses it in that very moment: who wants to
use one counts itself first (`Boxes.using`) and wakes it then, which waits for the turn.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from skerry.base import Conflict, SkerryError
from skerry.boxes import life, metered, store
from skerry.boxes.context import Boxes, Signs, whole
from skerry.boxes.idle import (
    CPU_IDLE_SHARE,
    Signals,
    SleepRule,
    next_change_ns,
    next_step,
    reasons,
    settle_rule,
)
from skerry.boxes.model import Box, Status

_LOOK_EVERY_NS = 10**9
_SAMPLE_EVERY_NS = 3 * 10**9


@dataclass(frozen=True, slots=True)
class Wakefulness:
    """Why a box is awake, or when it goes to sleep. Times in nanoseconds.

    change_in_ns: until its next state, next_status; both None while something keeps it. budget: why
    it may not wake, or will be put to sleep at once.
    """

    status: Status
    reasons: Sequence[str]
    budget: str | None
    last_sign: str
    idle_ns: int
    rule: SleepRule
    next_status: Status | None
    change_in_ns: int | None


async def why(boxes: Boxes, name: str) -> Wakefulness:
    """Return why a box is awake, or when it will sleep. Raises NotFound(box_not_found)."""
    box = boxes.find(name)
    status, rule = boxes.status(box.box_id), _rule(boxes, box)
    signals = await _signals(boxes, box)
    left_ns = next_change_ns(signals, rule) if status != "cold" else None
    following: dict[Status, Status | None] = {"running": "warm", "warm": "cold", "cold": None}
    return Wakefulness(
        status=status,
        reasons=reasons(signals, rule) if status == "running" else [],
        budget=metered.refusal(boxes, box.box_id, box.account),
        last_sign=signals.last_sign,
        idle_ns=signals.idle_ns,
        rule=rule,
        next_status=following[status] if left_ns is not None else None,
        change_in_ns=left_ns,
    )


async def keep_asleep(boxes: Boxes) -> None:
    """Put boxes to sleep that nothing needs, for ever."""
    while True:
        await boxes.clock.sleep_ns(_LOOK_EVERY_NS)
        with contextlib.suppress(SkerryError, OSError):  # what cannot be done now is done later
            await put_to_sleep(boxes)


async def put_to_sleep(boxes: Boxes) -> None:
    """Freeze the boxes whose time has come, and stop those that have been warm for long enough."""
    await _sample(boxes)
    ready = {each.box_id for each in boxes.ready}
    over = metered.over_budget(boxes)
    short = await boxes.machine.memory_available_share() < boxes.rules.memory_low_share
    if short:
        with contextlib.suppress(SkerryError):  # one that cannot end keeps no other awake
            await _stop_longest_asleep(boxes)
    for box_id in [each for each in boxes.running if each not in ready]:
        # One that cannot sleep, or was destroyed in this moment, keeps no other awake.
        with contextlib.suppress(SkerryError):
            if box_id in over and boxes.status(box_id) == "running":
                await freeze(boxes, boxes.find_id(box_id).name, even_in_use=True)
            elif _may_be_due(boxes, box_id):
                await _settle(boxes, boxes.find_id(box_id))


async def _settle(boxes: Boxes, box: Box) -> None:
    step = next_step(await _signals(boxes, box), _rule(boxes, box))
    if step == "freeze":
        await freeze(boxes, box.name)
    elif step == "stop":
        await stop_asleep(boxes, box.name)


@whole
async def freeze(boxes: Boxes, name: str, *, even_in_use: bool = False) -> bool:
    """Freeze a box if nobody uses it, or even then; return whether it sleeps now.

    Raises NotFound(box_not_found), NotAvailable(box_busy).
    """
    async with boxes.hold(name) as box:
        signs = boxes.signs_of(box.box_id)
        if box.box_id not in boxes.running or signs.frozen_at_ns is not None:
            return True
        if not even_in_use and await _is_needed(boxes, box):
            return False
        await metered.note(boxes, box)
        if not even_in_use and signs.uses.total() > 0:  # somebody came while it was read
            return False
        # Said before it is done: who comes meanwhile waits for the turn and wakes it.
        signs.frozen_at_ns = boxes.clock.monotonic_ns()
        try:
            await boxes.machine.freeze(box.box_id)
        except SkerryError as error:
            signs.frozen_at_ns = None
            signs.seen(boxes.clock.monotonic_ns(), f"it could not be frozen: {error.code}")
            raise
    await boxes.machine.push_out(box.box_id)
    return True


async def _is_needed(boxes: Boxes, box: Box) -> bool:
    if not await _all_let_go(boxes, box):
        return True
    return bool(reasons(await _signals(boxes, box), _rule(boxes, box)))


async def _all_let_go(boxes: Boxes, box: Box) -> bool:
    """Ask those who keep connections to boxes on their own; one that has some open says no."""
    for gate in boxes.sleep_gates:
        if not await gate(box.box_id):
            boxes.signs_of(box.box_id).seen(boxes.clock.monotonic_ns(), "a request came")
            return False
    return True


@whole
async def stop_asleep(boxes: Boxes, name: str) -> None:
    """Stop a box that still sleeps. Raises NotFound(box_not_found)."""
    async with boxes.hold(name) as box:
        if boxes.status(box.box_id) == "warm":
            await life.stop_held(boxes, box, boxes.rules.stop_grace_ns)


async def _stop_longest_asleep(boxes: Boxes) -> None:
    """Give the host the memory of one warm box; the next look goes on if that was not enough."""
    asleep = [
        (signs.frozen_at_ns, box_id)
        for box_id, signs in boxes.signs.items()
        if signs.frozen_at_ns is not None and box_id in boxes.running
    ]
    if not asleep:
        return
    box_id = min(asleep)[1]
    box = boxes.database.read(lambda c: store.box_by_id(c, box_id))
    if box is not None:
        await stop_asleep(boxes, box.name)


def _rule(boxes: Boxes, box: Box) -> SleepRule:
    return settle_rule(box.sleep, boxes.rules.sleep)


def _may_be_due(boxes: Boxes, box_id: str) -> bool:
    """Tell whether time alone lets a box sleep: only then the dearer signals are read.

    Asked for each box each second, so it does without the database. Raises NotFound(box_not_found).
    """
    signs = boxes.signs_of(box_id)
    if signs.uses.total() > 0:
        return False
    if signs.rule is None:
        signs.rule = _rule(boxes, boxes.find_id(box_id))
    return next_step(_signals_at_hand(boxes, signs), signs.rule) != "stay"


def _signals_at_hand(boxes: Boxes, signs: Signs) -> Signals:
    now_ns = boxes.clock.monotonic_ns()
    return Signals(
        idle_ns=now_ns - signs.last_ns,
        last_sign=signs.last_sign,
        asleep_ns=None if signs.frozen_at_ns is None else now_ns - signs.frozen_at_ns,
        uses=signs.uses,
    )


async def _signals(boxes: Boxes, box: Box) -> Signals:
    signs = boxes.signs_of(box.box_id)
    unread: list[str] = []
    if boxes.status(box.box_id) == "running":
        unread = await _look_at_output(boxes, box, signs)
    at_hand = _signals_at_hand(boxes, signs)
    now_ns = boxes.clock.now_ns()
    return Signals(
        idle_ns=at_hand.idle_ns,
        last_sign=at_hand.last_sign,
        asleep_ns=at_hand.asleep_ns,
        uses=at_hand.uses,
        holds=boxes.database.read(lambda c: store.holds(c, box.box_id, now_ns)),
        unread=unread,
    )


async def _look_at_output(boxes: Boxes, box: Box, signs: Signs) -> list[str]:
    """Take in when sessions that nobody is attached to printed last; return what cannot be read."""
    try:
        states = await boxes.machine.sessions(box.box_id)
    except Conflict:
        return []
    except SkerryError:
        return ["what its sessions print"]
    printed_ns = [s.last_output_at_ns for s in states if s.exit_code is None]
    if printed_ns:
        ago_ns = max(0, boxes.clock.now_ns() - max(printed_ns))
        at_ns = boxes.clock.monotonic_ns() - ago_ns
        if at_ns > signs.last_ns:
            signs.seen(at_ns, "a session printed")
    return []


async def _sample(boxes: Boxes) -> None:
    """See which awake boxes work: those that used more than a little CPU since the last look."""
    now_ns = boxes.clock.monotonic_ns()
    due = [
        box_id
        for box_id in boxes.running
        for signs in [boxes.signs_of(box_id)]
        if signs.frozen_at_ns is None
        and not (signs.cpu and now_ns - signs.cpu[1] < _SAMPLE_EVERY_NS)
    ]
    if not due:
        return
    used = await boxes.machine.cpu_times(due)
    for box_id in due:
        signs = boxes.signs_of(box_id)
        if box_id not in used:
            signs.seen(now_ns, "its CPU use could not be read")
            continue
        before, signs.cpu = signs.cpu, (used[box_id], now_ns)
        if before and used[box_id] - before[0] > CPU_IDLE_SHARE * (now_ns - before[1]):
            signs.seen(now_ns, "it used the CPU")
