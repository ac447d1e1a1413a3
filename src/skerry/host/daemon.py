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

_RUN_DIRECTORY = Path("/run/skerry")


@contextlib.contextmanager
def hold_directory(path: Path) -> Generator[None]:
    """Hold the lock of the directory path, which must exist, until the block is left.

    Raises NotAvailable(already_running) at once where somebody else holds it.
    """
    with _hold(path / "lock", f"A daemon runs on {path} already. Stop it, or use another --data."):
        yield


@contextlib.contextmanager
def hold_instance(instance: str) -> Generator[None]:
    """Hold the name of an instance, one that is safe in a path, until the block is left.

    Its control groups, links and rules carry that name. Raises NotAvailable(already_running).
    """
    _RUN_DIRECTORY.mkdir(mode=0o700, exist_ok=True)
    with _hold(
        _RUN_DIRECTORY / f"{instance}.lock",
        f"A daemon called {instance!r} runs on this machine already. Stop it, or give this one "
        "another --instance and --network.",
    ):
        yield


@contextlib.contextmanager
def _hold(path: Path, refusal: str) -> Generator[None]:
    # The kernel lets go of it when the process ends, however it ends: a crash leaves nothing.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotAvailable("already_running", refusal) from None
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
