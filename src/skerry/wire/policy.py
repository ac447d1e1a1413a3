"""Shapes of network policies. The document itself is the Sprites protocol's and is read as it is."""

from msgspec import Struct, field


class Policy(Struct):
    """The body of `POST .../policy/network`: all rules; none leave the network open."""

    rules: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


class RefusalShape(Struct, kw_only=True):
    """Something that a box was refused, and how often. rule: its place among the rules, from 0.

    kind: name, answer (the name leads to an address that is closed) or packet.
    """

    kind: str
    name: str | None
    address: str | None
    protocol: str | None
    port: int | None
    rule: int | None
    why: str
    count: int
    first_at: str
    last_at: str
