"""Who a box is, as files in its disk say it: host name, hosts, resolver, machine-id, SSH keys.

What is in the disk is the box's own and may be anything: links, FIFOs, directories in place of
files. Nothing is followed or opened here; a new file takes the place of what stands there.
"""

import contextlib
import os
import re
import stat

from skerry.host.rooted import HANDLE, held, open_within, reopen

_OURS = b"# made by Skerry; with another first line it is left alone\n"
_LOOPBACK = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_HOST_KEY = re.compile(r"ssh_host_[a-z0-9]{1,20}_key(\.pub)?")
_READ_BYTES_MAX = 16 * 1024 * 1024  # block lists in hosts have some hundred thousand lines
_STAGED = ".skerry-new"


def write_identity(
    root: int, hostname: str, resolver: str, *, machine_id: str, fresh: bool
) -> None:
    """Write the identity of a box into the disk whose root directory root is a descriptor of.

    fresh: also a new machine-id, and no SSH host keys, so that the box makes its own; else a
    machine-id only where there is none. What the box's owner wrote into hosts and, later, into
    resolv.conf stays. Not durable by itself: every start writes it again.
    """
    try:
        handle = open_within(root, "/etc", HANDLE | os.O_DIRECTORY)
    except OSError:
        return  # a disk without /etc starts too, as who it can
    with held(handle), held(reopen(handle, os.O_RDONLY | os.O_DIRECTORY)) as etc:
        _put(etc, "hostname", f"{hostname}\n".encode())
        hosts = _read(etc, "hosts")
        if len(hosts) <= _READ_BYTES_MAX:  # a longer one was not read whole, so it stays
            _put(etc, "hosts", _hosts(hosts, hostname.encode()))
        if fresh or not _read(etc, "machine-id").strip():
            _put(etc, "machine-id", f"{machine_id}\n".encode(), mode=0o444)
        resolv_conf = _read(etc, "resolv.conf")
        if fresh or not resolv_conf.strip() or resolv_conf.startswith(_OURS):
            _put(etc, "resolv.conf", _OURS + resolver.encode())
        if fresh:
            _remove_host_keys(etc)


def _hosts(present: bytes, hostname: bytes) -> bytes:
    own = b"127.0.1.1\t" + hostname
    lines = (present or _LOOPBACK).removesuffix(b"\n").split(b"\n")
    if own in lines:
        return present
    return b"\n".join([*(line for line in lines if not line.startswith(b"127.0.1.1")), own, b""])


def _read(directory: int, name: str) -> bytes:
    """Return a file, or of a very long one more than is ever written back; b"" for anything else."""
    try:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return b""
    with held(handle):
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b""
        with open(reopen(handle, os.O_RDONLY), "rb") as file:
            return file.read(_READ_BYTES_MAX + 1)


def _put(directory: int, name: str, content: bytes, *, mode: int = 0o644) -> None:
    if _read(directory, name) == content:
        return
    try:
        os.unlink(_STAGED, dir_fd=directory)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        return  # somebody made it one, and so keeps the file that is there
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(_STAGED, flags, 0o600, dir_fd=directory), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    with contextlib.suppress(IsADirectoryError):  # somebody made it one; then it stays one
        os.rename(_STAGED, name, src_dir_fd=directory, dst_dir_fd=directory)
        return
    os.unlink(_STAGED, dir_fd=directory)


def _remove_host_keys(etc: int) -> None:
    try:
        directory = os.open("ssh", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=etc)
    except OSError:
        return
    with held(directory):
        for name in os.listdir(directory):
            if _HOST_KEY.fullmatch(name):
                with contextlib.suppress(IsADirectoryError):  # no key then
                    os.unlink(name, dir_fd=directory)
