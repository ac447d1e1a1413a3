"""Connections to ports of boxes, which keep the box awake while they are open."""

import contextlib
from collections.abc import AsyncGenerator

from skerry.base import NotAvailable
from skerry.boxes import life
from skerry.boxes.context import Boxes
from skerry.host.seam import Connection

_LISTENS_NS_MAX = 10 * 10**9  # that what a woken box runs is waited for
_PAUSE_FIRST_NS, _PAUSE_LONGEST_NS = 2 * 10**6, 100 * 10**6


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
