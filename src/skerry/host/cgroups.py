"""Control groups: where they are, freezing them, and the certain end of everything in one.

Linux machines come with the controllers in the v2 tree, in v1 trees, or divided between both; the
`Layout` says which it is here, and the rest of this file is written once for all. A v2 tree is there
always (mounted for us where the machine has none), because its freezing and killing work even where
the controllers are in v1. This file does not know boxes: a `Tree` is one group in all the trees.
Limits and use are in `cgroup_limits`.
"""

import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skerry.base import NotAvailable
from skerry.host import process

CONTROLLERS = ("cpu", "memory", "pids")  # those that limits need

# Where liblxc looks for the v2 tree; one that is mounted elsewhere it does not use.
_UNIFIED_OF_RUNTIME = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_MOUNT_TIMEOUT_NS = 10 * 10**9
_REMOVE_PAUSE_S = 0.002
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where this machine keeps its control groups.

    unified: directory of the v2 tree. legacy: directory by v1 controller (or `name=...`); two
    controllers may share one. runtime_joins: whether the container runtime puts boxes into the
    unified tree itself; if not, we do.
    """

    unified: str
    legacy: Mapping[str, str]
    runtime_joins: bool

    def roots(self) -> list[str]:
        """Return every tree's directory once, the unified one first."""
        return [self.unified, *dict.fromkeys(self.legacy.values())]


@dataclass(frozen=True, slots=True)
class Tree:
    """One group of the same path in every tree; path is relative to the trees' own directories."""

    layout: Layout
    path: str

    @property
    def unified(self) -> str:
        """Return its directory in the v2 tree."""
        return f"{self.layout.unified}/{self.path}"

    def directory(self, controller: str) -> str:
        """Return its directory where this machine has the controller."""
        return f"{self.layout.legacy.get(controller, self.layout.unified)}/{self.path}"

    def directories(self) -> list[str]:
        """Return its directory in every tree, whether it is there or not."""
        return [f"{root}/{self.path}" for root in self.layout.roots()]

    def child(self, name: str) -> "Tree":
        """Return the group of that name inside this one."""
        return Tree(self.layout, f"{self.path}/{name}")


# -- layout ---------------------------------------------------------------------------------------


def plan_layout(mountinfo: str, groups_of_init: str) -> Layout | None:
    """Return the layout that /proc/self/mountinfo and /proc/1/cgroup tell; None: no v2 tree.

    The groups of process 1 are where the runtime begins its paths; the scope that systemd keeps
    itself in does not count.
    """
    base = dict[str, str]()
    for line in groups_of_init.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            base[name] = path.removesuffix("/init.scope").rstrip("/")
    unified = dict[str, str]()
    legacy = dict[str, str]()
    for mount in _cgroup_mounts(mountinfo):
        if mount.version == 2:
            unified[mount.point] = mount.point + _below(base.get("", ""), mount.root)
        elif mount.point.startswith("/sys/fs/cgroup/"):
            for name in mount.controllers & base.keys():
                legacy[name] = mount.point + _below(base[name], mount.root)
    if not unified:
        return None
    point = next((point for point in _UNIFIED_OF_RUNTIME if point in unified), min(unified))
    return Layout(unified[point], legacy, point in _UNIFIED_OF_RUNTIME)


def read_layout() -> Layout | None:
    """Return this machine's layout as it is, None where it has no v2 tree yet."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mountinfo = file.read()
    with open("/proc/1/cgroup", encoding="utf-8") as file:
        return plan_layout(mountinfo, file.read())


def find_layout(private_mount: str) -> Layout:
    """Return this machine's layout; where it has no v2 tree, mount one at private_mount first.

    Raises NotAvailable(cgroups_missing).
    """
    layout = read_layout()
    if layout is None:
        os.makedirs(private_mount, mode=0o700, exist_ok=True)
        # Nobody else looks there, so a mount of our own disturbs no other program on the machine.
        process.must_run(
            ["mount", "-t", "cgroup2", "cgroup2", private_mount], timeout_ns=_MOUNT_TIMEOUT_NS
        )
        layout = read_layout()
    if layout is None or not os.path.exists(f"{layout.unified}/cgroup.procs"):
        raise NotAvailable(
            "cgroups_missing",
            "This machine has no usable cgroup2 tree. Mount one: "
            "`mount -t cgroup2 cgroup2 /sys/fs/cgroup`.",
        )
    return layout


def missing_controllers(layout: Layout) -> list[str]:
    """Return those controllers that limits need and neither v1 nor the v2 tree offers."""
    offered = read_words(f"{layout.unified}/cgroup.controllers")
    return [name for name in CONTROLLERS if name not in layout.legacy and name not in offered]


def enable_controllers(layout: Layout, path: str) -> None:
    """Make limits possible in the groups inside path, which is made if it is not there.

    Only the v2 tree asks for this: a controller must be handed down level by level. Repeating it
    is cheap, and needed: the machine's own init may have taken a controller back.

    Raises NotAvailable(cgroups_missing).
    """
    missing = missing_controllers(layout)
    if missing:
        raise NotAvailable(
            "cgroups_missing",
            f"The kernel offers no {', '.join(missing)} controller for control groups, so that "
            "boxes could not be limited. Boot with cgroup_enable=memory, or see `skerry doctor`.",
        )
    directory = layout.unified
    parts = path.split("/")
    for depth in range(len(parts) + 1):
        os.makedirs(directory, mode=0o755, exist_ok=True)
        enabled = read_words(f"{directory}/cgroup.subtree_control")
        wanted = [name for name in CONTROLLERS if name not in {*layout.legacy, *enabled}]
        if "io" in read_words(f"{directory}/cgroup.controllers") and "io" not in enabled:
            wanted.append("io")  # no limit needs it, but the meter: it tells what a box has written
        if wanted:
            _enable(directory, " ".join(f"+{name}" for name in wanted))
        if depth < len(parts):
            directory = f"{directory}/{parts[depth]}"


def withdraw_delegation(tree: Tree) -> None:
    """Take from the box the right to make groups of its own in tree, which the runtime gave it.

    Nothing in it could raise its own limits anyhow, which are set on the parent; but each group
    takes memory of the kernel. The v2 controllers that the runtime handed down go too: with
    them, every exec's group would count for itself, and counts would end with it.
    """
    for directory in tree.directories():
        for name in ("", "cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"):
            with contextlib.suppress(FileNotFoundError):
                os.chown(f"{directory}/{name}", 0, 0, follow_symlinks=False)
    parent = os.path.dirname(tree.unified)
    handed_down = read_words(f"{parent}/cgroup.subtree_control")
    if handed_down:
        write_value(
            f"{parent}/cgroup.subtree_control", " ".join(f"-{name}" for name in handed_down)
        )


# -- processes ------------------------------------------------------------------------------------


def list_processes(directory: str) -> list[int]:
    """Return the pids in a group and in all groups inside it; none where it is gone."""
    pids = list[int]()
    for path in _walk(directory):
        pids += [int(word) for word in read_words(f"{path}/cgroup.procs")]
    return pids


def freeze_files(tree: Tree, child: str) -> list[str]:
    """Return the files that tell whether processes in the group child of tree are frozen.

    `frozen 1` is a line in the one of v2; that of v1 says FROZEN or FREEZING.
    """
    files = [f"{tree.unified}/cgroup.events"]
    if "freezer" in tree.layout.legacy:
        files.append(f"{tree.child(child).directory('freezer')}/freezer.state")
    return files


def thaw(tree: Tree) -> None:
    """Let tree run again. A process frozen by v1 ignores even SIGKILL until then."""
    paths = {f"{tree.unified}/cgroup.freeze": "0"}
    if "freezer" in tree.layout.legacy:
        directory = tree.directory("freezer")
        groups = (directory, *(f"{directory}/{name}" for name in list_children(directory)))
        paths |= {f"{group}/freezer.state": "THAWED" for group in groups}
    for path, value in paths.items():
        with contextlib.suppress(FileNotFoundError):
            write_value(path, value)


def kill(tree: Tree) -> None:
    """Send SIGKILL to everything in tree; who forks meanwhile does not get away.

    cgroup.kill is always there: it came with Linux 5.14, before the idmapped mounts that boxes
    need. A tree that is gone is fine.
    """
    with contextlib.suppress(FileNotFoundError):
        write_value(f"{tree.unified}/cgroup.kill", "1")


def kill_and_remove(tree: Tree, timeout_ns: int) -> None:
    """End everything in tree and remove its groups from every hierarchy.

    Raises NotAvailable(cgroup_busy) where something in it does not die within timeout_ns.
    """
    deadline_ns = time.monotonic_ns() + timeout_ns
    directories = tree.directories()
    while True:
        directories = [path for path in directories if not _remove(path)]
        if not directories:
            return
        if time.monotonic_ns() > deadline_ns:
            raise NotAvailable(
                "cgroup_busy",
                f"Processes {list_processes(directories[0])} of {tree.path} do not end. They wait "
                "for the kernel, perhaps for a disk; try again, and see `dmesg` if it stays.",
            )
        thaw(tree)
        kill(tree)
        # A process may be in a v1 group alone, where starting a box was cut off half-way.
        for directory in directories:
            for pid in list_processes(directory):
                _kill_member(pid, tree.path)
        time.sleep(_REMOVE_PAUSE_S)


def legacy_tasks(tree: Tree, child: str) -> list[str]:
    """Return the files by which a thread joins child of tree in v1, besides its v2 group.

    Only those by which a box is limited, counted and frozen: each move between groups costs, and
    the others (devices, cpuset...) have no setting of ours.
    """
    wanted = ("cpu", "cpuacct", "memory", "pids", "freezer")
    roots = dict.fromkeys(tree.layout.legacy[name] for name in wanted if name in tree.layout.legacy)
    return [f"{root}/{tree.path}/{child}/tasks" for root in roots]


def is_member(pid: int, path: str) -> bool:
    """Return whether process pid is in the group path, or in one inside it, in any tree."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(f"/{path}/" in f"{line}/" for line in lines)


def list_children(root: str) -> list[str]:
    """Return the names of the groups directly inside the group at root; none where it is gone."""
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


# -- reading and writing --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mount:
    version: int
    root: str
    point: str
    controllers: frozenset[str]


def _cgroup_mounts(mountinfo: str) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        filesystem, _, options = rest.split(" ")[:3]
        if filesystem in {"cgroup", "cgroup2"}:
            root, point = (_unescape(field) for field in fields.split(" ")[3:5])
            version = 2 if filesystem == "cgroup2" else 1
            yield _Mount(version, root, point, frozenset(options.split(",")))


def _unescape(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def _below(path: str, root: str) -> str:
    """Return what of path comes after the part that the mount shows as its own root."""
    return path if root == "/" else path.removeprefix(root)


def _enable(directory: str, names: str) -> None:
    try:
        write_value(f"{directory}/cgroup.subtree_control", names)
    except OSError as error:
        raise NotAvailable(
            "cgroups_missing",
            f"Control groups in {directory} cannot be limited ({error.strerror}). Where Skerry "
            "itself runs in a container, give that one a cgroup namespace of its own.",
        ) from error


def write_value(path: str, value: str) -> None:
    """Write value into a control file. Raises OSError with what the kernel says of it.

    FileNotFoundError also where the group goes while the file is opened or written.
    """
    try:
        # One write(2), and its error now: a buffered file would report it only when it is closed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        raise


def read_words(path: str) -> list[str]:
    """Return the words in a control file; none where the group is gone."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV}:  # ENODEV: removed while it was open
            return []
        raise


def read_fields(path: str) -> dict[str, int]:
    """Return a control file of `name number` lines; empty where it is gone."""
    words = read_words(path)
    pairs = zip(words[::2], words[1::2], strict=False)
    return {name: int(number) for name, number in pairs if number.isdigit()}


def _walk(directory: str) -> Iterator[str]:
    """Yield the groups inside directory, the deepest first, and directory itself at last."""
    for name in list_children(directory):
        yield from _walk(f"{directory}/{name}")
    yield directory


def _remove(directory: str) -> bool:
    """Remove a group and all inside it; return whether it is gone."""
    try:
        os.rmdir(directory)  # most are empty by now: no need to look inside first
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise
    else:
        return True
    try:
        for path in _walk(directory):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(path)
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise
        return False
    return True


def _kill_member(pid: int, path: str) -> None:
    """Kill pid if it is in the group: looked up after it was pinned, so never another process."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if is_member(pid, path):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
