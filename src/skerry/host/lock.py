"""The lock by which one daemon at a time has a data directory. What is in there it does not know.

The kernel lets go of it when the process ends, however it ends, so a crash leaves nothing to tidy.
"""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from skerry.base import NotAvailable


@contextlib.contextmanager
def hold_directory(path: Path) -> Generator[None]:
    """Hold the lock of the directory path, which must exist, until the block is left.

    Raises NotAvailable(already_running) at once where somebody else holds it.
    """
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotAvailable(
                "already_running",
                f"A daemon runs on {path} already. Stop it, or use another --data.",
            ) from None
        yield
    finally:
        os.close(lock)
