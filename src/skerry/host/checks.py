"""What this machine has and lacks for Skerry: the lines of `skerry doctor`. Changes nothing.

Each `judge_...` is pure and takes what was read; `check_machine` reads. Installing is left to who
reads the advice.
"""

import ctypes
import os
import re
import resource
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from skerry.base import NotAvailable, format_size
from skerry.host import cgroups, process, seccomp
from skerry.host.network_obstacles import network_obstacles

_GIB = 1 << 30
_DISK_BYTES_MIN = 2 * _GIB  # an image and one box
_DISK_BYTES_GOOD = 10 * _GIB
# Linux 5.15 brought idmapped mounts of btrfs, the youngest thing that a box cannot do without.
_KERNEL_MIN = (5, 15)
_KERNEL_SIMPLE_QUOTAS = (6, 7)
_LXC_MIN = (5, 0)  # the first with idmapped roots
_SECCOMP_MIN = (2, 5)
_OPEN_FILES_MIN = 4096  # a box with its sessions takes the daemon a handful, a busy API hundreds
_INOTIFY_GOOD = 1024  # Linux gives root 128 in all, and the boxes of one machine share root's
_PTYS_GOOD = 65_536
_COMMAND_TIMEOUT_NS = 10 * 10**9
_VERSION = re.compile(r"(\d+)\.(\d+)")

# Programs that Skerry runs, the package each is in on Debian and Ubuntu, and what lacks without it.
_PROGRAMS: tuple[tuple[str, str, Literal["warning", "missing"]], ...] = (
    ("catatonit", "catatonit", "missing"),
    ("setpriv", "util-linux", "missing"),
    ("mkfs.btrfs", "btrfs-progs", "missing"),
    ("mmdebstrap", "mmdebstrap", "warning"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `skerry doctor`.

    state: "missing" is what Skerry cannot run without, "warning" what some of it cannot.
    """

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    advice: str = ""


def check_machine(data_directory: str) -> list[Check]:
    """Return all checks; data_directory need not be there yet. Takes some 50 ms."""
    release = os.uname().release
    checks: list[Callable[[], Check]] = [
        lambda: judge_user(os.geteuid()),
        lambda: judge_kernel(release),
        lambda: judge_user_namespaces(_read("/proc/sys/user/max_user_namespaces")),
        lambda: judge_btrfs(has_driver=_has_btrfs(release)),
        lambda: judge_disk_limits(release),
        _check_lxc,
        *(
            lambda name=name, package=package, state=state: judge_program(
                name, package, state, process.find(name)
            )
            for name, package, state in _PROGRAMS
        ),
        lambda: judge_seccomp(seccomp.libseccomp_version()),
        lambda: judge_nftables(has_library=_has_library("libnftables.so.1")),
        lambda: judge_control_groups(cgroups.read_layout()),
        lambda: judge_disk_space(_free_bytes(data_directory)),
        lambda: judge_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        lambda: judge_inotify(_read("/proc/sys/fs/inotify/max_user_instances")),
        lambda: judge_shared("terminals", "kernel.pty.max", _PTYS_GOOD, _sysctl),
        lambda: judge_shared("neighbours", "net.ipv4.neigh.default.gc_thresh3", 16_384, _sysctl),
        _check_network,
        lambda: judge_apparmor(
            _read("/sys/module/apparmor/parameters/enabled"),
            _read("/sys/kernel/security/apparmor/profiles"),
        ),
        lambda: judge_swap(_read("/proc/swaps")),
    ]
    return [check() for check in checks]


def can_run(checks: Iterable[Check]) -> bool:
    """Return whether nothing is missing that Skerry cannot run without."""
    return all(check.state != "missing" for check in checks)


def judge_user(user_id: int) -> Check:
    """Judge who asks."""
    if user_id == 0:
        return Check("root", "ok", "running as root")
    return Check("root", "missing", f"user id {user_id}", "Run it with sudo.")


def judge_kernel(release: str) -> Check:
    """Judge the kernel's version, as uname(2) gives it."""
    if _version(release) >= _KERNEL_MIN:
        return Check("kernel", "ok", release)
    return Check("kernel", "missing", release, "Boxes need Linux 5.15 or newer.")


def judge_user_namespaces(limit: str | None) -> Check:
    """Judge how many user namespaces there may be; None: the kernel has none."""
    if limit is None:
        return Check("user namespaces", "missing", "none", "Boot a kernel with CONFIG_USER_NS=y.")
    if int(limit) < 1:
        advice = "Run `sysctl -w user.max_user_namespaces=16384`, and put it into /etc/sysctl.d."
        return Check("user namespaces", "missing", "switched off", advice)
    return Check("user namespaces", "ok", f"up to {limit}")


def judge_btrfs(*, has_driver: bool) -> Check:
    """Judge whether the kernel has btrfs, built in or as a module."""
    if has_driver:
        return Check("btrfs", "ok", "in the kernel")
    advice = "Install the kernel's other modules (on Ubuntu: linux-modules-extra-$(uname -r))."
    return Check("btrfs", "missing", "not in the kernel", advice)


def judge_disk_limits(release: str) -> Check:
    """Judge whether the kernel's version can limit what the disk of a box holds."""
    if _version(release) >= _KERNEL_SIMPLE_QUOTAS:
        return Check("disk limits", "ok", "simple quotas")
    advice = (
        "Boxes work, but may fill the pool. Linux 6.7 or newer limits them; Debian 12 has one: "
        "`apt-get install -t bookworm-backports linux-image-amd64`."
    )
    return Check("disk limits", "warning", f"no simple quotas in Linux {release}", advice)


def judge_lxc(version: str | None) -> Check:
    """Judge the version that `lxc-start --version` prints; None: it is not there."""
    if version is None:
        return Check("lxc", "missing", "not installed", "Run `apt-get install lxc`.")
    if _version(version) < _LXC_MIN:
        advice = "Boxes need LXC 5.0 or newer: Debian 12, Ubuntu 24.04 and later have it."
        return Check("lxc", "missing", version, advice)
    return Check("lxc", "ok", version)


def judge_program(
    name: str, package: str, absent: Literal["warning", "missing"], path: str | None
) -> Check:
    """Judge whether a program is there; absent is the state if not."""
    if path is None:
        return Check(name, absent, "not installed", f"Run `apt-get install {package}`.")
    return Check(name, "ok", path)


def judge_seccomp(version: tuple[int, int, int] | None) -> Check:
    """Judge libseccomp; None: it is not there."""
    if version is None:
        advice = "Run `apt-get install libseccomp2`."
        return Check("libseccomp", "missing", "not installed", advice)
    found = ".".join(map(str, version))
    if version[:2] < _SECCOMP_MIN:
        return Check("libseccomp", "missing", found, "Boxes need libseccomp 2.5 or newer.")
    return Check("libseccomp", "ok", found)


def judge_nftables(*, has_library: bool) -> Check:
    """Judge whether libnftables is there."""
    if has_library:
        return Check("libnftables", "ok", "libnftables.so.1")
    advice = "Run `apt-get install libnftables1`."
    return Check("libnftables", "missing", "not installed", advice)


def judge_control_groups(layout: cgroups.Layout | None) -> Check:
    """Judge where the control groups are; None: there is no v2 tree."""
    name = "control groups"
    if layout is None:
        advice = "Skerry mounts a v2 tree of its own when it starts."
        return Check(name, "ok", "version 1", advice)
    missing = cgroups.missing_controllers(layout)
    if missing:
        advice = "Boot with cgroup_enable=memory, or with systemd.unified_cgroup_hierarchy=1."
        return Check(name, "missing", f"no controller for {', '.join(missing)}", advice)
    legacy = sorted(set(cgroups.CONTROLLERS) & layout.legacy.keys())
    if legacy:
        return Check(name, "ok", f"version 2, with {', '.join(legacy)} in version 1")
    return Check(name, "ok", "version 2")


def judge_disk_space(free_bytes: int) -> Check:
    """Judge the bytes that are free where the data will lie."""
    found = f"{format_size(free_bytes)} free"
    if free_bytes < _DISK_BYTES_MIN:
        advice = "An image and a box need 2 GiB. Make room, or choose another place with --data."
        return Check("disk space", "missing", found, advice)
    if free_bytes < _DISK_BYTES_GOOD:
        advice = "Enough to try it. Boxes that are worked in want 10 GiB and more."
        return Check("disk space", "warning", found, advice)
    return Check("disk space", "ok", found)


def judge_open_files(hard_limit: int) -> Check:
    """Judge how many files a process may have open; negative: any number."""
    if 0 <= hard_limit < _OPEN_FILES_MIN:
        advice = "Raise it: `ulimit -Hn 65536`, or LimitNOFILE= in the systemd unit."
        return Check("open files", "warning", f"at most {hard_limit}", advice)
    return Check("open files", "ok", "any number" if hard_limit < 0 else f"up to {hard_limit}")


def judge_inotify(instances: str | None) -> Check:
    """Judge how many inotify instances root may have, which all boxes share with the host."""
    if instances is None or int(instances) >= _INOTIFY_GOOD:
        return Check("file watches", "ok", f"{instances or 'no'} inotify instances")
    advice = (
        "All boxes and the host's root share this number, and editors and build tools use it up. "
        "Run `sysctl -w fs.inotify.max_user_instances=65536`, and put it into /etc/sysctl.d."
    )
    return Check("file watches", "warning", f"{instances} inotify instances", advice)


def judge_shared(name: str, key: str, good: int, read: Callable[[str], str | None]) -> Check:
    """Judge a kernel table that one box can fill for all: read gives the size of a sysctl key."""
    found = read(key)
    if found is None or int(found) >= good:
        return Check(name, "ok", f"up to {found}" if found else "not limited here")
    advice = (
        "One box can use up all of them, and then the host and all other boxes have none. "
        f"Run `sysctl -w {key}={good * 4}`, and put it into /etc/sysctl.d."
    )
    return Check(name, "warning", f"up to {found}", advice)


def _sysctl(key: str) -> str | None:
    return _read("/proc/sys/" + key.replace(".", "/"))


def judge_network(obstacles: list[str]) -> Check:
    """Judge what else on the machine may stop the packets of boxes."""
    if not obstacles:
        return Check("network", "ok", "nothing in the way")
    return Check("network", "warning", f"{len(obstacles)} in the way", " ".join(obstacles))


def judge_apparmor(enabled: str | None, profiles: str | None) -> Check:
    """Judge AppArmor from its switch and its loaded profiles; None: not there, or not readable."""
    if enabled is None or not enabled.startswith("Y"):
        return Check("apparmor", "ok", "not in use")
    confined = [line for line in (profiles or "").splitlines() if "lxc-start (enforce)" in line]
    if not confined:
        return Check("apparmor", "ok", "in use, LXC not confined")
    advice = (
        "If boxes do not start and `dmesg` shows DENIED for lxc-start, switch its profile off: "
        "`ln -s /etc/apparmor.d/usr.bin.lxc-start /etc/apparmor.d/disable/ && "
        "apparmor_parser -R /etc/apparmor.d/usr.bin.lxc-start`."
    )
    return Check("apparmor", "ok", "in use, confines lxc-start", advice)


def judge_swap(swaps: str | None) -> Check:
    """Judge /proc/swaps. No swap is a choice and no fault: turning it on is never ours to do."""
    areas = max(0, len((swaps or "").splitlines()) - 1)
    if areas == 0:
        advice = "With swap (zram, say) the memory of sleeping boxes can be given back."
        return Check("swap", "ok", "none", advice)
    return Check("swap", "ok", f"{areas} in use")


def _check_lxc() -> Check:
    if process.find("lxc-start") is None:
        return judge_lxc(None)
    said = process.run(["lxc-start", "--version"], timeout_ns=_COMMAND_TIMEOUT_NS)
    return judge_lxc(said.stdout.decode(errors="replace").strip())


def _check_network() -> Check:
    try:
        return judge_network(network_obstacles())
    except NotAvailable as error:
        return Check("network", "missing", "nftables cannot be asked", error.message)


def _version(text: str) -> tuple[int, int]:
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except (FileNotFoundError, PermissionError):
        return None


def _has_btrfs(release: str) -> bool:
    if "btrfs" in (_read("/proc/filesystems") or "").split():
        return True
    # Not loaded yet: the kernel loads it when the pool is mounted.
    return "/btrfs.ko" in (_read(f"/lib/modules/{release}/modules.dep") or "")


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _free_bytes(path: str) -> int:
    """Return what is free at path, or at the nearest directory above it that is there."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
