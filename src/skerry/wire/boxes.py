"""Shapes of boxes. Times are RFC 3339, sizes bytes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from skerry.wire.sleeping import Sleep
from skerry.wire.words import BoxName, CheckpointName, ImageName

Label = Annotated[str, Meta(min_length=1, max_length=63)]
Labels = Annotated[list[Label], Meta(max_length=32)]
Environment = Annotated[dict[str, str], Meta(max_length=256)]
Status = Literal["running", "warm", "cold"]


# Least and most of what a box may be given.
CPUS_MAX = 4096
MEMORY_BYTES_RANGE = (16 << 20, 1 << 50)
DISK_BYTES_RANGE = (64 << 20, 1 << 50)
PROCESSES_RANGE = (16, 1 << 22)
FORKS_MAX = 1000

_Memory = Annotated[int, Meta(ge=MEMORY_BYTES_RANGE[0], le=MEMORY_BYTES_RANGE[1])]
_Disk = Annotated[int, Meta(ge=DISK_BYTES_RANGE[0], le=DISK_BYTES_RANGE[1])]
_Processes = Annotated[int, Meta(ge=PROCESSES_RANGE[0], le=PROCESSES_RANGE[1])]


class Limits(Struct, omit_defaults=True):
    """What a box may use at most. Left out: the setting's default. `cpus` may be a fraction."""

    cpus: Annotated[float, Meta(gt=0, le=CPUS_MAX)] | None = None
    memory_bytes: _Memory | None = None
    disk_bytes: _Disk | None = None
    processes: _Processes | None = None


class SpritesConfig(Struct):
    """The size that the Sprites SDKs send; taken as limits where given."""

    ram_mb: Annotated[int, Meta(ge=16, le=1 << 30)] | None = None
    cpus: Annotated[float, Meta(gt=0, le=CPUS_MAX)] | None = None
    storage_gb: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    region: str | None = None


class UrlSettings(Struct):
    """Who may open a box's web address: `sprite` is who has a token, a login or a share link.

    private_access: of the Sprites protocol, which has organizations; it changes nothing here.
    """

    auth: Literal["sprite", "public"] = "sprite"
    private_access: str | None = None


class CreateBox(Struct):
    """The body of `POST /v1/boxes`. A name left out is made up."""

    name: BoxName | None = None
    image: ImageName | None = None
    limits: Limits | None = None
    labels: Labels = field(default_factory=list[str])
    environment: Environment = field(default_factory=dict[str, str])
    sleep: Sleep | None = None
    config: SpritesConfig | None = None
    url_settings: UrlSettings | None = None
    wait_for_capacity: bool | None = None
    runtime: str | None = None


class UpdateBox(Struct):
    """The body of `PUT /v1/boxes/{name}`: what is left out stays as it is."""

    labels: Labels | None = None
    clear_labels: bool = False
    limits: Limits | None = None
    sleep: Sleep | None = None
    url_settings: UrlSettings | None = None


class Fork(Struct):
    """The body of `POST /v1/boxes/{name}/fork`.

    With count 1 the new box is called name; with more they are name-0, name-1 and so on.
    """

    name: BoxName | None = None
    checkpoint: CheckpointName | None = None
    count: Annotated[int, Meta(ge=1, le=FORKS_MAX)] = 1
    labels: Labels | None = None


class LimitsHit(Struct):
    """How often each limit stopped something since the box was started."""

    memory: int = 0
    processes: int = 0
    disk: bool = False


class Usage(Struct):
    """What a box uses now; `None` where the kernel does not tell."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    processes: int | None = None


class Box(Struct, kw_only=True):
    """A box, as `GET /v1/boxes/{name}` tells it."""

    id: str
    name: str
    status: Status
    image: str
    labels: list[str]
    limits: Limits
    sleep: Sleep
    address: str
    created_at: str
    updated_at: str
    last_running_at: str | None = None
    forked_from: str | None = None
    usage: Usage | None = None
    limits_hit: LimitsHit | None = None
    # The Sprites protocol's own fields.
    organization: str = "skerry"
    org_slug: str = "skerry"
    url: str | None = None
    url_settings: UrlSettings | None = None
    version: str | None = None
    environment_version: str | None = None
    primary_region: str = "local"


class MemoryPolicy(Struct):
    """A limit of memory as the Sprites protocol says it. autoscale is not known here."""

    limit_mb: Annotated[int, Meta(ge=MEMORY_BYTES_RANGE[0] >> 20, le=MEMORY_BYTES_RANGE[1] >> 20)]
    autoscale: bool | None = None


class Resources(Struct):
    """`.../policy/resources` of the Sprites protocol."""

    memory: MemoryPolicy | None = None


class Counts(Struct, kw_only=True):
    """How many boxes are in which state, as the Go SDK reads it."""

    name: str = "skerry"
    running: int
    warm: int
    cold: int
    running_limit: int
    warm_limit: int


class BoxList(Struct, kw_only=True):
    """One page of boxes. The Sprites SDKs read the list as `sprites`, Skerry's as `boxes`."""

    boxes: list[Box]
    sprites: list[Box]
    has_more: bool
    next_continuation_token: str | None
    org: Counts
    running: int
    warm: int
    cold: int


Health = Literal["healthy", "hibernated"]


class BoxCheck(Struct, kw_only=True):
    """`GET .../check`, as the Sprites SDKs read it."""

    sprite_name: str
    sprite_id: str
    status: Health
    checked_at: str


class Restarted(Struct, kw_only=True):
    """`POST .../restart`, as the Sprites SDKs read it."""

    sprite_name: str
    machine_id: str
    message: str


class DestroyedBox(Struct, kw_only=True):
    """A box in the trash: `POST /v1/trash/{id}/undo` brings it back until purge_at."""

    id: str
    name: str
    destroyed_at: str
    purge_at: str
