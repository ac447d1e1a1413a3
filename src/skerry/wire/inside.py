"""Shapes of what a box is told of itself, on the socket inside it."""

from msgspec import Struct

from skerry.wire.boxes import Limits
from skerry.wire.sleeping import Sleep


class InsideInfo(Struct, kw_only=True):
    """`GET /info` in a box; org and what begins with sprite_ are the Sprites protocol's.

    version: of Skerry. url: its web address, None where there is no gateway; access: who may open it.
    """

    version: str
    id: str
    name: str
    image: str
    created_at: str
    url: str | None
    access: str
    limits: Limits
    sleep: Sleep
    sprite_name: str
    sprite_id: str
    sprite_url: str | None
    org: str = "skerry"
