"""Doing something inside the network namespace of a process: sockets and sysctls made there.

The namespace of a thread decides; only threads made for the purpose ever change theirs, so that no
other part of the program can find itself inside a box.
"""

import ctypes
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from skerry.base import Conflict

_CLONE_NEWNET = 0x40000000
_Result = TypeVar("_Result")

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def network_namespace_of(pid: int) -> Generator[int]:
    """Give a descriptor of the network namespace of a process, closed at the end.

    Raises Conflict(box_not_running) if there is no such process, or if it shares the caller's
    namespace: then pid names another process by now, and the host's own network would be changed.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _not_running(pid) from error
    try:
        if os.path.samestat(os.fstat(namespace), os.stat("/proc/thread-self/ns/net")):
            raise _not_running(pid)
        yield namespace
    finally:
        os.close(namespace)


def in_network_namespace(namespace: int, work: Callable[[], _Result]) -> _Result:
    """Return what work returns, carried out by a thread that is in the namespace of the descriptor.

    /proc/sys/net shows that namespace to work, and sockets that it makes stay there. What work
    raises is raised here. It lasts as long as work does.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            if _libc.setns(namespace, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"Entering the network namespace: {os.strerror(number)}")
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whole
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name="network-namespace", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _not_running(pid: int) -> Conflict:
    return Conflict(
        "box_not_running", f"Process {pid}, the box's first, is gone. Start the box again."
    )
