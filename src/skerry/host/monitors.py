"""Finding the monitors of running boxes, and their first processes, by what the kernel says now.

A monitor is the runtime's process that outlives our daemon: one per box, in a control group of its
own, under a title that names the box. No pid is trusted that was found before: with its start time
it is asked for again.
"""

import os
from dataclasses import dataclass

from skerry.host import cgroups
from skerry.host.seam import Running

_STARTED_FIELD = 22 - 3  # `starttime`, counted after the name, which may hold anything


@dataclass(frozen=True, slots=True)
class Monitor:
    """A monitor that runs. first: its box's first process, None while that has not begun."""

    pid: int
    first: Running | None


def find_monitor(group: str, title: str) -> Monitor | None:
    """Return the monitor of that title in the group at that directory, None if there is none."""
    for word in cgroups.read_words(f"{group}/cgroup.procs"):
        if is_monitor(int(word), title):
            return Monitor(int(word), _first_process(int(word)))
    return None


def is_monitor(pid: int, title: str) -> bool:
    """Return whether process pid bears that title, which the runtime writes over its arguments."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0 ").decode(errors="replace") == title
    except (FileNotFoundError, ProcessLookupError):
        return False


def still_runs(first: Running) -> bool:
    """Tell whether a first process that was found before is there yet, and is the same."""
    try:
        return started_ticks(first.init_pid) == first.started_ticks
    except (FileNotFoundError, ProcessLookupError):
        return False


def started_ticks(pid: int) -> int:
    """Return when a process began, in clock ticks since boot: field 22 of proc_pid_stat(5).

    Raises FileNotFoundError or ProcessLookupError where it is gone.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        after_name = file.read().rpartition(b")")[2]
    return int(after_name.split()[_STARTED_FIELD])


def _first_process(monitor_pid: int) -> Running | None:
    """Return the monitor's child once it runs the box's init and not the runtime any more."""
    try:
        with open(f"/proc/{monitor_pid}/task/{monitor_pid}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
        runtime = os.stat(f"/proc/{monitor_pid}/exe")
        for pid in children:
            if not os.path.samestat(os.stat(f"/proc/{pid}/exe"), runtime):
                return Running(pid, started_ticks(pid))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None
