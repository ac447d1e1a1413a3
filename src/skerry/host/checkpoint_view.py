"""Lets a running box see its checkpoints, read-only, without letting anybody else near the pool.

The box's own start-up cannot do this: it runs as the box's root, who may not enter the pool's
directories, and nobody on the host may, since set-user-id programs of boxes lie there. So root on
the host makes a mount that nobody has yet (owners shifted, read-only) and moves it into the box.
Numbers are those of `linux/mount.h`; the calls are in Linux 5.12 and later.
"""

import ctypes
import errno
import os
import threading

from skerry.base import Conflict
from skerry.host.rooted import held

PLACE = "/.skerry/checkpoints"

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on all machines
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _SHIFTED = 0x1, 0x2, 0x4, 0x00100000
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def show_checkpoints(directory: str, init_pid: int) -> None:
    """Mount directory at PLACE in the box whose first process is init_pid, unless it is there.

    Raises Conflict(box_not_running), OSError where the kernel refuses.
    """
    try:
        with open(f"/proc/{init_pid}/mountinfo", "rb") as file:
            if any(line.split(b" ")[4] == PLACE.encode() for line in file):
                return
        users = os.open(f"/proc/{init_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        with held(users):
            mounts = os.open(f"/proc/{init_pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            with held(mounts), held(_detached(directory, users)) as tree:
                _move_into(mounts, tree)
    except (FileNotFoundError, ProcessLookupError):
        raise Conflict("box_not_running", "The box ended while it was started.") from None


def _detached(directory: str, user_namespace: int) -> int:
    """Return a mount of directory that lies nowhere yet."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(directory), flags)
    attributes = _Attributes(
        set=_READ_ONLY | _NO_SUID | _NO_DEVICES | _SHIFTED, user_namespace=user_namespace
    )
    try:
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _move_into(mounts: int, tree: int) -> None:
    failed: list[OSError] = []

    def work() -> None:
        try:
            # A thread that shares its root directory with others may not enter a mount namespace.
            _check(_libc.unshare(_CLONE_FS))
            _check(_libc.setns(mounts, _CLONE_NEWNS))
            # Looked up in the box: whatever links the box has put there lead into the box.
            _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, PLACE.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
        except OSError as error:
            failed.append(error)

    # Its own thread, which ends in that namespace: nothing of ours ever runs there again.
    thread = threading.Thread(target=work, name="show-checkpoints")
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
