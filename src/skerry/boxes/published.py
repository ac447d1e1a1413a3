"""Ports of boxes that are published: ports of this machine, for raw TCP from wherever.

Who listens there, and what becomes of connections, is not known here.
"""

import ipaddress
from collections.abc import Sequence

from skerry.base import Conflict, Invalid, LimitReached, NotFound
from skerry.boxes import store
from skerry.boxes.context import Boxes, whole
from skerry.boxes.model import Publication

_PUBLISHED_MAX = 64  # of one box
_PORT_LAST = 65_535


def list_published(boxes: Boxes, name: str) -> Sequence[Publication]:
    """Return the published ports of a box. Raises NotFound(box_not_found)."""
    return published_of(boxes, boxes.find(name).box_id)


def published_of(boxes: Boxes, box_id: str) -> Sequence[Publication]:
    """Return the published ports of a box, by its id."""
    return boxes.database.read(lambda c: store.published(c, box_id))


@whole
async def publish(boxes: Boxes, name: str, listen: str, port: int) -> Publication:
    """Make a port of this machine one of a box; listen: ADDRESS:PORT.

    Raises NotFound(box_not_found), Invalid(bad_address), Conflict(address_taken),
    LimitReached(published_limit).
    """
    publication = Publication(_address(listen), port)
    # One turn for all boxes: no two get the same port.
    async with boxes.turns.of("published"), boxes.hold(name) as box:
        owner = boxes.database.read(lambda c: store.publisher(c, publication.listen))
        if owner not in (None, box.name):
            raise Conflict("address_taken", f"{publication.listen} is a port of {owner!r} already.")
        if len(published_of(boxes, box.box_id)) >= _PUBLISHED_MAX:
            raise LimitReached("published_limit", f"A box has {_PUBLISHED_MAX} published ports.")
        if owner is None and (problem := await boxes.machine.listen_problem(publication.listen)):
            raise Conflict("address_taken", f"{publication.listen} cannot be had: {problem}.")
        await boxes.database.write(lambda c: store.put_published(c, box.box_id, publication))
    return publication


@whole
async def unpublish(boxes: Boxes, name: str, listen: str) -> None:
    """Take a port of this machine from a box; connections that are open go on.

    Raises NotFound(box_not_found, not_published), Invalid(bad_address).
    """
    address = _address(listen)
    async with boxes.hold(name) as box:
        if not await boxes.database.write(lambda c: store.delete_published(c, box.box_id, address)):
            raise NotFound("not_published", f"{box.name} has nothing published at {address}.")


def _address(text: str) -> str:
    address, _, port = text.rpartition(":")
    problem = Invalid("bad_address", f"{text[:80]!r} is no ADDRESS:PORT such as 0.0.0.0:5432.")
    try:
        parsed = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise problem from None
    if not (port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= _PORT_LAST):
        raise problem
    return f"[{parsed}]:{int(port)}" if parsed.version == 6 else f"{parsed}:{int(port)}"
