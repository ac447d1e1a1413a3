"""The few directories that a container is mounted on, and those that it may see and not change.

Whoever was root in a box may have put anything on its disk, such as links to files of the host.
Nothing here follows a link: every name is looked up in a directory that is already open.
"""

import contextlib
import os
import stat
from collections.abc import Callable

OTHER_NAME = ".sprite"
"""What programs made for the Sprites know `/.skerry` as."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare_mount_points(disk: str) -> None:
    """Make sure that disk has what a container is mounted on, as plain directories and one file.

    What stands in the way (a link, say) is renamed to `NAME.replaced-INODE`, not removed: it is
    the user's. A link gives `/.skerry` its other name, unless the user has something by that.
    The box must not run. Raises FileNotFoundError where there is no disk.
    """
    root = os.open(disk, _DIRECTORY)
    try:
        for name in ("proc", "sys", "dev", ".skerry"):
            _ensure(root, name, stat.S_ISDIR, _make_directory)
        ours = os.open(".skerry", _DIRECTORY, dir_fd=root)
        try:
            _ensure(ours, "init", stat.S_ISREG, _make_file)
        finally:
            os.close(ours)
        _link(root, OTHER_NAME, ".skerry")
    finally:
        os.close(root)


def withhold(directory: str, owner: int) -> None:
    """Make directory one that all may look into and only root of the host may change.

    owner is an id that no box has. What is mounted read-only into a box is not safe by that alone:
    its root may mount it again in another way. Whoever has no name for the owner has no power over
    what he owns. Raises FileNotFoundError where there is no directory.
    """
    descriptor = os.open(directory, _DIRECTORY)
    try:
        os.fchown(descriptor, owner, owner)
        os.fchmod(descriptor, 0o755)
    finally:
        os.close(descriptor)


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


def _link(root: int, name: str, target: str) -> None:
    # Of what is there nothing is lost for it, and a full disk is to start all the same.
    with contextlib.suppress(OSError):
        os.symlink(target, name, dir_fd=root)


def _make_directory(parent: int, name: str) -> None:
    os.mkdir(name, 0o755, dir_fd=parent)


def _make_file(parent: int, name: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o644, dir_fd=parent))
