"""Shapes of the proxy: a TCP connection to a port of a box, over one WebSocket."""

from typing import Annotated

from msgspec import Meta, Struct


class Connect(Struct):
    """The first message of a client. host is the box's own localhost, whatever it says."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    host: Annotated[str, Meta(max_length=253)] = "localhost"


class Connected(Struct, kw_only=True, omit_defaults=True):
    """The first message of the server: from now on all messages are bytes, both ways."""

    status: str
    target: str | None = None
    error: str | None = None
    message: str | None = None
