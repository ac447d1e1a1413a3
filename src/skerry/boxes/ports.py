"""Ports of boxes: connections, which keep the box awake while they are open, and what listens."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from skerry.base import NotAvailable
from skerry.boxes import life
from skerry.boxes.context import Boxes
from skerry.host.seam import Connection

_LISTENS_NS_MAX = 10 * 10**9  # that what a woken box runs is waited for
_LOOK_EVERY_NS = 500 * 10**6
_PAUSE_FIRST_NS, _PAUSE_LONGEST_NS = 2 * 10**6, 100 * 10**6


@dataclass(frozen=True, slots=True)
class PortChange:
    """A port that began to listen in a box, on an address there, or ended."""

    port: int
    address: str
    is_open: bool


async def listening(boxes: Boxes, box_id: str, *, age_ns_max: int = 0) -> Mapping[int, str]:
    """Return the ports that listen in a box, and on which address; a box that is down has none.

    age_ns_max: what was seen for somebody else so lately is good enough.
    """
    now_ns = boxes.clock.monotonic_ns()
    seen = boxes.port_looks.get(box_id)
    if seen is not None and now_ns - seen[0] < age_ns_max:
        return seen[1]
    first = boxes.running.get(box_id)
    if first is None:
        boxes.port_looks.pop(box_id, None)
        return {}
    found = await boxes.machine.listening(first)
    boxes.port_looks[box_id] = (now_ns, found)
    return found


async def port_changes(
    boxes: Boxes, box_id: str, known: Mapping[int, str] | None = None
) -> AsyncGenerator[PortChange]:
    """Yield what changes from known on, or from now, for ever.

    This neither wakes the box nor keeps it awake.
    """
    known = await listening(boxes, box_id) if known is None else known
    while True:
        await boxes.clock.sleep_ns(_LOOK_EVERY_NS)
        if boxes.status(box_id) == "warm":
            continue
        # Shared by all who watch the box: a hundred terminals cost no more than one.
        now = await listening(boxes, box_id, age_ns_max=_LOOK_EVERY_NS // 2)
        for port in sorted(known.keys() - now.keys()):
            yield PortChange(port, known[port], is_open=False)
        for port in sorted(now.keys() - known.keys()):
            yield PortChange(port, now[port], is_open=True)
        known = now


@contextlib.asynccontextmanager
async def connection(boxes: Boxes, name: str, port: int, kind: str) -> AsyncGenerator[Connection]:
    """Give the block a connection to a port of a box, which is woken first and kept awake.

    A box that slept gets time until something listens. kind: see `idle.reasons`. Raises
    NotFound(box_not_found), NotAvailable(port_closed), and what waking raises.
    """
    box = boxes.find(name)
    was_awake = boxes.status(box.box_id) == "running"
    async with life.awake(boxes, name, kind) as box:
        opened = await _open(boxes, box.box_id, port, patient=not was_awake)
        try:
            yield opened
        finally:
            opened[1].close()


async def _open(boxes: Boxes, box_id: str, port: int, *, patient: bool) -> Connection:
    begun_ns = boxes.clock.monotonic_ns()
    pause_ns = _PAUSE_FIRST_NS
    while True:
        try:
            return await boxes.machine.connect(box_id, port)
        except NotAvailable as error:
            over = boxes.clock.monotonic_ns() - begun_ns > _LISTENS_NS_MAX
            if error.code != "port_closed" or not patient or over:
                raise
        await boxes.clock.sleep_ns(pause_ns)
        pause_ns = min(2 * pause_ns, _PAUSE_LONGEST_NS)
