"""What a failed file call in a box is called: from errno to one error with a stable code.

Every error carries `details` with `path` (as the box names it) and `errno` (such as `ENOTEMPTY`, by
which other systems' clients tell failures apart). How it looks on a wire, this file does not know.
"""

import errno
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from skerry.base import (
    Conflict,
    Denied,
    Failed,
    Invalid,
    LimitReached,
    NotAvailable,
    NotFound,
    SkerryError,
    TooLarge,
)

_DENIED = (
    Denied,
    "permission_denied",
    "the user may not do this. Ask as the box's root (`--as-root`, `asRoot`), or change its mode",
)
_BUSY = (Conflict, "busy", "it is in use just now. Try again")
_FULL_TABLES = (NotAvailable, "too_many_open_files", "the host is short of descriptors. Try again")

_KINDS: Mapping[int, tuple[type[SkerryError], str, str]] = {
    errno.ENOENT: (NotFound, "no_such_path", "there is no such file or directory"),
    errno.EEXIST: (Conflict, "already_exists", "it exists already. Take another name"),
    errno.ENOTEMPTY: (
        Conflict,
        "directory_not_empty",
        "the directory is not empty. Ask for it recursively",
    ),
    errno.EISDIR: (
        Conflict,
        "is_a_directory",
        "it is a directory. Name a file, or ask recursively",
    ),
    errno.ENOTDIR: (Conflict, "not_a_directory", "a part of the path is not a directory"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: (Conflict, "read_only", "it is kept read-only, as checkpoints are"),
    errno.EDQUOT: (
        LimitReached,
        "disk_limit",
        "the box's disk is full. Delete files or checkpoints, or give it more",
    ),
    errno.ENOSPC: (
        LimitReached,
        "pool_full",
        "the host's pool is full. Delete boxes or checkpoints, or make the pool larger",
    ),
    errno.EFBIG: (TooLarge, "file_too_large", "the file would be too large"),
    errno.EMLINK: (LimitReached, "too_many_links", "it has too many links"),
    errno.ELOOP: (Invalid, "too_many_symlinks", "its symbolic links lead nowhere, or in a circle"),
    errno.ENAMETOOLONG: (
        Invalid,
        "bad_path",
        "a path has at most 4,095 bytes, a name in it 255",
    ),
    errno.EINVAL: (Invalid, "bad_path", "this cannot be done with that path"),
    errno.EXDEV: (Conflict, "other_filesystem", "the two lie on different filesystems. Copy it"),
    errno.EBUSY: _BUSY,
    errno.ETXTBSY: _BUSY,
    errno.EAGAIN: _BUSY,
    errno.EMFILE: _FULL_TABLES,
    errno.ENFILE: _FULL_TABLES,
    errno.EIO: (Failed, "disk_error", "the disk could not be read or written. See the host's log"),
}


def shown(path: str) -> str:
    """Return path as it may stand in a message: bytes that are no UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


def file_error(number: int, path: str) -> SkerryError:
    """Return the error that says what errno `number` means for path."""
    name = errno.errorcode.get(number, str(number))
    kind, code, sentence = _KINDS.get(
        number, (Failed, "file_operation_failed", f"the kernel said {name}")
    )
    return kind(code, f"{shown(path)}: {sentence}.", {"path": shown(path), "errno": name})


def bad_path(path: str, reason: str) -> Invalid:
    """Return the error for a path that no file can have, or that the call cannot take."""
    return Invalid(
        "bad_path", f"{shown(path)}: {reason}.", {"path": shown(path), "errno": "EINVAL"}
    )


def not_a_regular_file(path: str) -> Invalid:
    """Return the error for a FIFO, a socket or a device: they are never opened."""
    return Invalid(
        "not_a_regular_file",
        f"{shown(path)}: it is neither a file nor a directory. Use it by a command in the box.",
        {"path": shown(path), "errno": "EINVAL"},
    )


@contextmanager
def errors_about(path: str) -> Generator[None]:
    """Turn an OSError raised inside into the error that names path."""
    try:
        yield
    except OSError as error:
        raise file_error(error.errno or errno.EIO, path) from error
