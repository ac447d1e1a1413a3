"""Freezing control groups and giving back their memory, on every layout of control groups.

The v2 tree's freezer is used on hybrid machines too: it is quick, tells when it is done, and what
it holds dies of SIGKILL, which what the v1 freezer holds does not. What a box is, and when one
sleeps, this file does not know.
"""

import contextlib
import errno
import os
import select
import time

from skerry.base import NotAvailable
from skerry.host.cgroups import Tree, read_fields, read_words, write_value

FREEZE_TIMEOUT_NS = 2 * 10**9
_SLICE_BYTES = 64 << 20  # what one step pushes out, so that a wake need not wait for the whole


def freeze(tree: Tree, timeout_ns: int = FREEZE_TIMEOUT_NS) -> None:
    """Stop every process in tree where it is; return when all stand still.

    Raises NotAvailable(box_busy), with all of it running again, where one does not stop in time: it
    waits for the kernel. Raises FileNotFoundError where tree is gone.
    """
    write_value(f"{tree.unified}/cgroup.freeze", "1")
    try:
        if _settles(f"{tree.unified}/cgroup.events", time.monotonic_ns() + timeout_ns):
            return
    except BaseException:
        thaw(tree)
        raise
    thaw(tree)
    raise NotAvailable(
        "box_busy", f"{tree.path} cannot be frozen: a process in it waits for the kernel."
    )


def thaw(tree: Tree) -> None:
    """Let what `freeze` stopped run again. A tree that is gone is fine."""
    with contextlib.suppress(FileNotFoundError):
        write_value(f"{tree.unified}/cgroup.freeze", "0")


def is_frozen(tree: Tree) -> bool:
    """Return whether tree was told to freeze, done or not; False where it is gone."""
    return read_words(f"{tree.unified}/cgroup.freeze") == ["1"]


def _settles(events: str, deadline_ns: int) -> bool:
    """Wait until the group's events file says `frozen 1`; the kernel announces each change."""
    descriptor = os.open(events, os.O_RDONLY | os.O_CLOEXEC)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLPRI)
        while b"frozen 1" not in os.pread(descriptor, 4096, 0):
            left_ms = (deadline_ns - time.monotonic_ns()) // 10**6
            if left_ms <= 0:
                return False
            waiting.poll(left_ms)
        return True
    finally:
        os.close(descriptor)


def push_out(tree: Tree) -> int:
    """Move the memory of a frozen tree to swap, as far as the host has any; return the bytes.

    Ends early when tree is thawed. Without swap nothing is done: only cached files could go, which
    would make the next wake slow and give the host nothing that it could not take itself.
    """
    before = _used_bytes(tree)
    with contextlib.suppress(FileNotFoundError):
        if "memory" in tree.layout.legacy:
            _push_out_v1(tree)
        else:
            _push_out_v2(tree, before)
    return max(0, before - _used_bytes(tree))


def _push_out_v1(tree: Tree) -> None:
    if swap_free_bytes() > 0 and is_frozen(tree):
        with contextlib.suppress(OSError):  # EBUSY: some of it cannot go
            write_value(f"{tree.directory('memory')}/memory.force_empty", "0")


def _push_out_v2(tree: Tree, used_bytes: int) -> None:
    left_bytes = used_bytes
    while left_bytes > 0 and swap_free_bytes() > _SLICE_BYTES and is_frozen(tree):
        slice_bytes = min(left_bytes, _SLICE_BYTES)
        try:
            write_value(f"{tree.unified}/memory.reclaim", str(slice_bytes))
        except OSError as error:
            if error.errno == errno.EAGAIN:  # the kernel found no more that can go
                return
            raise
        left_bytes -= slice_bytes


def _used_bytes(tree: Tree) -> int:
    old = "memory" in tree.layout.legacy
    name = "memory.usage_in_bytes" if old else "memory.current"
    words = read_words(f"{tree.directory('memory')}/{name}")
    return int(words[0]) if words else 0


def swap_free_bytes() -> int:
    """Return how much swap the host has left."""
    return _meminfo().get("SwapFree:", 0)


def memory_available_share() -> float:
    """Return which part of the host's memory new work could have, 0 to 1."""
    told = _meminfo()
    return told.get("MemAvailable:", 0) / max(1, told.get("MemTotal:", 1))


def _meminfo() -> dict[str, int]:
    """Return /proc/meminfo, in bytes."""
    with open("/proc/meminfo", encoding="ascii") as file:
        rows = [line.split() for line in file]
    return {row[0]: int(row[1]) * 1024 for row in rows if len(row) == 3}


def cpu_ns(tree: Tree) -> int | None:
    """Return the CPU time that tree has used, None where it cannot be told."""
    used_us = read_fields(f"{tree.unified}/cpu.stat").get("usage_usec")
    return None if used_us is None else used_us * 1000
