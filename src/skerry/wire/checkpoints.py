"""Shapes of checkpoints, and of the NDJSON lines that report a longer piece of work."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field


class CreateCheckpoint(Struct):
    """The body of `POST .../checkpoint`."""

    comment: Annotated[str, Meta(max_length=1000)] = ""


class Checkpoint(Struct, kw_only=True):
    """The disk of a box at one instant."""

    id: str
    create_time: str
    comment: str = ""
    is_auto: bool = False
    history: list[str] = field(default_factory=list[str])


class Change(Struct, kw_only=True):
    """One path that differs between two states of a disk. Paths are absolute in the box."""

    path: str
    kind: Literal["added", "modified", "deleted", "renamed", "metadata"]
    from_path: str | None = None


class Progress(Struct, omit_defaults=True, kw_only=True):
    """One NDJSON line of a stream; the last one is `complete` or `error`."""

    type: Literal["info", "stdout", "stderr", "error", "complete"]
    data: str = ""
    error: str = ""
    time: str = ""
    code: str = ""
    result: dict[str, object] | None = None
