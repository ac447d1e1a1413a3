"""What may go wrong with the data directory, said so that its owner can do something about it."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Generator

from skerry.base import LimitReached, NotAvailable

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_BROKEN = frozenset((errno.EROFS, errno.EIO))
_BROKEN_SQLITE = frozenset((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN))
_KIND_BITS = 0xFF  # of SQLite's result codes; those above say more of the same kind


@contextlib.contextmanager
def writing_to(directory: object) -> Generator[None]:
    """Turn a data directory that takes no more into what can be done about it.

    Raises LimitReached(data_full), NotAvailable(data_unwritable).
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        kind = error.sqlite_errorcode & _KIND_BITS
        if kind == sqlite3.SQLITE_FULL:
            raise _full(directory) from error
        if kind in _BROKEN_SQLITE:
            raise _unwritable(directory) from error
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise _full(directory) from error
        if error.errno in _BROKEN:
            raise _unwritable(directory) from error
        if error.errno == errno.EACCES:
            raise _not_ours(directory) from error
        raise


def _full(directory: object) -> LimitReached:
    return LimitReached(
        "data_full",
        f"The file system of {directory} is full, so that nothing can be written down. Make room "
        "on it (`df` tells) and try again.",
    )


def _unwritable(directory: object) -> NotAvailable:
    return NotAvailable(
        "data_unwritable",
        f"{directory} cannot be written: its file system is full, read-only or broken. `df` and "
        "`dmesg` tell; mend that and try again.",
    )


def _not_ours(directory: object) -> NotAvailable:
    user = os.geteuid()
    return NotAvailable(
        "data_unwritable",
        f"{directory}, or something in it, may not be written by user {user}, as whom this program "
        f"runs. Give it to that user (`chown -R {user} {directory}`), or run this as its owner.",
    )
