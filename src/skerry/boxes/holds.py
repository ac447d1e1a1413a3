"""Holds: leases with an end that keep a box awake, taken from outside or from inside."""

from skerry.base import Conflict, Invalid, LimitReached, NotFound, format_duration
from skerry.boxes import store
from skerry.boxes.context import Boxes
from skerry.boxes.idle import HOLD_NAME_MAX, Hold

_HOLDS_MAX = 100


def list_holds(boxes: Boxes, name: str) -> list[Hold]:
    """Return the holds of a box that are not over. Raises NotFound(box_not_found)."""
    box, now_ns = boxes.find(name), boxes.clock.now_ns()
    return boxes.database.read(lambda c: store.holds(c, box.box_id, now_ns))


def find_hold(boxes: Boxes, name: str, hold: str) -> Hold:
    """Return a hold by its name. Raises NotFound(box_not_found, hold_not_found)."""
    for each in list_holds(boxes, name):
        if each.name == hold:
            return each
    raise NotFound(
        "hold_not_found",
        f"{boxes.find(name).name} has no hold {hold[:80]!r}, or it is over. Take a new one.",
    )


async def take_hold(
    boxes: Boxes, name: str, hold: str, duration_ns: int, *, renew: bool = False
) -> Hold:
    """Keep a box awake for duration_ns; renew: give a hold of that name this new end.

    Does not wake it. Raises NotFound(box_not_found), Invalid(bad_hold), Conflict(hold_taken),
    LimitReached(holds_limit).
    """
    box, now_ns = boxes.find(name), boxes.clock.now_ns()
    if not 1 <= len(hold) <= HOLD_NAME_MAX or not hold.isprintable():
        raise Invalid("bad_hold", f"A hold's name is 1 to {HOLD_NAME_MAX} printable characters.")
    longest_ns = boxes.rules.hold_max_ns
    if not 0 < duration_ns <= longest_ns:
        raise Invalid(
            "bad_hold",
            f"A hold lasts up to {format_duration(longest_ns)} (--hold-max). Renew it in time, or "
            "set the box never to sleep.",
        )
    there = [each.name for each in list_holds(boxes, name)]
    if hold in there and not renew:
        raise Conflict("hold_taken", f"{box.name} has a hold {hold!r} already. Renew that one.")
    if hold not in there and len(there) >= _HOLDS_MAX:
        raise LimitReached("holds_limit", f"{box.name} has {_HOLDS_MAX} holds. Release some.")
    taken = Hold(box.box_id, hold, now_ns, now_ns + duration_ns)

    await boxes.database.write(lambda c: store.put_hold(c, taken))
    return taken


async def release_hold(boxes: Boxes, name: str, hold: str) -> None:
    """End a hold. Raises NotFound(box_not_found, hold_not_found)."""
    found = find_hold(boxes, name, hold)
    await boxes.database.write(lambda c: store.delete_hold(c, found.box_id, hold))
