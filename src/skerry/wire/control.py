"""Shapes that are not about one box: errors, tokens, images, the machine's checks."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from skerry.wire.words import CheckpointName, ImageName


class Error(Struct, kw_only=True, omit_defaults=True):
    """The one shape of every error. `error` is the stable code, `code` the same or an errno name."""

    error: str
    message: str
    code: str = ""
    path: str | None = None
    details: dict[str, object] | None = None
    limit: int | None = None
    current_count: int | None = None
    retry_after_seconds: int | None = None


class CreateToken(Struct):
    """The body of `POST /v1/tokens`. Scopes: `read`, `write` (boxes), `admin` (everything).

    Or `own` alone: as `write`, but only for boxes that this token made, or one of its name.
    """

    name: Annotated[
        str, Meta(min_length=1, max_length=63, extra_json_schema={"pattern": "^[ -~]+$"})
    ]
    scopes: (
        Annotated[list[Literal["read", "write", "own", "admin"]], Meta(min_length=1, max_length=3)]
        | None
    ) = None


class Token(Struct, kw_only=True):
    """A token without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: str
    last_used_at: str | None = None


class CreatedToken(Struct, kw_only=True):
    """A new token; its secret is told this once."""

    id: str
    name: str
    scopes: list[str]
    created_at: str
    token: str


class Image(Struct, kw_only=True):
    """A root filesystem that boxes start from."""

    id: str
    name: str
    created_at: str
    source: str
    size_bytes: int | None = None


class ImportImage(Struct):
    """The body of `POST /v1/images/{name}/import`: a path on the host (administrators only)."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]


class SaveImage(Struct):
    """The body of `POST /v1/boxes/{name}/save`: keep the box's disk as an image."""

    image: ImageName
    checkpoint: CheckpointName | None = None


class CheckResult(Struct, kw_only=True):
    """One line of `skerry doctor`."""

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    advice: str = ""


class DoctorReport(Struct):
    """What this machine has and lacks."""

    ok: bool
    checks: list[CheckResult]


class Version(Struct, kw_only=True):
    """`GET /v1/version`."""

    version: str
    instance: str
    boxes: int
    pid: int
