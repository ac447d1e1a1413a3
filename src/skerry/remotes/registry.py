"""The remotes that a user has named: a file of theirs that nobody else may read.

docs/formats.md has its shape. It is written whole, under another name, and then renamed.
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

import msgspec

from skerry.base import Conflict, Denied, Failed, NotFound
from skerry.remotes.model import LOCAL, Remote, remote_name

_FILE_BYTES_MAX = 1 << 20
_OTHERS = 0o077


class _Kept(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    remotes: dict[str, Remote] = {}


class Registry:
    """The file and what is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> dict[str, Remote]:
        """Return what was added, by name.

        Raises Denied(remotes_exposed), Failed(bad_remotes_file), OSError.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise Denied(
                        "remotes_exposed",
                        f"Others can read the secrets in {self._path}. Run `chmod 600` on it, and "
                        "think of changing them.",
                    )
                data = file.read(_FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(data, type=_Kept).remotes
        except msgspec.MsgspecError as error:
            raise Failed(
                "bad_remotes_file",
                f"{self._path} is not as it was written: {error}. Mend or remove it.",
            ) from None

    def add(self, name: str, remote: Remote, *, replaces: bool) -> None:
        """Keep a remote. Raises Conflict(remote_exists), Invalid(bad_remote_name), as `all`."""
        if remote_name(name) == LOCAL:
            raise Conflict("remote_exists", f"{LOCAL} is the store of this machine. Take another.")
        with self._changing() as kept:
            if name in kept and not replaces:
                raise Conflict("remote_exists", f"There is a remote {name}. Say --replace.")
            kept[name] = remote

    def remove(self, name: str) -> None:
        """Forget a remote. Raises NotFound(no_such_remote), as `all`."""
        with self._changing() as kept:
            if kept.pop(name, None) is None:
                raise NotFound("no_such_remote", f"There is no remote {name}.")

    @contextlib.contextmanager
    def _changing(self) -> Generator[dict[str, Remote]]:
        """Give what is kept to be changed, while nobody else changes it; write it at the end."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = self._path.with_name(f".{self._path.name}-lock")
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.lockf(lock, os.F_LOCK, 0)
            kept = self.all()
            yield kept
            self._write(kept)
        finally:
            os.close(lock)

    def _write(self, kept: dict[str, Remote]) -> None:
        staged = self._path.with_name(f".{self._path.name}-new")
        staged.unlink(missing_ok=True)
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_Kept(remotes=kept))) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        staged.rename(self._path)
