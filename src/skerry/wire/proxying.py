"""Shapes of ports: a TCP connection to one over a WebSocket, and which of them listen."""

from typing import Annotated

from msgspec import Meta, Struct


class Connect(Struct):
    """The first message of a client. host is the box's own localhost, whatever it says."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    host: Annotated[str, Meta(max_length=253)] = "localhost"


class EndOfInput(Struct, tag="eof", tag_field="type"):
    """A text message of a client of ours: it sends no more, and still listens."""


class OpenPort(Struct, kw_only=True):
    """A TCP port that listens in a box, and on which address there."""

    port: int
    address: str


class PortList(Struct, tag="port_list", tag_field="type"):
    """The first message of `.../ports/watch`: what listens now."""

    ports: list[OpenPort]


class PortOpened(OpenPort, kw_only=True, tag="port_opened", tag_field="type"):
    """A port began to listen."""


class PortClosed(OpenPort, kw_only=True, tag="port_closed", tag_field="type"):
    """A port listens no more."""


class Connected(Struct, kw_only=True, omit_defaults=True):
    """The first message of the server: from now on all messages are bytes, both ways."""

    status: str
    target: str | None = None
    error: str | None = None
    message: str | None = None
