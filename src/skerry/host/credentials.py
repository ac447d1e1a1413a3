"""Whose permissions this thread's file calls have (setfsuid(2), setfsgid(2), setgroups(2)).

The three calls are made bare: the C library would spread them over all threads. With a file system
user other than 0 the kernel takes the capabilities that override permissions (CAP_DAC_OVERRIDE,
CAP_FOWNER, CAP_CHOWN, CAP_MKNOD, CAP_LINUX_IMMUTABLE and their like, capabilities(7)) out of this
thread's effective set, and gives them back with user 0. A thread stays invisible to the box:
signals and tracing go by other ids, which never change. What a box is, this file does not know.
"""

import ctypes
import functools
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from skerry.base import NotAvailable

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who files are made by and permissions are checked for, as ids on the disk."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


ROOT = Credentials(0, 0)
"""The host's own root. On a box's disk, where ids are not shifted, that is the box's root too."""


@dataclass(frozen=True, slots=True)
class _Numbers:
    setfsuid: int
    setfsgid: int
    setgroups: int


_NUMBERS = {
    "x86_64": _Numbers(122, 123, 116),
    "aarch64": _Numbers(151, 152, 159),
    "riscv64": _Numbers(151, 152, 159),
}

_QUERY = ctypes.c_long(-1)  # no valid id: the call changes nothing and returns the present one


@contextmanager
def acting_as(who: Credentials) -> Generator[None]:
    """Give this thread's file calls the permissions of who, and its own back at the end.

    ROOT changes nothing. Not to be nested; nothing inside may wait in an event loop, whose other
    tasks would act so too, or start a thread or process, which would for good. Raises
    NotAvailable(needs_root) if this process may not become who.
    """
    if who == ROOT:
        yield
        return
    before = Credentials(_file_uid(), _file_gid(), tuple(os.getgroups()))
    assert before.uid == os.geteuid(), "this thread already acts as somebody"
    try:
        _become(who)
        yield
    finally:
        _return_to(before)


def _become(who: Credentials) -> None:
    numbers = _numbers()
    groups = (ctypes.c_uint32 * len(who.groups))(*who.groups)
    if _libc.syscall(numbers.setgroups, ctypes.c_long(len(who.groups)), groups) != 0:
        raise _needs_root()
    _libc.syscall(numbers.setfsgid, ctypes.c_long(who.gid))
    # The user last: whoever could not become it must not have got this far with root's files.
    _libc.syscall(numbers.setfsuid, ctypes.c_long(who.uid))
    if (_file_uid(), _file_gid()) != (who.uid, who.gid):
        raise _needs_root()


def _return_to(before: Credentials) -> None:
    numbers = _numbers()
    groups = (ctypes.c_uint32 * len(before.groups))(*before.groups)
    _libc.syscall(numbers.setfsuid, ctypes.c_long(before.uid))
    _libc.syscall(numbers.setfsgid, ctypes.c_long(before.gid))
    _libc.syscall(numbers.setgroups, ctypes.c_long(len(before.groups)), groups)
    # A thread that kept another's ids would do the next caller's work with them.
    assert (_file_uid(), _file_gid()) == (before.uid, before.gid), "credentials were not restored"


def _file_uid() -> int:
    result: int = _libc.syscall(_numbers().setfsuid, _QUERY)
    return result


def _file_gid() -> int:
    result: int = _libc.syscall(_numbers().setfsgid, _QUERY)
    return result


@functools.cache
def _numbers() -> _Numbers:
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise NotAvailable(
            "unknown_machine",
            f"Skerry does not know the system calls of {machine}. Use x86_64, aarch64 or riscv64.",
        )
    return _NUMBERS[machine]


def _needs_root() -> NotAvailable:
    return NotAvailable("needs_root", "Skerry may not act as a box's user. Run it as root.")
