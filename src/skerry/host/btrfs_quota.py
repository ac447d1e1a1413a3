"""The quota groups of btrfs, by its ioctls: who is charged for which bytes, and how many there may be.

Only simple quotas are ever turned on (Linux 6.7): they charge a block to the subvolume that wrote it
for as long as anybody keeps it. Classic quotas find out who shares what, which costs seconds of
cleaning per deleted snapshot. What is a member of which group, and why, is the business of `pool`.
"""

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from skerry.host import btrfs

_QUOTA_TREE = 8
_STATUS_ITEM, _INFO_ITEM, _LIMIT_ITEM, _RELATION_ITEM = 240, 242, 244, 246
_STATUS_ON = 1 << 0
_STATUS_SIMPLE = 1 << 3
_LIMIT_REFERENCED = 1 << 0
_ENABLE_SIMPLE = 4  # BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA
_UNLIMITED = 2**64 - 1  # clears a limit

# linux/btrfs.h: _IOWR(0x94, 40), _IOW 41 and 42, _IOR 43, with the sizes of their arguments.
_CONTROL = 0xC0109428
_ASSIGN = 0x40189429
_CREATE = 0x4010942A
_LIMIT = 0x8030942B

LEVEL_SHIFT = 48  # the upper 16 bits of a group's id are its level; level 0 is a subvolume's own


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """Bytes that a group is charged for, as of the last commit, and how many it may be."""

    used_bytes: int
    bytes_max: int | None


def quota_mode(filesystem: int) -> Literal["off", "simple", "classic"]:
    """Return which quotas the filesystem keeps. Raises OSError."""
    try:
        for _, data in btrfs.items(filesystem, _QUOTA_TREE, 0, _STATUS_ITEM):
            flags: int = struct.unpack_from("<QQQ", data)[2]
            if flags & _STATUS_ON:
                return "simple" if flags & _STATUS_SIMPLE else "classic"
    except OSError as error:
        if error.errno != errno.ENOENT:  # there is no quota tree
            raise
    return "off"


def enable_simple_quotas(filesystem: int) -> bool:
    """Turn simple quotas on; False where the kernel does not know them. Raises OSError.

    Quotas must be off: where classic ones are on, the kernel says yes and changes nothing.
    """
    try:
        btrfs.ioctl(filesystem, _CONTROL, bytearray(struct.pack("=QQ", _ENABLE_SIMPLE, 0)))
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOTTY, errno.EOPNOTSUPP}:
            return False
        raise
    return True


def create_group(filesystem: int, group: int) -> bool:
    """Make a group; False if there is one already. Raises OSError."""
    try:
        btrfs.ioctl(filesystem, _CREATE, bytearray(struct.pack("=QQ", 1, group)))
    except OSError as error:
        if error.errno == errno.EEXIST:
            return False
        raise
    return True


def delete_group(filesystem: int, group: int) -> bool:
    """Remove a group; False if the kernel still needs it or it is gone. Raises OSError.

    Needed are groups with members, and those of subvolumes whose blocks somebody still keeps.
    """
    try:
        btrfs.ioctl(filesystem, _CREATE, bytearray(struct.pack("=QQ", 0, group)))
    except OSError as error:
        if error.errno in {errno.EBUSY, errno.ENOENT}:
            return False
        raise
    return True


def add_member(filesystem: int, member: int, group: int) -> None:
    """Charge to group too what member is charged for from now on. Raises OSError (ENOENT)."""
    try:
        btrfs.ioctl(filesystem, _ASSIGN, bytearray(struct.pack("=QQQ", 1, member, group)))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def remove_member(filesystem: int, member: int, group: int) -> None:
    """Take member out of group, if it is in it. Raises OSError."""
    try:
        btrfs.ioctl(filesystem, _ASSIGN, bytearray(struct.pack("=QQQ", 0, member, group)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def limit_group(filesystem: int, group: int, bytes_max: int | None) -> None:
    """Let the members of group together be charged for bytes_max at most. Raises OSError."""
    limit = _UNLIMITED if bytes_max is None else bytes_max
    argument = struct.pack("=QQQQQQ", group, _LIMIT_REFERENCED, limit, 0, 0, 0)
    btrfs.ioctl(filesystem, _LIMIT, bytearray(argument))


def group_usage(filesystem: int, group: int) -> GroupUsage | None:
    """Return what a group is charged for and may be; None if there is no such group."""
    used = _item(filesystem, _INFO_ITEM, group)
    if used is None:
        return None
    bytes_max = None
    limit = _item(filesystem, _LIMIT_ITEM, group)
    if limit is not None:
        flags, referenced_max = struct.unpack_from("<QQ", limit)
        bytes_max = referenced_max if flags & _LIMIT_REFERENCED else None
    return GroupUsage(struct.unpack_from("<QQ", used)[1], bytes_max)


def groups(filesystem: int) -> Mapping[int, int]:
    """Return bytes charged, by group. Raises OSError."""
    return {
        group: struct.unpack_from("<QQ", data)[1]
        for group, data in btrfs.items(filesystem, _QUOTA_TREE, 0, _INFO_ITEM)
    }


def members(filesystem: int, group: int) -> list[int]:
    """Return the groups of a lower level that are charged to group too. Raises OSError."""
    level = group >> LEVEL_SHIFT
    related = btrfs.items(filesystem, _QUOTA_TREE, group, _RELATION_ITEM)
    return [other for other, _ in related if other >> LEVEL_SHIFT < level]


def _item(filesystem: int, item_type: int, group: int) -> bytes | None:
    found = btrfs.items(filesystem, _QUOTA_TREE, 0, item_type, group, group)
    return next((data for _, data in found), None)
