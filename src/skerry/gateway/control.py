"""What daemon and gateway say to each other: a JSON object a line, told apart by `type`. Pure.

The daemon listens; the gateway comes back whenever the connection is lost, says Hello, and gets the
whole Table. Fields are additive: a reader ignores what it does not know.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

_SECOND_NS = 10**9
_Count: TypeAlias = Annotated[int, Meta(ge=1)]
_Time: TypeAlias = Annotated[int, Meta(ge=1)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]

LINE_BYTES_MAX = 64 << 20
PROTOCOL = 1
HTTP_PORT = 8080
"""The port that a box's name means, unless one of its services says another."""


class Limits(Struct, frozen=True, kw_only=True):
    """What is let in at most. Sizes in bytes, times in nanoseconds.

    header_wait: from a head's first byte to its last; body_wait: between pieces of a body, and for
    a client that does not read; half_closed: for the answer, of a client that has ended its side
    and may be gone; answer_wait: until a box begins to answer; answer_idle: between
    pieces of an answer or in a tunnel; idle: a connection without a request; upstream_idle: an
    unused one to a box; connect_wait: for a port that neither takes nor refuses; listen_wait: for a
    port of a box that was just started; wake_wait: for a box to wake. held_bytes: of a body, while
    its box wakes; the rest waits at the client. connections: of clients, and likewise to boxes.
    """

    header_bytes_max: _Count = 64 << 10
    headers_max: _Count = 128
    header_wait_ns: _Time = 15 * _SECOND_NS
    body_wait_ns: _Time = 60 * _SECOND_NS
    half_closed_ns: _Time = 30 * _SECOND_NS
    answer_wait_ns: _Time = 300 * _SECOND_NS
    answer_idle_ns: _Time = 3600 * _SECOND_NS
    idle_ns: _Time = 75 * _SECOND_NS
    linger_ns: _Time = 2 * _SECOND_NS
    upstream_idle_ns: _Time = 30 * _SECOND_NS
    connect_wait_ns: _Time = 5 * _SECOND_NS
    listen_wait_ns: _Time = 30 * _SECOND_NS
    wake_wait_ns: _Time = 60 * _SECOND_NS
    held_bytes_max: _Count = 64 << 10
    connections_max: _Count = 8192
    connections_per_client_max: _Count = 1024
    requests_per_box_max: _Count = 2048
    waiting_per_box_max: _Count = 512
    upstream_idle_per_port_max: _Count = 64
    failed_logins_per_minute: _Count = 30


class Published(Struct, frozen=True):
    """A port of this machine, at ADDRESS:PORT, that is a port of a box."""

    listen: str
    port: Port


class Box(Struct, frozen=True, kw_only=True):
    """A box as the gateway needs it. pid and started_ticks: its first process, while it is awake."""

    box_id: str
    name: str
    awake: bool = False
    pid: int = 0
    started_ticks: int = 0
    access: Literal["private", "public"] = "private"
    http_port: Port = HTTP_PORT
    domains: tuple[str, ...] = ()
    share_epoch: int = 0
    published: tuple[Published, ...] = ()


class Token(Struct, frozen=True, kw_only=True):
    """A token as it is stored: secret_hash is the SHA-256 of its secret."""

    token_id: str
    secret_hash: bytes
    scopes: tuple[Literal["read", "write", "admin"], ...]


class Table(Struct, frozen=True, kw_only=True, tag="table"):
    """All that the gateway is to know; it replaces what it knew before.

    cookie_key: 32 random bytes that outlive the daemon. trusted_proxies: addresses or networks
    whose word about a request's way counts. cookie_ns: how long a login lasts. login_url: of the
    host with the login page, for boxes on domains of their own.
    """

    boxes: tuple[Box, ...]
    tokens: tuple[Token, ...]
    cookie_key: bytes
    trusted_proxies: tuple[str, ...] = ()
    cookie_ns: int = 30 * 86400 * _SECOND_NS
    login_url: str = ""
    limits: Limits = Limits()


class BoxChanged(Struct, frozen=True, tag="box"):
    """One box is new or has changed."""

    box: Box


class Gone(Struct, frozen=True, tag="gone"):
    """One box is no more; what is open to it is closed."""

    box_id: str


class Tokens(Struct, frozen=True, tag="tokens"):
    """All tokens, after one was made or revoked."""

    tokens: tuple[Token, ...]


class Woken(Struct, frozen=True, kw_only=True, tag="woken"):
    """The answer to Wake. error: why it failed, for people, without internals.

    The daemon takes something as open to the box until the gateway says how much is.
    was_started: its programs began anew, so that ports may take a while to listen.
    """

    id: int
    box_id: str
    error: str | None = None
    pid: int = 0
    started_ticks: int = 0
    was_started: bool = True


class MaySleep(Struct, frozen=True, tag="may_sleep"):
    """May this box be frozen or stopped? If the answer is yes, the gateway takes it as asleep."""

    id: int
    box_id: str


FromDaemon: TypeAlias = Table | BoxChanged | Gone | Tokens | Woken | MaySleep


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """The first words of the gateway."""

    protocol: int = PROTOCOL


class Wake(Struct, frozen=True, tag="wake"):
    """Requests wait for this box; told once, and again on a new connection."""

    id: int
    box_id: str
    port: int


class SleepAnswer(Struct, frozen=True, tag="sleep_answer"):
    """The answer to MaySleep. ok: nothing was open, and new requests will wake the box."""

    id: int
    ok: bool


class Traffic(Struct, frozen=True, kw_only=True, tag="traffic"):
    """What a box's web address had to do. open: exchanges now; the others: since last told."""

    box_id: str
    open: int
    requests: int
    bytes_in: int
    bytes_out: int


FromGateway: TypeAlias = Hello | Wake | SleepAnswer | Traffic

_encoder = msgspec.json.Encoder()
_from_daemon: msgspec.json.Decoder[FromDaemon] = msgspec.json.Decoder(FromDaemon)
_from_gateway: msgspec.json.Decoder[FromGateway] = msgspec.json.Decoder(FromGateway)


def line_of(message: FromDaemon | FromGateway) -> bytes:
    """Return a message as its line, with the line's end."""
    return _encoder.encode(message) + b"\n"


def from_daemon(line: bytes) -> FromDaemon:
    """Return the message in a line of the daemon's. Raises msgspec.DecodeError."""
    return _from_daemon.decode(line)


def from_gateway(line: bytes) -> FromGateway:
    """Return the message in a line of the gateway's. Raises msgspec.DecodeError."""
    return _from_gateway.decode(line)
