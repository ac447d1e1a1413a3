"""The few directories of a box's disk that its container is mounted on. Knows no container.

Whoever was root in the box may have put anything in their place, such as links to files of the
host. Nothing here follows a link: every name is looked up in a directory that is already open.
"""

import os
import stat
from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare_mount_points(disk: str) -> None:
    """Make sure that disk has what a container is mounted on, as plain directories and one file.

    What stands in the way (a link, say) is renamed to `NAME.replaced-INODE`, not removed: it is
    the user's. The box must not run. Raises FileNotFoundError where there is no disk.
    """
    root = os.open(disk, _DIRECTORY)
    try:
        for name in ("proc", "sys", "dev", ".skerry"):
            _ensure(root, name, stat.S_ISDIR, _make_directory)
        ours = os.open(".skerry", _DIRECTORY, dir_fd=root)
        try:
            _ensure(ours, "init", stat.S_ISREG, _make_file)
            _ensure(ours, "checkpoints", stat.S_ISDIR, _make_directory)
        finally:
            os.close(ours)
    finally:
        os.close(root)


def _ensure(
    parent: int, name: str, is_right: Callable[[int], bool], make: Callable[[int, str], None]
) -> None:
    try:
        status = os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        make(parent, name)
        return
    if not is_right(status.st_mode):
        os.rename(name, f"{name}.replaced-{status.st_ino}", src_dir_fd=parent, dst_dir_fd=parent)
        make(parent, name)


def _make_directory(parent: int, name: str) -> None:
    os.mkdir(name, 0o755, dir_fd=parent)


def _make_file(parent: int, name: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o644, dir_fd=parent))
