"""How much a box may keep: one quota group per box, with its disk and all its checkpoints in it.

Simple quotas charge a block to the subvolume that wrote it, for as long as anybody keeps it. So a
box is charged for what it wrote since it was made, and a checkpoint costs it what it has overwritten
or deleted since; what it shares with its image costs nothing. What a fork still keeps of it stays
charged to the box that wrote it.

A group is named by the inode number of the box's directory: known before there is a disk, the same
whatever happens to the disk, and no other directory's while this one is there; the group goes
before it does. Sixteen bits of the pool's own place keep apart two pools in one filesystem.
"""

import contextlib
import os
import zlib
from collections.abc import Generator

from skerry.host import btrfs, btrfs_quota

_NUMBER_BITS = 32
_SUBVOLUME_ID_MIN = 256
_MORE_BYTES = 16 << 20  # far more than the blocks that one small transaction may change


def set_up(pool: int) -> bool:
    """Say whether disk limits hold in the pool, having turned simple quotas on if need be.

    Classic quotas, the owner's choice for their filesystem, stay as they are: no limits then.
    Raises OSError.
    """
    mode = btrfs_quota.quota_mode(pool)
    return mode == "simple" or (mode == "off" and btrfs_quota.enable_simple_quotas(pool))


def group_of(pool: int, box: int) -> int:
    """Return the group of the box whose directory is open. Raises OSError."""
    return _first_group(pool) | os.fstat(box).st_ino % (1 << _NUMBER_BITS)


def ensure(pool: int, group: int, disk_bytes_max: int, members: list[int]) -> None:
    """Make group if need be, set its limit, and have all members in it. Not durable by itself.

    Members are subvolumes that were made while the kernel knew no quotas. Raises OSError.
    """
    btrfs_quota.create_group(pool, group)
    btrfs_quota.limit_group(pool, group, disk_bytes_max)
    within = set(btrfs_quota.members(pool, group))
    for member in members:
        if member not in within:
            btrfs_quota.add_member(pool, member, group)


@contextlib.contextmanager
def more_room(pool: int, group: int) -> Generator[None]:
    """Let a full box do a little more for a moment: the kernel wants room even to set a flag.

    After a crash that little may stay. Raises OSError.
    """
    btrfs.commit(pool)  # usage is what it was at the last commit
    usage = btrfs_quota.group_usage(pool, group)
    assert usage is not None, "who is over the limit of a group is in it"
    full = max(usage.used_bytes, usage.bytes_max or 0)
    btrfs_quota.limit_group(pool, group, full + _MORE_BYTES)
    try:
        yield
    finally:
        btrfs_quota.limit_group(pool, group, usage.bytes_max)


def forget(pool: int, group: int) -> None:
    """Remove group; fine if there is none. Raises OSError.

    Members may be left: deleted subvolumes whose blocks a fork or an image still keeps.
    """
    for member in btrfs_quota.members(pool, group):
        btrfs_quota.remove_member(pool, member, group)
    btrfs_quota.delete_group(pool, group)


def forget_stale(pool: int, boxes: int) -> None:
    """Remove groups of this pool's boxes that are gone, and of deleted subvolumes, once empty.

    Newer kernels remove those of deleted subvolumes themselves, except where blocks outlived them.
    Raises OSError.
    """
    charged = btrfs_quota.groups(pool)  # asked first: a directory is there before its group
    with os.scandir(boxes) as entries:
        known = {entry.inode() % (1 << _NUMBER_BITS) for entry in entries}
    first = _first_group(pool)
    for group in charged:
        if group >> _NUMBER_BITS == first >> _NUMBER_BITS and group - first not in known:
            forget(pool, group)
    subvolumes = [group for group in charged if group >> btrfs_quota.LEVEL_SHIFT == 0]
    # Ids only grow: one below another that is in use is not just being made, with nothing yet in it.
    newest = max((number for number in subvolumes if charged[number]), default=0)
    for number in subvolumes:
        is_old = charged[number] == 0 and _SUBVOLUME_ID_MIN <= number < newest
        if is_old and not btrfs.exists(pool, number):
            btrfs_quota.delete_group(pool, number)


def _first_group(pool: int) -> int:
    place = f"{btrfs.subvolume(pool).id}:{os.fstat(pool).st_ino}".encode()
    return 1 << btrfs_quota.LEVEL_SHIFT | (zlib.crc32(place) & 0xFFFF) << _NUMBER_BITS
