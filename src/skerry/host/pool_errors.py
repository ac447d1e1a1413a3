"""What may go wrong with disks, said so that a user can do something about it."""

import contextlib
import errno
from collections.abc import Generator

from skerry.base import Conflict, LimitReached, NotAvailable, NotFound
from skerry.host import btrfs

_NAMED_MAX = 10  # paths in an error


def refuse_nested(source: int) -> None:
    """Raise Conflict(nested_subvolumes) if the open subvolume holds others, which it names."""
    subvolume_id = btrfs.subvolume(source).id
    if not btrfs.child_ids(source, subvolume_id):
        return
    within = btrfs.children(source, subvolume_id)
    paths = ["/" + child.path.decode(errors="backslashreplace") for child in within[:_NAMED_MAX]]
    raise Conflict(
        "nested_subvolumes",
        f"The disk holds btrfs subvolumes, which no snapshot keeps: {', '.join(paths)}. "
        "Copy what is in them into plain directories and delete them.",
        {"paths": paths},
    )


def no_such_disk(path: str) -> NotFound:
    """Return the error for a disk, checkpoint or image that is not in the pool."""
    return NotFound("no_such_disk", f"The pool has no {path}. It may have been deleted just now.")


def checkpoint_exists(name: str) -> Conflict:
    """Return the error for a checkpoint that would replace one that is no half made one."""
    return Conflict("checkpoint_exists", f"There is a checkpoint {name} already. Use another name.")


@contextlib.contextmanager
def explained() -> Generator[None]:
    """Turn what the filesystem refuses into what the user can do about it.

    Raises LimitReached(pool_full, disk_limit), Conflict(disk_in_use), NotAvailable(pool_read_only).
    """
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC:
                raise LimitReached(
                    "pool_full",
                    "The pool is full, or the disk that it lies on. Delete boxes, checkpoints or "
                    "images, or enlarge it. What was deleted just now is free in half a minute.",
                ) from error
            case errno.EDQUOT:
                raise LimitReached(
                    "disk_limit",
                    "The box's disk limit is reached. Delete files or checkpoints, or raise the "
                    "limit.",
                ) from error
            case errno.EPERM | errno.EBUSY | errno.ETXTBSY:
                raise Conflict(
                    "disk_in_use",
                    "The disk or checkpoint is being compared, or used as swap space. Try again "
                    "when that has ended.",
                ) from error
            case errno.EROFS | errno.EIO:
                raise NotAvailable(
                    "pool_read_only",
                    "The kernel has made the pool read-only after an error: see `dmesg`. If the "
                    "disk below it is full, make room there; then start the machine again.",
                ) from error
            case _:
                raise
