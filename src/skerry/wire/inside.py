"""Shapes of what a box is told of itself."""

from msgspec import Struct


class InsideInfo(Struct, kw_only=True):
    """`GET /info` in a box; the last four are the Sprites protocol's."""

    version: str
    name: str
    id: str
    url: str | None
    image: str
    sprite_name: str
    sprite_id: str
    sprite_url: str | None
    org: str = "skerry"
