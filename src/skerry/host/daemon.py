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
    with _hold(
        path / "lock", f"A Skerry runs on {path} already. Stop it, or use another directory."
    ):
        yield


@contextlib.contextmanager
def hold_instance(instance: str) -> Generator[None]:
    """Hold the name of an instance, one that is safe in a path, until the block is left.

    Its control groups, links and rules carry that name. Raises NotAvailable(already_running).
    """
    _RUN_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    path = _RUN_DIRECTORY / f"{instance}.lock"
    with _hold(
        path,
        f"A daemon called {instance!r} runs on this machine already. Stop it, or give this one "
        "another --instance and --network.",
    ):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _hold(path: Path, refusal: str) -> Generator[None]:
    # The kernel lets go of it when the process ends, however it ends: a crash leaves no lock.
    lock = _open_locked(path, refusal)
    try:
        yield
    finally:
        os.close(lock)


def _open_locked(path: Path, refusal: str) -> int:
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_at(lock, path):  # else whoever held it has just removed it
                return lock
        except BlockingIOError:
            os.close(lock)
            raise NotAvailable("already_running", refusal) from None
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _is_still_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def prepare_process() -> None:
    """Give this process as many open files as it may have, and the usual umask.

    Each connection, exec and box in use takes a few descriptors, and the usual soft limit is 1,024.
    A umask of the shell that started the daemon would show in files that it writes into boxes.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.umask(0o022)
