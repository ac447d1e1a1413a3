"""Asking everything in a control group to end, and waiting for it a while. Kills nothing."""

import contextlib
import os
import select
import signal
import time

from skerry.host import cgroups
from skerry.host.cgroups import Tree


def terminate(tree: Tree, spared_pid: int, grace_ns: int) -> None:
    """Send SIGTERM to everything in tree but one process; return when it has ended or after grace_ns.

    Those that begin meanwhile are told too, each process once.
    """
    deadline_ns = time.monotonic_ns() + grace_ns
    told = set[int]()
    while True:
        with contextlib.ExitStack() as stack:
            poller = select.poll()
            others = _pinned_processes(tree, spared_pid, stack)
            for pid, pidfd in others.items():
                poller.register(pidfd, select.POLLIN)
                if pid not in told:
                    told.add(pid)
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            wait_ms = (deadline_ns - time.monotonic_ns()) // 10**6
            if not others or wait_ms <= 0 or not poller.poll(wait_ms):
                return


def _pinned_processes(tree: Tree, spared_pid: int, stack: contextlib.ExitStack) -> dict[int, int]:
    """Return a pidfd for each process in tree but one; stack closes them.

    Membership is looked up after the pidfd is open, so that a number used again never names
    another's process.
    """
    pinned = dict[int, int]()
    for pid in cgroups.list_processes(tree.unified):
        if pid == spared_pid:
            continue
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            stack.callback(os.close, pidfd)
            if cgroups.is_member(pid, tree.path):
                pinned[pid] = pidfd
    return pinned
