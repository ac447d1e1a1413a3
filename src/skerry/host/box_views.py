"""Lets a running box see directories of the host's, read-only, and nobody else near them.

The box's own start-up cannot do this: it runs as the box's root, who may not enter the directories
of the pool or of the daemon, and nobody on the host may, since set-user-id programs of boxes lie
there. So root on the host makes a mount that nobody has yet and moves it into the box.
Numbers are those of `linux/mount.h`; the calls are in Linux 5.12 and later.
"""

import ctypes
import errno
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from skerry.base import Conflict
from skerry.host.rooted import held

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on all machines
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXECUTION, _SHIFTED = 0x1, 0x2, 0x4, 0x8, 0x00100000
_PRIVATE = 1 << 18  # MS_PRIVATE
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class View:
    """A directory of the host's and where a box sees it, an absolute path without links.

    shifted: its files belong to ids of the box, as on its disk; else to nobody in the box.
    """

    directory: str
    place: str
    shifted: bool


class _Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def show(views: Sequence[View], init_pid: int) -> None:
    """Mount views, in their order, in the box whose first process is init_pid; those not there yet.

    Raises Conflict(box_not_running), OSError where the kernel refuses.
    """
    try:
        with open(f"/proc/{init_pid}/mountinfo", "rb") as file:
            there = {line.split(b" ")[4] for line in file}
        missing = [view for view in views if view.place.encode() not in there]
        if not missing:
            return
        users = os.open(f"/proc/{init_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        with held(users):
            mounts = os.open(f"/proc/{init_pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            with held(mounts):
                _show(missing, users, mounts)
    except (FileNotFoundError, ProcessLookupError):
        raise Conflict("box_not_running", "The box ended while it was started.") from None


def _show(views: Sequence[View], users: int, mounts: int) -> None:
    trees: list[tuple[int, str]] = []
    try:
        for view in views:
            trees.append((_detached(view, users), view.place))  # noqa: PERF401 - closed if one fails
        _move_into(mounts, trees)
    finally:
        for tree, _ in trees:
            os.close(tree)


def _detached(view: View, user_namespace: int) -> int:
    """Return a mount of a directory that lies nowhere yet."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(view.directory), flags)
    # Distributions mount /run so that nothing in it can be run; boxes shall run `skerry-env`.
    # Private: a copy of a mount passes on what is mounted on it, to the host and to other boxes.
    attributes = _Attributes(
        set=_READ_ONLY | _NO_SUID | _NO_DEVICES, clear=_NO_EXECUTION, propagation=_PRIVATE
    )
    if view.shifted:
        attributes.set |= _SHIFTED
        attributes.user_namespace = user_namespace
    try:
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _move_into(mounts: int, trees: Sequence[tuple[int, str]]) -> None:
    failed: list[OSError] = []

    def work() -> None:
        try:
            # A thread that shares its root directory with others may not enter a mount namespace.
            _check(_libc.unshare(_CLONE_FS))
            _check(_libc.setns(mounts, _CLONE_NEWNS))
            for tree, place in trees:
                # Looked up in the box: whatever links the box has put there lead into the box.
                _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, place.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
        except OSError as error:
            failed.append(error)

    # Its own thread, which ends in that namespace: nothing of ours ever runs there again.
    thread = threading.Thread(target=work, name="box-views")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise ProcessLookupError(number, os.strerror(number))
        raise OSError(number, os.strerror(number))
    return result
