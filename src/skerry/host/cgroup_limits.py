"""What a control group may use and what it uses: files and values of cgroup versions 1 and 2.

Where the groups are and how they end is `cgroups`' business.
"""

import errno
import os
import sys
from dataclasses import dataclass

from skerry.base import Conflict
from skerry.host.cgroups import Layout, Tree, read_fields, read_words, write_value
from skerry.host.seam import BoxLimits

INNER = "ns"
"""Name of the group inside a box's that its namespaces begin in, and all its v1 processes are."""

_CPU_PERIOD_US = 100_000  # the kernel's default
_CPU_QUOTA_US_MIN = 1_000  # the kernel takes no less


@dataclass(frozen=True, slots=True)
class Use:
    """What a tree uses now. memory_bytes leaves out file cache that the kernel could drop at once.

    memory_hit: processes ended for want of memory; processes_hit: forks refused; since its start.
    """

    cpu_ns: int
    memory_bytes: int
    processes: int
    memory_hit: int
    processes_hit: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One value to write for a limit, into the file of a controller of cgroup version 1 or 2."""

    version: int
    controller: str
    file: str
    value: str


def plan_limits(layout: Layout, limits: BoxLimits) -> list[Setting]:
    """Return the settings that every kernel has for limits, in the order to write them.

    Swap is no way around the memory limit and stays possible (`swap_setting`).
    """
    quota_us = max(_CPU_QUOTA_US_MIN, round(limits.cpus * _CPU_PERIOD_US))
    memory, processes = str(limits.memory_bytes), str(limits.processes)
    settings = list[Setting]()
    if "cpu" in layout.legacy:
        settings += [
            Setting(1, "cpu", "cpu.cfs_period_us", str(_CPU_PERIOD_US)),
            Setting(1, "cpu", "cpu.cfs_quota_us", str(quota_us)),
        ]
    else:
        settings.append(Setting(2, "cpu", "cpu.max", f"{quota_us} {_CPU_PERIOD_US}"))
    if "memory" in layout.legacy:
        settings.append(Setting(1, "memory", "memory.limit_in_bytes", memory))
    else:
        settings.append(Setting(2, "memory", "memory.max", memory))
    version = 1 if "pids" in layout.legacy else 2
    settings.append(Setting(version, "pids", "pids.max", processes))
    return settings


def swap_setting(layout: Layout, limits: BoxLimits) -> Setting:
    """Return the setting for swap, which a kernel without swap accounting lacks the file for.

    All of a box may be swapped out (a sleeping one is) and no more than its memory limit: v1
    counts memory and swap together, v2 swap alone.
    """
    if "memory" in layout.legacy:
        return Setting(1, "memory", "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
    return Setting(2, "memory", "memory.swap.max", str(limits.memory_bytes))


def write_limits(tree: Tree, limits: BoxLimits) -> None:
    """Give tree new limits; they hold for everything in it at once.

    Raises Conflict(limit_below_use) where it uses more memory than that and the kernel finds
    nothing to take back: no process is ended for a changed limit.
    """
    _refuse_below_use(tree, limits)
    settings = plan_limits(tree.layout, limits)
    swap = swap_setting(tree.layout, limits)
    if os.path.exists(f"{tree.directory('memory')}/{swap.file}"):
        # v1 refuses a memory limit above the one for memory and swap together, at each step.
        grows = limits.memory_bytes >= _memory_limit(tree)
        settings.insert(0 if grows else len(settings), swap)
    for setting in settings:
        try:
            write_value(f"{tree.directory(setting.controller)}/{setting.file}", setting.value)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            raise _below_use() from error


def read_use(tree: Tree) -> Use:
    """Return what tree uses now. Raises FileNotFoundError where it is gone."""
    memory = tree.directory("memory")
    old = "memory" in tree.layout.legacy
    used = _number(f"{memory}/{'memory.usage_in_bytes' if old else 'memory.current'}")
    droppable = read_fields(f"{memory}/memory.stat").get(
        "total_inactive_file" if old else "inactive_file", 0
    )
    # cpu.stat is there for every v2 group, whichever tree has the controller.
    cpu_us = read_fields(f"{tree.unified}/cpu.stat").get("usage_usec", 0)
    return Use(
        cpu_ns=cpu_us * 1000,
        memory_bytes=max(0, used - droppable),
        processes=_number(f"{tree.directory('pids')}/pids.current"),
        memory_hit=read_fields(memory_counter(tree)).get("oom_kill", 0),
        processes_hit=read_fields(processes_counter(tree)).get("max", 0),
    )


def memory_counter(tree: Tree) -> str:
    """Return the file whose line `oom_kill N` counts the processes ended for want of memory."""
    # v1 counts only in the group that the process was in, and that is the one the runtime made.
    if "memory" in tree.layout.legacy:
        return f"{tree.child(INNER).directory('memory')}/memory.oom_control"
    return f"{tree.directory('memory')}/memory.events"


def processes_counter(tree: Tree) -> str:
    """Return the file whose line `max N` counts the forks refused."""
    # v1 counts where the fork was tried. v2 does so before Linux 6.11, and counts where the limit
    # is since then; both are the same group, since no controller is handed further down.
    directory = tree.child(INNER) if "pids" in tree.layout.legacy else tree
    return f"{directory.directory('pids')}/pids.events"


def _memory_limit(tree: Tree) -> int:
    old = "memory" in tree.layout.legacy
    name = "memory.limit_in_bytes" if old else "memory.max"
    text = read_words(f"{tree.directory('memory')}/{name}")
    return sys.maxsize if text == ["max"] else int(text[0])


def _refuse_below_use(tree: Tree, limits: BoxLimits) -> None:
    """v2 would end processes to make a lower limit true; v1 refuses by itself."""
    if "memory" not in tree.layout.legacy:
        used = _number(f"{tree.directory('memory')}/memory.current")
        droppable = read_fields(f"{tree.directory('memory')}/memory.stat").get("inactive_file", 0)
        if used - droppable > limits.memory_bytes:
            raise _below_use()


def _below_use() -> Conflict:
    return Conflict(
        "limit_below_use",
        "The box uses more memory than that now. End something in it, or stop it first.",
    )


def _number(path: str) -> int:
    words = read_words(path)
    if not words:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return int(words[0])
