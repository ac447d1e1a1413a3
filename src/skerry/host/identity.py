"""Who a box is, as files in its disk say it: host name, hosts, resolver, machine-id, SSH keys.

What is in the disk is the box's own and may be anything: links, FIFOs, directories in place of
files. Nothing is followed or opened here; a new file takes the place of what stands there.
"""

import contextlib
import os
import re
import stat

from skerry.host.rooted import HANDLE, held, open_within, reopen

_OURS = "# made by Skerry; with another first line it is left alone\n"
_LOOPBACK = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_HOST_KEY = re.compile(r"ssh_host_[a-z0-9]{1,20}_key(\.pub)?")
_READ_BYTES_MAX = 64 * 1024
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
        _put(etc, "hostname", hostname + "\n")
        _put(etc, "hosts", _hosts(_read(etc, "hosts"), hostname))
        if fresh or not _read(etc, "machine-id").strip():
            _put(etc, "machine-id", machine_id + "\n", mode=0o444)
        resolv_conf = _read(etc, "resolv.conf")
        if fresh or not resolv_conf.strip() or resolv_conf.startswith(_OURS):
            _put(etc, "resolv.conf", _OURS + resolver)
        if fresh:
            _remove_host_keys(etc)


def _hosts(present: str, hostname: str) -> str:
    own = f"127.0.1.1\t{hostname}"
    lines = present.splitlines() or _LOOPBACK.splitlines()
    if own in lines:
        return present
    return "\n".join([*(line for line in lines if not line.startswith("127.0.1.1")), own]) + "\n"


def _read(directory: int, name: str) -> str:
    """Return the beginning of a file; nothing where there is none, or something else."""
    try:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return ""
    with held(handle):
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        with held(reopen(handle, os.O_RDONLY)) as file:
            return os.read(file, _READ_BYTES_MAX).decode("utf-8", "replace")


def _put(directory: int, name: str, content: str, *, mode: int = 0o644) -> None:
    if _read(directory, name) == content:
        return
    try:
        os.unlink(_STAGED, dir_fd=directory)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        return  # somebody made it one, and so keeps the file that is there
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with held(os.open(_STAGED, flags, 0o600, dir_fd=directory)) as file:
        os.write(file, content.encode())
        os.fchmod(file, mode)
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
