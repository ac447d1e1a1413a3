"""A program, not a test: tries one thing under the seccomp program, in a box if one is given.

stdin holds a JSON map: `program` (hex), `probe` (a name in PROBES), `value` (whether to tell what the
probe returned, not only how it failed) and, for a box, `entry`. The box is entered as an exec does,
as its root, and no file of it is needed. stdout gets the answer as JSON.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypedDict

from skerry.holder import kernel

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
ALL_NAMESPACES = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | 0x4E000000  # cgroup uts ipc net
MS_REMOUNT, MS_BIND = 32, 4096
NO_FILE = -1  # a call that the filter lets pass fails with EBADF, one that it refuses does not

libc = ctypes.CDLL(None, use_errno=True)


def call(function: Callable[..., int], *arguments: object) -> int:
    result = function(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def system_call(number: int, *arguments: int) -> int:
    return call(libc.syscall, ctypes.c_long(number), *map(ctypes.c_long, arguments))


def system_call_32_bit(number: int, *arguments: int) -> int:
    """Make a call of the i386 ABI from this 64-bit process: int 0x80, eax, ebx, ecx, edx."""
    code = bytes.fromhex("5389f889f34189d089ca4489c1cd805bc3")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    # The registers have 32 bits: mmap may lie above, so only numbers are passed, no addresses.
    kind = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 4)
    values = [*(value & 0xFFFFFFFF for value in arguments), 0, 0, 0][:3]
    result = kind(ctypes.addressof(ctypes.c_char.from_buffer(page)))(number, *values)
    if result < 0:
        raise OSError(-result, "")
    return result


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> int:
    words = [text.encode() for text in (source, target, kind)]
    return call(libc.mount, *words, ctypes.c_ulong(flags), options.encode())


def write(path: str, text: str) -> int:
    descriptor = os.open(path, os.O_WRONLY)
    return os.write(descriptor, text.encode())


def ioctl(command: int) -> int:
    return call(libc.ioctl, ctypes.c_int(NO_FILE), ctypes.c_ulong(command), None)


def as_child(work: Callable[[], object]) -> int:
    """Return how a forked child that does work ends: its exit code, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except OSError as error:
            os._exit(error.errno or 1)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def own_control_group_tree(kind: str, options: str, action: Callable[[str], object]) -> None:
    """Mount a control group hierarchy, as root in the box may, and try action on its root."""
    os.makedirs("/tree", exist_ok=True)
    mount("none", "/tree", kind, 0, options)
    try:
        action("/tree")
    finally:
        libc.umount2(b"/tree", 2)


def write_after_unmounting_the_guard(path: str) -> None:
    for point in (b"/proc/sys/kernel/random/boot_id", b"/proc/sys/net", b"/proc/sys"):
        libc.umount2(point, 2)
    write(path, "1")


def open_node(name: str) -> None:
    """Open a device node of the disk, through a mount that allows devices again."""
    mount("/", "/tree", "", MS_BIND)
    try:
        mount("", "/tree", "", MS_REMOUNT | MS_BIND)
        os.close(os.open(f"/tree/{name}", os.O_RDONLY | os.O_NONBLOCK))
    finally:
        libc.umount2(b"/tree", 2)


def change_checkpoints_mounted_anew(change: Callable[[str], object]) -> None:
    """Take `read-only` off the mount, as its root can, and try change on the directory."""
    mount("", "/.skerry/checkpoints", "", MS_REMOUNT | MS_BIND)
    change("/.skerry/checkpoints")


def nested_proc() -> None:
    """What rootless containers do: as a user, new user, mount and PID namespaces and a /proc."""

    def inner() -> None:
        call(libc.unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
        code = as_child(lambda: mount("proc", "/proc", "proc"))
        if code:
            raise OSError(code, "")

    def outer() -> None:
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        inner()

    code = as_child(outer)
    if code:
        raise OSError(code, "")


def use_memory() -> None:
    block = bytearray(512 << 20)
    for offset in range(0, len(block), mmap.PAGESIZE):
        block[offset] = 1


def fork_until_refused() -> int:
    children = list[int]()
    try:
        while len(children) < 500:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
    except BlockingIOError:
        return len(children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return len(children)


def clock_set() -> None:
    import time  # noqa: PLC0415 - built in

    time.clock_settime(time.CLOCK_REALTIME, 0)


def stay_and_ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    announce_and_pause()


def announce_and_pause() -> None:
    print("ready", flush=True)
    signal.pause()


PROBES: dict[str, Callable[[], object]] = {
    # the filter
    "make a subvolume": lambda: ioctl(0x5000940E),
    "make a snapshot": lambda: ioctl(0x50009417),
    "make a subvolume, high bits set": lambda: ioctl(1 << 40 | 0x50009418),
    "a future command of btrfs": lambda: ioctl(0x400094F0),
    "reflink": lambda: ioctl(0x40049409),
    "reflink a range": lambda: ioctl(0x4020940D),
    "deduplicate": lambda: ioctl(0xC0189436),
    "ask for a terminal's settings": lambda: ioctl(0x5401),
    "make a subvolume, 32 bit": lambda: system_call_32_bit(54, NO_FILE, 0x5000940E),
    "ask for a terminal's settings, 32 bit": lambda: system_call_32_bit(54, NO_FILE, 0x5401),
    "socket of the hypervisor, 32 bit": lambda: system_call_32_bit(359, 40, 1),
    "socket by the old call, 32 bit": lambda: system_call_32_bit(102, 1),
    "unix socket, 32 bit": lambda: system_call_32_bit(359, 1, 1),
    "own pid, x32": lambda: system_call(0x40000000 + 39),
    "io_uring": lambda: system_call(425, 1, 0),
    "socket of the hypervisor": lambda: socket.socket(40, socket.SOCK_STREAM),
    "socket of the kernel's ciphers": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
    "unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "pair of unix sockets": lambda: [end.close() for end in socket.socketpair()] and None,
    "internet socket": lambda: socket.socket(socket.AF_INET6).close(),
    "add a key": lambda: call(libc.syscall, 248, b"user", b"name", b"x", 1, -2),
    "load a bpf program": lambda: system_call(321, 0, 0, 0),
    "open by file handle": lambda: system_call(304, -100, 0, 0),
    "read the kernel's log": lambda: call(libc.klogctl, 10, None, 0),
    # escapes
    "load a module": lambda: system_call(175, 0, 0, 0),
    "write a setting of the host": lambda: write_after_unmounting_the_guard(
        "/proc/sys/vm/swappiness"
    ),
    "name the host's crash handler": lambda: write_after_unmounting_the_guard(
        "/proc/sys/kernel/core_pattern"
    ),
    "make a block device": lambda: os.mknod("/another-disk", 0o60600, os.makedev(8, 0)),
    "mount a disk": lambda: mount("/dev/vda", "/mnt", "ext4"),
    "mount debugfs": lambda: mount("none", "/mnt", "debugfs"),
    "open a disk of the host": lambda: open_node("disk"),
    "open a harmless device": lambda: open_node("zero"),
    "add to the checkpoints, mounted anew": lambda: change_checkpoints_mounted_anew(
        lambda place: os.mkdir(f"{place}/mine")
    ),
    "rename a checkpoint, mounted anew": lambda: change_checkpoints_mounted_anew(
        lambda place: os.rename(f"{place}/v1", f"{place}/v2")
    ),
    "take the checkpoints over": lambda: change_checkpoints_mounted_anew(
        lambda place: os.chown(place, 0, 0)
    ),
    "write into the checkpoints": lambda: os.mkdir("/.skerry/checkpoints/mine"),
    "replace the init": lambda: write("/.skerry/init", "x"),
    "set the clock": clock_set,
    "restart the machine": lambda: system_call(169, 0xFEE1DEAD, 672274793, 0x1234567, 0),
    "see processes": lambda: sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "make a v2 group": lambda: own_control_group_tree(
        "cgroup2", "", lambda root: os.mkdir(f"{root}/mine")
    ),
    "leave its v2 group": lambda: own_control_group_tree(
        "cgroup2", "", lambda root: write(f"{root}/cgroup.procs", "0")
    ),
    "see v2 groups": lambda: own_control_group_tree("cgroup2", "", os.listdir),
    "make a v1 group": lambda: own_control_group_tree(
        "cgroup", "pids", lambda root: os.mkdir(f"{root}/mine")
    ),
    "raise its v1 limit": lambda: own_control_group_tree(
        "cgroup", "pids", lambda root: write(f"{root}/pids.max", "max")
    ),
    # what must work
    "change its host name": lambda: socket.sethostname("renamed"),
    "host name": socket.gethostname,
    "mount a tmpfs": lambda: mount("none", "/mnt", "tmpfs"),
    "mount a nested proc": nested_proc,
    "listen on port 80": lambda: socket.socket().bind(("127.0.0.1", 80)),
    # use
    "use memory": lambda: as_child(use_memory),
    "fork until refused": fork_until_refused,
    "stay": announce_and_pause,
    "stay and ignore SIGTERM": stay_and_ignore_sigterm,
}


def answer(probe: str) -> object:
    try:
        PROBES[probe]()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return None


def value(probe: str) -> object:
    return PROBES[probe]()


class Entry(TypedDict):
    init_pid: int
    group: str
    legacy_tasks: list[str]


def enter(entry: Entry) -> None:
    """Become root of the box, as skerry.holder does it."""
    init_pid = entry["init_pid"]
    with open(f"/proc/{init_pid}/status") as file:
        bound = next(line for line in file if line.startswith("CapBnd:"))
    group = f"{entry['group']}/exec-{os.getpid()}"
    os.mkdir(group)
    paths = [*entry["legacy_tasks"], f"{group}/cgroup.procs"]
    doors = [os.open(path, os.O_WRONLY) for path in paths]
    kernel.set_namespaces(os.pidfd_open(init_pid), ALL_NAMESPACES)
    pid = os.fork()  # the PID namespace is for children
    if pid:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(status if status >= 0 else 128 - status)
    for door in doors:  # only the child is of the box
        os.write(door, b"0")
        os.close(door)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    keep_capabilities(int(bound.split()[1], 16))
    os.chdir("/")


def keep_capabilities(mask: int) -> None:
    """Leave what an exec would leave: entering a user namespace gives all, whatever the bounds."""
    kernel.bound_capabilities(mask)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    call(libc.capset, header, (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0))


def main() -> None:
    request = json.loads(sys.stdin.read())
    kernel.confine(bytes.fromhex(request["program"]))
    if request.get("entry"):
        enter(request["entry"])
    run = value if request.get("value") else answer
    print(json.dumps(run(request["probe"])), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
