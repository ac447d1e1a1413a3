"""The configuration that a box's container is started with, as text for liblxc. Pure.

Why it is as it is:

- Namespaces: a user namespace with an id range that no other box has, and new mount, PID, network,
  IPC, UTS and cgroup namespaces. The disk stays unshifted: its mount is idmapped.
- AppArmor: unconfined. A profile per box would need the parser at every start (hundreds of ms), and
  what confines a box is the same on every distribution: user namespace, seccomp, cgroups. LXC's own
  judgement is that an unprivileged container is safe without a profile.
- /proc and /sys: the runtime's read-only mounts in them guard against accidents, not against root
  in the box, who may undo them in its own mount namespace. What guards the host is that its files
  there belong to the host's root, an id that the box does not have. So nothing is masked on top.
  The same holds for every flag of a mount, `nodev` and read-only included (`devices`,
  `mount_points.withhold`).
- /dev/.lxc/proc and sys: unobstructed second mounts. The kernel lets a nested user namespace mount
  /proc only where one without covered parts is in sight; rootless containers, and the sandboxes of
  coding agents, do that.
- /sys/fs/cgroup is empty: limits are set above what the box could see, and no group is its own.
- No console: nothing reads it, and what is written to it would pass through a process of the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.host.cgroup_limits import INNER, Setting

IDS_PER_BOX = 65536
NOBODY = IDS_PER_BOX
"""An owner on disk whom no box has an id for: files of his are the host's alone to change."""

INIT_PATH = "/.skerry/init"

# What root in a box cannot have, even over its own namespaces; what enters a box takes on the same
# bounds from its first process. Missing on purpose: what sudo, apt, ping, strace, mount and rootless
# containers use. sys_boot: with it, reboot(2) in a box would have the runtime start the box anew.
DROPPED_CAPABILITIES = (
    "sys_module",
    "sys_rawio",
    "sys_pacct",
    "sys_boot",
    "sys_time",
    "audit_control",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """What differs from box to box. Paths are absolute; cgroup paths relative to each tree."""

    hostname: str
    disk: str
    init_program: str
    first_id: int
    group: str
    monitor_group: str
    pivot_group: str
    limits: Sequence[Setting]
    log: str


def render_config(config: ContainerConfig) -> str:
    """Return the text of the configuration file."""
    values: list[tuple[str, str]] = [
        ("lxc.uts.name", config.hostname),
        ("lxc.rootfs.path", f"dir:{config.disk}"),
        ("lxc.rootfs.options", "idmap=container,noatime"),
        ("lxc.idmap", f"u 0 {config.first_id} {IDS_PER_BOX}"),
        ("lxc.idmap", f"g 0 {config.first_id} {IDS_PER_BOX}"),
        ("lxc.init.cmd", f"{INIT_PATH} -P"),
        ("lxc.mount.auto", "proc:mixed sys:mixed"),
        *(("lxc.mount.entry", entry) for entry in _mounts(config)),
        ("lxc.autodev", "1"),
        ("lxc.autodev.tmpfs.size", "500000"),
        ("lxc.pty.max", "1024"),
        ("lxc.tty.max", "0"),
        ("lxc.console.path", "none"),
        ("lxc.net.0.type", "empty"),
        ("lxc.sysctl.net.ipv4.ip_unprivileged_port_start", "0"),
        ("lxc.sysctl.net.ipv4.ping_group_range", f"0 {IDS_PER_BOX - 2}"),
        ("lxc.cgroup.dir.container", config.group),
        ("lxc.cgroup.dir.container.inner", INNER),
        ("lxc.cgroup.dir.monitor", config.monitor_group),
        ("lxc.cgroup.dir.monitor.pivot", config.pivot_group),
        *((_limit_key(setting), setting.value) for setting in config.limits),
        ("lxc.cap.drop", " ".join(DROPPED_CAPABILITIES)),
        ("lxc.apparmor.profile", "unconfined"),
        ("lxc.keyring.session", "0"),  # the filter that a box starts under has no such calls
        ("lxc.log.level", "ERROR"),
        ("lxc.log.file", config.log),
    ]
    for _, value in values:
        assert "\n" not in value, "a value must not begin another line"
    return "".join(f"{key} = {value}\n" for key, value in values)


def _mounts(config: ContainerConfig) -> list[str]:
    return [
        f"{_field(config.init_program)} {INIT_PATH[1:]} none bind,ro,nosuid,nodev 0 0",
        "shm dev/shm tmpfs nosuid,nodev,mode=1777,create=dir 0 0",
        "mqueue dev/mqueue mqueue nosuid,nodev,noexec,create=dir 0 0",
        "proc dev/.lxc/proc proc nosuid,nodev,noexec,create=dir 0 0",
        "sysfs dev/.lxc/sys sysfs nosuid,nodev,noexec,create=dir 0 0",
    ]


def _limit_key(setting: Setting) -> str:
    return f"lxc.{'cgroup' if setting.version == 1 else 'cgroup2'}.{setting.file}"


def _field(path: str) -> str:
    """Return path as a field of fstab(5), where white space parts the fields."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in path)
