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


def listening(boxes: Boxes, box_id: str) -> Mapping[int, str]:
    """Return the ports that listen in a box, and on which address; a box that is down has none."""
    first = boxes.running.get(box_id)
    return boxes.machine.listening(first) if first is not None else {}


async def port_changes(
    boxes: Boxes, box_id: str, known: Mapping[int, str]
) -> AsyncGenerator[PortChange]:
    """Yield what changes from known on, for ever; neither wakes the box nor keeps it awake."""
    while True:
        await boxes.clock.sleep_ns(_LOOK_EVERY_NS)
        if boxes.status(box_id) == "warm":
            continue
        now = listening(boxes, box_id)
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
