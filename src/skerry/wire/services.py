"""Shapes of services, as the Sprites protocol has them; `user` and `ready_path` are Skerry's own."""

from typing import Annotated

from msgspec import Meta, Struct, field

from skerry.wire.words import Argument, SignalName

ServiceName = Annotated[
    str,
    Meta(
        extra_json_schema={
            "pattern": "^[A-Za-z0-9]([A-Za-z0-9_-]|[.](?![.])){0,62}(?<![._-])$",
        }
    ),
]


class PutService(Struct):
    """The body of `PUT .../services/{service}`. cmd is the program alone, args what follows it."""

    cmd: Annotated[str, Meta(min_length=1, max_length=4096)]
    args: Annotated[list[Argument], Meta(max_length=5000)] = field(default_factory=list[str])
    env: Annotated[dict[str, str], Meta(max_length=256)] = field(default_factory=dict[str, str])
    dir: str | None = None
    needs: Annotated[list[str], Meta(max_length=64)] = field(default_factory=list[str])
    http_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    user: str | None = None
    ready_path: str | None = None


class ServiceStateShape(Struct, kw_only=True):
    """What a service does now."""

    name: str
    status: str
    pid: int | None = None
    started_at: str | None = None
    restart_count: int = 0
    next_restart_at: str | None = None
    error: str | None = None


class ServiceShape(Struct, kw_only=True):
    """A service of a box, and what it does."""

    name: str
    cmd: str
    args: list[str]
    env: dict[str, str]
    dir: str | None
    needs: list[str]
    http_port: int | None
    user: str | None
    ready_path: str | None
    wanted: bool
    state: ServiceStateShape


class ServiceEvent(Struct, kw_only=True, omit_defaults=True):
    """One line of the answer to a call that changes a service, or of its log.

    type: started, stdout, stderr, exit, stopping, stopped, error or complete. timestamp: in
    milliseconds since 1970.
    """

    type: str
    timestamp: int = 0
    data: str | None = None
    exit_code: int | None = None
    log_files: dict[str, str] | None = None


class SignalService(Struct):
    """The body of `POST .../services/signal`."""

    name: str
    signal: SignalName
