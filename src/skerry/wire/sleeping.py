"""Shapes of sleep and wake. Durations are text such as `30s`, or `never`."""

from typing import Annotated

from msgspec import Meta, Struct

from skerry.wire.words import Duration

SleepTime = Annotated[
    str,
    Meta(
        pattern=r"^(never|([0-9]{1,9}(\.[0-9]{1,9})?(ns|us|ms|s|m|h|d)){1,6})$",
        description="30s, or never",
    ),
]


HoldName = Annotated[str, Meta(min_length=1, max_length=64)]


class Sleep(Struct, omit_defaults=True):
    """When a box sleeps; left out: what the settings say, or for a change: as it is.

    warm_after: without a sign of life it is frozen. cold_after: once it was warm it is stopped.
    """

    warm_after: SleepTime | None = None
    cold_after: SleepTime | None = None


class Why(Struct, kw_only=True):
    """`GET .../why`: what keeps a box awake, or when it changes its status by itself.

    reasons: none when only time keeps it as it is. budget: why it may not wake. change_seconds: until next_status.
    """

    status: str
    reasons: list[str]
    last_sign: str
    budget: str | None = None
    idle_seconds: float
    warm_after: str
    cold_after: str
    next_status: str | None = None
    change_seconds: float | None = None


class TakeHold(Struct):
    """The body of `POST .../holds`, as the Sprites tasks have it. expire: a duration or seconds."""

    name: HoldName
    expire: Duration | int = "5m"


class RenewHold(Struct):
    """The body of `PUT .../holds/{hold}`."""

    expire: Duration | int = "5m"


class Hold(Struct, kw_only=True):
    """A lease that keeps a box awake until it ends."""

    name: str
    created_at: str
    expires_at: str
