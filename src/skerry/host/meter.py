"""What boxes have used, from the kernel's own accounting: counters of control groups, links, quotas.

Every number is from one short read, so that all boxes can be read every few seconds. What a box
costs, and what became of its counters before, is the business of others.

Bytes written are told only where the kernel attributes them, which is cgroup version 2 with its io
controller handed down to boxes: there btrfs charges even what is written back later to the group
that wrote it. With cgroup version 1 the kernel's own workers do all the writing of btrfs, and
`blkio.throttle.io_service_bytes` of a group stays 0 through buffered, synced and direct writes
alike; so it is not read at all.
"""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass

from skerry.host import btrfs_quota, disk_limits
from skerry.host.cgroups import Tree
from skerry.host.seam import Metered, Running

_INODE_MASK = (1 << 32) - 1  # see disk_limits: the lower half of a group's id
_READ_BYTES = 16384  # memory.stat is the longest, with 2 to 4 kB


@dataclass(frozen=True, slots=True)
class Counters:
    """What a running box has used so far, and its memory now; None where the kernel does not tell.

    memory_bytes leaves out file cache that the kernel could drop at once.
    """

    cpu_ns: int | None
    memory_bytes: int | None
    written_bytes: int | None
    received_bytes: int | None
    sent_bytes: int | None


@dataclass(frozen=True, slots=True)
class LinkBytes:
    """What went over a box's network link, as the box sees it."""

    received: int
    sent: int


def read_counters(tree: Tree, link: LinkBytes | None) -> Counters:
    """Return the counters of the box in tree, which is frozen or runs; link: of `read_links`."""
    return Counters(
        cpu_ns=_cpu_ns(tree),
        memory_bytes=_memory_bytes(tree),
        written_bytes=_written_bytes(tree),
        received_bytes=link.received if link is not None else None,
        sent_bytes=link.sent if link is not None else None,
    )


def read_links(prefix: str) -> dict[str, LinkBytes]:
    """Return what went over the links whose names begin with prefix, by name.

    One read for all. What the host's end received, the box has sent.
    """
    found: dict[str, LinkBytes] = {}
    with open("/proc/self/net/dev", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, numbers = line.strip().partition(":")
            if name.startswith(prefix):
                words = numbers.split()
                found[name] = LinkBytes(received=int(words[8]), sent=int(words[0]))
    return found


def read_stored(pool: int, boxes: int) -> dict[str, int]:
    """Return the bytes that each box keeps, checkpoints included, by box id; as of the last commit.

    pool, boxes: open directories, the second the one whose entries are boxes. Only where the pool
    keeps simple quotas. Raises OSError.
    """
    charged = btrfs_quota.groups(pool)
    ours = disk_limits.group_of(pool, boxes) & ~_INODE_MASK
    found: dict[str, int] = {}
    # Opened anew: a directory of btrfs shows what was in it when it was opened.
    fresh = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=boxes)
    try:
        with os.scandir(fresh) as entries:
            for entry in entries:
                used = charged.get(ours | entry.inode() & _INODE_MASK)
                if used is not None:
                    found[entry.name] = used
    finally:
        os.close(fresh)
    return found


def metered_of(first: Running, counters: Counters, stored_bytes: int | None) -> Metered:
    """Return all that is known of a box that runs."""
    return Metered(
        epoch=epoch_of(first),
        cpu_ns=counters.cpu_ns,
        memory_bytes=counters.memory_bytes,
        written_bytes=counters.written_bytes,
        received_bytes=counters.received_bytes,
        sent_bytes=counters.sent_bytes,
        stored_bytes=stored_bytes,
    )


def epoch_of(first: Running) -> str:
    """Return the name of the life of a box's counters: no other box's, nor its own after a start."""
    return f"{_boot_id()}:{first.init_pid}:{first.started_ticks}"


@functools.cache
def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _cpu_ns(tree: Tree) -> int | None:
    # cpu.stat is there for every v2 group, whichever tree has the controller.
    used_us = _field(_read(f"{tree.unified}/cpu.stat"), b"usage_usec")
    return None if used_us is None else used_us * 1000


def _memory_bytes(tree: Tree) -> int | None:
    directory = tree.directory("memory")
    old = "memory" in tree.layout.legacy
    used = _read(f"{directory}/{'memory.usage_in_bytes' if old else 'memory.current'}").strip()
    if not used.isdigit():
        return None
    name = b"total_inactive_file" if old else b"inactive_file"
    droppable = _field(_read(f"{directory}/memory.stat"), name) or 0
    return max(0, int(used) - droppable)


def _written_bytes(tree: Tree) -> int | None:
    """Return the most that one device says: each layer below the pool counts the same bytes."""
    if "blkio" in tree.layout.legacy:
        return None
    path = f"{tree.unified}/io.stat"
    if not os.path.exists(path):  # it is empty before the first byte, so that content says nothing
        return None
    return max(_written_by_device(_read(path)).values(), default=0)


def _written_by_device(text: bytes) -> Mapping[bytes, int]:
    found: dict[bytes, int] = {}
    for line in text.splitlines():
        device, *pairs = line.split()
        for pair in pairs:
            name, _, number = pair.partition(b"=")
            if name == b"wbytes" and number.isdigit():
                found[device] = int(number)
    return found


def _field(text: bytes, name: bytes) -> int | None:
    """Return the number on the line that begins with name, without looking at the others."""
    begin = 0 if text.startswith(name + b" ") else text.find(b"\n" + name + b" ") + 1
    if not text.startswith(name + b" ", begin):
        return None
    digits = text[begin + len(name) + 1 :].split(b"\n", 1)[0]
    return int(digits) if digits.isdigit() else None


def _read(path: str) -> bytes:
    """Return a control file's text; nothing where the group is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:  # ENODEV: removed while it was open
        return b""
    finally:
        os.close(descriptor)
