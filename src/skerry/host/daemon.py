"""What makes a process the daemon: one at a time on a data directory, with limits that fit.

What the daemon does is not known here.
"""

import contextlib
import fcntl
import os
import resource
from collections.abc import Generator
from pathlib import Path

from skerry.base import NotAvailable


@contextlib.contextmanager
def hold_directory(path: Path) -> Generator[None]:
    """Hold the lock of the directory path, which must exist, until the block is left.

    The kernel lets go of it when the process ends, however it ends: a crash leaves nothing to tidy.
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


def prepare_process() -> None:
    """Give this process as many open files as it may have, and the usual umask.

    Each connection, exec and box in use takes a few descriptors, and the usual soft limit is 1,024.
    A umask of the shell that started the daemon would show in files that it writes into boxes.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.umask(0o022)
