"""The key by which clients know this door again: made once, kept for good."""

import contextlib
import os
from pathlib import Path

import asyncssh

from skerry.base import Failed

FILE = "host_key"
_STAGED = ".host_key-new"


def host_key(directory: Path, *, staged: str = str(os.getpid())) -> asyncssh.SSHKey:
    """Return the host key in directory, which is made first if there is none.

    Of two that make one at once, both return the same. staged: what tells them apart. Raises
    Failed(bad_host_key).
    """
    path = directory / FILE
    if not path.exists():
        _make(path, directory / f"{_STAGED}-{staged}")
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)  # a copy of the directory, say, that lost its modes
        return asyncssh.import_private_key(path.read_bytes())
    except (OSError, asyncssh.KeyImportError) as error:
        raise Failed(
            "bad_host_key",
            f"The host key {path} cannot be read ({error}). Bring it back, or remove it: then a "
            "new one is made, and every client will warn.",
        ) from error


def _make(path: Path, staged: Path) -> None:
    made = asyncssh.generate_private_key("ssh-ed25519", comment="skerry")  # pyright: ignore[reportUnknownMemberType] - its options for other kinds
    text = made.export_private_key()
    staged.unlink(missing_ok=True)  # of a process that was killed, and had this number
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # a link, unlike a rename, takes nobody's place
        path.hardlink_to(staged)
    staged.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
