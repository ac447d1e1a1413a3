"""Opening paths below a directory so that the kernel keeps them there (openat2(2)).

Two ways: `open_within` reads a path as a box does, with its links and with the directory as `/`;
`open_beneath` follows no link at all. Neither leaves the directory, enters another mount, or takes
a magic link of /proc. There is no second look-up by path anywhere: what is done afterwards is done
to a descriptor, or to one name in a directory that a descriptor stands for.

Paths are str with bytes that are no UTF-8 as surrogates (os.fsencode). Errors are OSError. Whose
permissions count, and what a box is, this file does not know.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager

_libc = ctypes.CDLL(None, use_errno=True)

# Both are so new that their numbers are the same on every architecture.
_OPENAT2, _FACCESSAT2 = 437, 439
_HOW = struct.Struct("=QQQ")  # open_how: flags, mode, resolve

_NO_MOUNT, _NO_MAGIC_LINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x01, 0x02, 0x04, 0x08, 0x10

_WITHIN = _IN_ROOT | _NO_MAGIC_LINKS | _NO_MOUNT
_FIXED = _BENEATH | _NO_SYMLINKS | _NO_MAGIC_LINKS | _NO_MOUNT

_AT_EMPTY_PATH, _AT_EACCESS = 0x1000, 0x200

# The kernel gives up on a `..` if anything anywhere was renamed during the walk, which takes some
# microseconds. Beside a process that did nothing but rename, one call in twelve had to try
# again, and none of 625,000 more than twice.
_ATTEMPTS_MAX = 1000

# Links that end a path and are followed by hand, as many as the kernel itself follows.
_LINKS_MAX = 40

_PARTS_MAX = 2048  # a path of 4,095 bytes has no more

HANDLE = os.O_PATH | os.O_CLOEXEC
"""Flags of a descriptor that names a thing and touches it no further: devices and FIFOs too."""

# Not to wait: for a FIFO that was not seen as one, or for a lease that a box's process holds.
_DATA = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_within(root: int, path: str, flags: int = HANDLE) -> int:
    """Open path as a process sees it whose `/` is root. Raises OSError."""
    return _openat2(root, path, flags, _WITHIN)


def open_beneath(base: int, path: str, flags: int = HANDLE) -> int:
    """Open a relative path below base, in which no part is a link; "" is base itself.

    Raises OSError, ELOOP where a part is a link.
    """
    return _openat2(base, path or ".", flags | os.O_NOFOLLOW, _FIXED)


def open_parent(root: int, path: str) -> tuple[int, str]:
    """Open the directory of an absolute path; return it and the last name, which is not looked at.

    The path's last part is a name, not `..`, and not the root. Raises OSError.
    """
    directory, _, name = path.rpartition("/")
    assert name not in ("", ".", ".."), "the caller checks that a path ends in a name"
    return open_within(root, directory or "/", HANDLE | os.O_DIRECTORY), name


def open_target_parent(root: int, path: str) -> tuple[int, str]:
    """Do the same for the path that path leads to if it is a link, as open(2) with O_CREAT does.

    Raises OSError, ELOOP after 40 links.
    """
    for _ in range(_LINKS_MAX):
        directory, name = open_parent(root, path)
        with closing_on_error(directory):
            target = _link_target(directory, name)
        if target is None:
            return directory, name
        os.close(directory)
        # The kernel reads the joined path from the top, so that `..` in the link is the parent of
        # where the link really lies.
        path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        path = path.rstrip("/")
        if path.rpartition("/")[2] in ("", ".", ".."):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def reopen(descriptor: int, flags: int) -> int:
    """Open for use what a HANDLE stands for, with the permissions of now. Raises OSError.

    The caller has seen by fstat(2) that it is a file or a directory.
    """
    return os.open(f"/proc/self/fd/{descriptor}", flags | _DATA)


def handle_path(descriptor: int) -> str:
    """Return a path that leads to exactly what descriptor stands for, for calls that want one."""
    return f"/proc/self/fd/{descriptor}"


def check_writable(descriptor: int) -> None:
    """Find out whether this thread's user may write what a HANDLE stands for, without opening it.

    So that a program that runs may be replaced, and no lease is broken. Raises OSError if not.
    """
    result: int = _libc.syscall(
        _FACCESSAT2,
        descriptor,
        b"",
        ctypes.c_long(os.W_OK),
        ctypes.c_long(_AT_EMPTY_PATH | _AT_EACCESS),
    )
    if result != 0:
        raise _last_error()


def lies_in(directory: int, above: os.stat_result, root: int) -> bool:
    """Tell whether directory is the one that `above` describes, or lies below it, within root."""
    top = os.fstat(root)
    here = os.dup(directory)
    for _ in range(_PARTS_MAX):
        with held(here):
            status = os.fstat(here)
            if os.path.samestat(status, above):
                return True
            if os.path.samestat(status, top):
                return False
            here = _openat2(here, "..", HANDLE | os.O_DIRECTORY, _NO_MOUNT | _NO_MAGIC_LINKS)
    os.close(here)
    raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


@contextmanager
def held(descriptor: int) -> Generator[int]:
    """Close descriptor at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def closing_on_error(descriptor: int) -> Generator[int]:
    """Close descriptor if what is done inside fails; else it is the caller's."""
    try:
        yield descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _link_target(directory: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # no link
            return None
        raise


def _openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    how = _HOW.pack(flags | os.O_CLOEXEC, 0, resolve)
    name = os.fsencode(path)
    for _ in range(_ATTEMPTS_MAX):
        result: int = _libc.syscall(_OPENAT2, directory, name, how, ctypes.c_long(len(how)))
        if result >= 0:
            return result
        error = _last_error()
        if error.errno not in (errno.EAGAIN, errno.EINTR):
            raise error
        os.sched_yield()
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
