"""A btrfs in a file: made, attached to a loop device with direct I/O, mounted, grown, let go.

Direct I/O, so that the kernel does not keep every page twice; autoclear, so that an unmount is all
that it takes to be rid of the device, after a crash too. Numbers and layouts are those of
`linux/loop.h` and `linux/mount.h`. What lies in the filesystem, this file does not know.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from skerry.base import NotAvailable, format_size
from skerry.host import btrfs, process
from skerry.host.rooted import closing_on_error, held

_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
_CONFIGURATION = struct.Struct("=II52xI176x64x")  # loop_config: file, block size, info.lo_flags
_STATUS = struct.Struct("=QQ216x")  # loop_info64: device and inode of the file
_BLOCK_BYTES = 4096  # direct I/O wants blocks no smaller than those of the filesystem below

_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS = 0x80086601, 0x40086602
_FS_NOCOW_FL = 0x00800000

_MS_NODEV, _MS_NOATIME = 4, 1024
_OPTIONS = b"discard=async"  # gives the space of what was deleted back to the file, within a minute

_TRIES_MAX = 20  # others may take the device that was free a moment ago
_UNMOUNT_TRIES_MAX, _UNMOUNT_PAUSE_SECONDS = 250, 0.02
_SIZE_BYTES_MIN = 2 << 30
_MKFS_WAIT_NS = 120 * 10**9

_libc = ctypes.CDLL(None, use_errno=True)


def ensure_file(path: Path, size_bytes: int | None) -> None:
    """Make path a sparse file with an empty btrfs in it, unless it is there; durable on return.

    size_bytes None: four fifths of what is free, so that the filesystem in it is full before the
    one below is, which would turn it read-only. Raises NotAvailable(pool_too_small,
    command_missing), Failed(command_failed).
    """
    if path.exists():
        return
    free = os.statvfs(path.parent)
    size = size_bytes or free.f_bavail * free.f_frsize * 4 // 5
    if size < _SIZE_BYTES_MIN:
        raise NotAvailable(
            "pool_too_small",
            f"A pool needs {format_size(_SIZE_BYTES_MIN)} at least; here it would be "
            f"{format_size(size)}. Make room, or put --data elsewhere.",
        )
    staged = path.with_suffix(".new")
    staged.unlink(missing_ok=True)
    try:
        with held(
            os.open(staged, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        ) as file:
            _write_in_place(file)
            os.ftruncate(file, size - size % _BLOCK_BYTES)
            process.must_run(["mkfs.btrfs", "-q", "-K", str(staged)], timeout_ns=_MKFS_WAIT_NS)
            os.fsync(file)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    staged.rename(path)
    with held(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
        os.fsync(directory)


def mount(path: Path, target: Path) -> None:
    """Mount the btrfs in path on target, or leave it mounted there by a daemon that was killed.

    Not `nosuid`: sudo in a box needs what it forbids, and a box's mount inherits it. So target must
    not be reachable for other users of the host. Raises NotAvailable(no_loop_device,
    pool_not_mounted).
    """
    source = mounted(target)
    if source is not None:
        if not _is_backed_by(source, path):
            raise NotAvailable(
                "pool_not_mounted",
                f"{source} is mounted on {target}, where {path} belongs. Unmount it.",
            )
        return
    # A device that has the file already, mounted where we cannot see it, is shared: the same
    # blocks written through two devices would be ruined.
    device, descriptor = _attached(path) or _attach(path)
    with held(descriptor):  # without a mount, closing it is what detaches the device
        flags = ctypes.c_ulong(_MS_NODEV | _MS_NOATIME)
        done = _libc.mount(device.encode(), os.fsencode(target), b"btrfs", flags, _OPTIONS)
        if done != 0:
            reason = os.strerror(ctypes.get_errno())
            raise NotAvailable(
                "pool_not_mounted",
                f"The pool {path} cannot be mounted: {reason}. `skerry doctor` says more.",
            )


def unmount(target: Path) -> bool:
    """Unmount target, which detaches its device; False while something there is in use."""
    for _ in range(_UNMOUNT_TRIES_MAX):
        if _libc.umount2(os.fsencode(target), 0) == 0:
            return True
        number = ctypes.get_errno()
        if number == errno.EINVAL:  # nothing is mounted there
            return True
        if number != errno.EBUSY:
            raise OSError(number, os.strerror(number), str(target))
        # The kernel takes the mounts of boxes that just ended down in its own time, and somebody's
        # `df` or `find` may be passing by.
        time.sleep(_UNMOUNT_PAUSE_SECONDS)
    return False


def grow(path: Path, target: Path, size_bytes: int) -> None:
    """Make the file and the btrfs in it, mounted on target, size_bytes large; smaller is left.

    Raises NotAvailable(pool_not_mounted), OSError.
    """
    found = _attached(path)
    if found is None:
        raise NotAvailable("pool_not_mounted", f"The pool {path} is not mounted. Start Skerry.")
    with held(found[1]) as device:
        if size_bytes > path.stat().st_size:
            os.truncate(path, size_bytes - size_bytes % _BLOCK_BYTES)
        fcntl.ioctl(device, _LOOP_SET_CAPACITY)
        with held(os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as filesystem:
            btrfs.resize_to_device(filesystem)


def mounted(target: Path) -> str | None:
    """Return what is mounted on target: a device's path, for instance. None: nothing is."""
    wanted = os.fsencode(target.resolve())
    source = None
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        head, _, tail = line.partition(b" - ")
        if _unescape(head.split(b" ")[4]) == wanted:
            source = os.fsdecode(_unescape(tail.split(b" ")[1]))  # the last one lies on top
    return source


def _attached(path: Path) -> tuple[str, int] | None:
    """Return the loop device that has path already, and an open descriptor of it."""
    for device in _devices():
        if not _is_backed_by(device, path):
            continue
        descriptor = _open_or_say(device)
        with closing_on_error(descriptor):
            if _is_backed_by(device, path):  # still: now it cannot go away any more
                return device, descriptor
        os.close(descriptor)
    return None


def _attach(path: Path) -> tuple[str, int]:
    """Return a loop device on path, and an open descriptor of it that keeps it attached."""
    with (
        held(os.open(path, os.O_RDWR | os.O_CLOEXEC)) as backing,
        held(_open_or_say("/dev/loop-control")) as control,
    ):
        flags = _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO
        for _ in range(_TRIES_MAX):
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            descriptor = _open_or_say(device)
            with closing_on_error(descriptor):
                try:
                    configuration = _CONFIGURATION.pack(backing, _BLOCK_BYTES, flags)
                    fcntl.ioctl(descriptor, _LOOP_CONFIGURE, configuration)
                except OSError as error:
                    if error.errno == errno.EINVAL:  # the filesystem below has no direct I/O
                        flags = _LO_FLAGS_AUTOCLEAR
                    elif error.errno != errno.EBUSY:
                        raise
                else:
                    return device, descriptor
            os.close(descriptor)
    raise NotAvailable("no_loop_device", "No loop device is free. Detach some (losetup -a).")


def _devices() -> Iterator[str]:
    for directory in Path("/sys/block").glob("loop*/loop"):
        yield f"/dev/{directory.parent.name}"


def _is_backed_by(device: str, path: Path) -> bool:
    """Say whether a loop device has path as its file; by what the file is, not by its name."""
    wanted = path.stat()
    try:
        with held(os.open(device, os.O_RDONLY | os.O_CLOEXEC)) as descriptor:
            status = bytearray(_STATUS.size)
            fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, status)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT, errno.ENOTTY):  # detached, or no loop device
            return False
        raise
    encoded_device, inode = _STATUS.unpack(status)
    return inode == wanted.st_ino and encoded_device == _encode_device(wanted.st_dev)


def _encode_device(device: int) -> int:
    """Return a device's number as the kernel gives it out (huge_encode_dev, linux/kdev_t.h)."""
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12


def _write_in_place(file: int) -> None:
    """Have a filesystem that copies on write leave that to the one in the file.

    Else every write would be copied twice, and checksums fail under direct I/O.
    """
    flags = bytearray(8)
    with contextlib.suppress(OSError):  # most filesystems have no such flag
        fcntl.ioctl(file, _FS_IOC_GETFLAGS, flags)
        number = int.from_bytes(flags[:4], "little") | _FS_NOCOW_FL
        fcntl.ioctl(file, _FS_IOC_SETFLAGS, struct.pack("=Q", number))


def _open_or_say(device: str) -> int:
    try:
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotAvailable(
            "no_loop_device",
            f"This machine has no {device}. Load the loop module, or give a btrfs directory with "
            "--pool-directory.",
        ) from None


def _unescape(field: bytes) -> bytes:
    """Return a path of mountinfo, in which blanks and the like stand as octal escapes."""
    return field.decode("unicode_escape").encode("latin-1")
