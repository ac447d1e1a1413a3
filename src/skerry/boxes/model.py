"""What a box, a checkpoint and an image are, and what must happen after a crash. Pure.

Nothing here knows SQL, the machine or the clock: times are given, plans are returned.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import Invalid, LimitReached, format_size
from skerry.boxes.idle import PartialSleepRule, SleepRule
from skerry.host.seam import BoxDisk, BoxLimits, BoxUsage

Status: TypeAlias = Literal["running", "warm", "cold"]
Access: TypeAlias = Literal["private", "public"]

SLOT_FIRST = 2  # 0 is the network's own address, 1 the gateway's
LABELS_MAX = 32
ENVIRONMENT_MAX = 256
LOCAL = "local"  # the account of the administrator on the machine itself
_AS_SETTINGS_SAY = PartialSleepRule()
_FULL_WITHIN_BYTES = 1 << 20  # the quota ends a write before the last block is taken


@dataclass(frozen=True, slots=True)
class Box:
    """A persistent computer as the database knows it. Whether it runs is the machine's to say.

    limits_pending: the machine may still hold it to other limits than these. account: who made it,
    and so whose it is in usage and budgets. access: who may open its web address. share_epoch:
    share links of an earlier one have ended.
    """

    box_id: str
    name: str
    slot: int
    image: str
    limits: BoxLimits
    labels: tuple[str, ...]
    environment: Mapping[str, str]
    created_at_ns: int
    updated_at_ns: int
    last_running_at_ns: int | None = None
    forked_from: str | None = None
    checkpoints_made: int = 0
    destroyed_at_ns: int | None = None
    purge_at_ns: int | None = None
    sleep: PartialSleepRule = _AS_SETTINGS_SAY
    limits_pending: bool = False
    account: str = LOCAL
    access: Access = "private"
    share_epoch: int = 0


@dataclass(frozen=True, slots=True)
class BoxView:
    """A box together with what is true of it right now. url: its web address, if there is one."""

    box: Box
    status: Status
    address: str
    sleep: SleepRule
    url: str | None


@dataclass(frozen=True, slots=True)
class PartialLimits:
    """Limits as asked for; None means the default, or for a change: as it is."""

    cpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class CreateSpec:
    """What a caller says of a box to be made. name None: one is made up."""

    name: str | None = None
    image: str | None = None
    limits: PartialLimits = PartialLimits()
    labels: Sequence[str] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    sleep: PartialSleepRule = _AS_SETTINGS_SAY
    account: str = LOCAL
    access: Access = "private"


@dataclass(frozen=True, slots=True)
class BoxChange:
    """What is to be another than it is; None stays."""

    labels: Sequence[str] | None = None
    limits: PartialLimits | None = None
    sleep: PartialSleepRule | None = None
    access: Access | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The disk of a box at one instant. name is `v3`, or `auto-3` for one made by Skerry itself."""

    box_id: str
    name: str
    number: int
    created_at_ns: int
    comment: str
    is_auto: bool


@dataclass(frozen=True, slots=True)
class PendingRestore:
    """A restore that was begun. While old_disk_id is the disk's id, the swap has not happened."""

    box_id: str
    checkpoint: str
    keep: Checkpoint
    old_disk_id: int


@dataclass(frozen=True, slots=True)
class Publication:
    """A port of a box that is one of this machine too, at listen: ADDRESS:PORT."""

    listen: str
    port: int


@dataclass(frozen=True, slots=True)
class Image:
    """A root filesystem that boxes start from. source says how it came to be.

    environment: variables of every command in a box made from it, unless the box has its own.
    """

    image_id: str
    name: str
    created_at_ns: int
    source: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that boxes follow. Sizes in bytes, times in nanoseconds.

    memory_low_share: below this part of the host's memory being free, warm boxes get cold.
    base_domain: what comes after a box's name in its web address; url_form: that address, with
    {name} in it, None where there are none.
    """

    default_image: str
    default_limits: BoxLimits
    boxes_max: int
    trash_keep_ns: int
    auto_checkpoints_max: int
    checkpoints_max: int
    ready_boxes: int
    stop_grace_ns: int
    sleep: SleepRule
    hold_max_ns: int
    memory_low_share: float
    base_domain: str = "localhost"
    url_form: str | None = None

    def url(self, name: str) -> str | None:
        """Return the web address of the box of that name."""
        return self.url_form.replace("{name}", name) if self.url_form else None


def settle_limits(asked: PartialLimits, otherwise: BoxLimits) -> BoxLimits:
    """Return asked, with otherwise standing in where it says nothing."""
    return BoxLimits(
        cpus=otherwise.cpus if asked.cpus is None else asked.cpus,
        memory_bytes=otherwise.memory_bytes if asked.memory_bytes is None else asked.memory_bytes,
        disk_bytes=otherwise.disk_bytes if asked.disk_bytes is None else asked.disk_bytes,
        processes=otherwise.processes if asked.processes is None else asked.processes,
    )


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels without repeats. Raises Invalid(bad_label)."""
    unique = tuple(dict.fromkeys(labels))
    if len(unique) > LABELS_MAX:
        raise Invalid("bad_label", f"A box has at most {LABELS_MAX} labels.")
    for label in unique:
        if not 1 <= len(label) <= 63 or not label.isprintable():
            raise Invalid("bad_label", "A label is 1 to 63 printable characters.")
    return unique


def is_disk_full(limits: BoxLimits, usage: BoxUsage) -> bool:
    """Tell whether so little of the disk is left that a write is likely to have failed."""
    used = usage.disk_bytes
    return used is not None and used > limits.disk_bytes - _FULL_WITHIN_BYTES


def disk_notice(limits: BoxLimits, usage: BoxUsage) -> str:
    """Return what to say to a command that failed where the disk is full; "" where it is not."""
    if not is_disk_full(limits, usage):
        return ""
    return (
        f"The box's disk of {format_size(limits.disk_bytes)} is full. Delete files or "
        "checkpoints, or give it more."
    )


def fitting_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an image's variables a box can have: the first that fit."""
    fitting: dict[str, str] = {}
    for name, value in environment.items():
        with contextlib.suppress(Invalid):
            fitting = check_environment({**fitting, name: value})
    return fitting


def check_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return environment as a plain dict. Raises Invalid(bad_environment)."""
    if len(environment) > ENVIRONMENT_MAX:
        raise Invalid("bad_environment", f"A box has at most {ENVIRONMENT_MAX} variables.")
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value or len(name) + len(value) > 32_768:
            raise Invalid(
                "bad_environment",
                f"{name[:40]!r} cannot be set: a variable's name has no '=' and no NUL byte, and "
                "with its value at most 32768 characters.",
            )
    return dict(environment)


def free_slot(taken: Collection[int], last: int) -> int:
    """Return the lowest slot not taken. Raises LimitReached(boxes_limit) past last."""
    for slot in range(SLOT_FIRST, last + 1):
        if slot not in taken:
            return slot
    raise LimitReached(
        "boxes_limit",
        f"The boxes' network has no address left ({last - SLOT_FIRST + 1} are in use). "
        "Destroy boxes, or start Skerry with a larger --network.",
    )


def surplus_autos(checkpoints: Sequence[Checkpoint], keep: int) -> list[Checkpoint]:
    """Return the automatic checkpoints beyond the newest keep, the oldest first."""
    autos = sorted((c for c in checkpoints if c.is_auto), key=lambda c: c.number)
    return autos[: max(0, len(autos) - keep)]


# -- what to do after a crash ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StopStray:
    """End a box that runs and should not: half made, ready for nobody now, or destroyed."""

    box_id: str


@dataclass(frozen=True, slots=True)
class DeleteStrayDisks:
    """Remove disks that no box owns."""

    box_id: str


@dataclass(frozen=True, slots=True)
class DeleteStrayCheckpoint:
    """Remove a snapshot that no checkpoint names: it was never acknowledged."""

    box_id: str
    name: str


@dataclass(frozen=True, slots=True)
class FinishRestore:
    """The disks were exchanged: name the replaced one and forget the plan."""

    restore: PendingRestore


@dataclass(frozen=True, slots=True)
class DropRestore:
    """The disks were not exchanged: remove what was staged and forget the plan."""

    restore: PendingRestore


@dataclass(frozen=True, slots=True)
class ForgetCheckpoint:
    """A checkpoint was being deleted: its data is gone, so its name goes too."""

    box_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ForgetBox:
    """A destroyed box was being purged: its disks are gone, so its row goes too."""

    box_id: str


@dataclass(frozen=True, slots=True)
class DeleteStrayImage:
    """Remove an image's subvolume that no image names."""

    image_id: str


@dataclass(frozen=True, slots=True)
class ForgetImage:
    """An image was being deleted: its data is gone, so its name goes too."""

    image_id: str


Repair: TypeAlias = (
    StopStray
    | DeleteStrayDisks
    | DeleteStrayCheckpoint
    | FinishRestore
    | DropRestore
    | ForgetCheckpoint
    | ForgetBox
    | DeleteStrayImage
    | ForgetImage
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that the database says."""

    boxes: Sequence[Box]
    checkpoints: Sequence[Checkpoint]
    restores: Sequence[PendingRestore]
    images: Sequence[Image]


@dataclass(frozen=True, slots=True)
class Found:
    """All that the machine says."""

    disks: Mapping[str, BoxDisk]
    running: Collection[str]
    images: Collection[str]


def plan_repairs(recorded: Recorded, found: Found) -> list[Repair]:
    """Return what makes machine and database agree again, in the order in which to do it.

    Rows are written after the data that they name and removed after it, so what has no row was
    never acknowledged, and a row without data was on its way out.
    """
    boxes = {box.box_id: box for box in recorded.boxes}
    repairs: list[Repair] = []
    repairs += [
        StopStray(box_id)
        for box_id in sorted(found.running)
        if box_id not in boxes or boxes[box_id].destroyed_at_ns is not None
    ]
    repairs += [DeleteStrayDisks(box_id) for box_id in sorted(found.disks) if box_id not in boxes]
    repairs += _restore_repairs(recorded.restores, found.disks)
    repairs += _checkpoint_repairs(recorded, found.disks)
    repairs += [
        ForgetBox(box.box_id)
        for box in recorded.boxes
        if box.destroyed_at_ns is not None and _disk(found.disks, box.box_id) is None
    ]
    named = {image.image_id for image in recorded.images}
    repairs += [DeleteStrayImage(image_id) for image_id in sorted(set(found.images) - named)]
    repairs += [ForgetImage(image_id) for image_id in sorted(named - set(found.images))]
    return repairs


def _disk(disks: Mapping[str, BoxDisk], box_id: str) -> int | None:
    return disks[box_id].disk_id if box_id in disks else None


def _restore_repairs(
    restores: Sequence[PendingRestore], disks: Mapping[str, BoxDisk]
) -> list[Repair]:
    return [
        DropRestore(restore)
        if _disk(disks, restore.box_id) == restore.old_disk_id
        else FinishRestore(restore)
        for restore in restores
    ]


def _checkpoint_repairs(recorded: Recorded, disks: Mapping[str, BoxDisk]) -> list[Repair]:
    named = {(c.box_id, c.name) for c in recorded.checkpoints}
    staged = {(r.box_id, r.keep.name) for r in recorded.restores}
    owned = {box.box_id for box in recorded.boxes}
    present = {(box_id, name) for box_id, disk in disks.items() for name in disk.checkpoints}
    strays = sorted((box_id, name) for box_id, name in present - named - staged if box_id in owned)
    repairs: list[Repair] = [DeleteStrayCheckpoint(box_id, name) for box_id, name in strays]
    repairs += [ForgetCheckpoint(box_id, name) for box_id, name in sorted(named - present)]
    return repairs
