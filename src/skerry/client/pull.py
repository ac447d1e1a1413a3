"""Files and directories of a box to this machine.

What comes out of a box is not trusted: it is written below the directory that was asked for, and
through no symbolic link that a former transfer may have left there. Needs no program in the box.
"""

import asyncio
import contextlib
import os
from collections.abc import Generator

from skerry import wire
from skerry.base import Failed, Invalid, NotFound
from skerry.client.file_calls import FileCalls
from skerry.client.transfers import Tally, Transfer, Watcher, each_of, only_file


async def pull(
    files: FileCalls, remote: str, local: str, *, as_root: bool, watcher: Watcher | None
) -> Transfer:
    """Copy a file or directory of a box to this machine.

    It gets the path local, or that of an entry in local if that ends with `/` or is a directory.
    Permission bits (no setuid) come along; symbolic links inside a directory stay links. A file
    appears under its name only when it is whole. Raises OSError for what cannot be written here,
    and what `FileCalls.open` raises.
    """
    listing = await files.listing(remote, as_root=as_root)
    remote = listing.path
    name = remote.rstrip("/").rpartition("/")[2] or "root"
    if name == "..":
        raise Invalid("bad_path", f"{remote} ends in no name. Name the directory itself.")
    if local.endswith("/") or await asyncio.to_thread(os.path.isdir, local):
        local = os.path.join(local, name)
    only = only_file(listing)
    tally = Tally(watcher, only.size if only else None)
    puller = _Puller(files, tally, as_root=as_root)
    if only is not None:
        parent, name = os.path.split(local)
        with _opened(os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY)) as directory:
            await puller.file(only, remote, directory, name)
    else:
        os.makedirs(local, exist_ok=True)
        with _opened(os.open(local, os.O_RDONLY | os.O_DIRECTORY)) as directory:
            await puller.tree(remote.rstrip("/"), listing.entries, directory)
    return Transfer(files=tally.files, size_bytes=tally.size_bytes, skipped=tuple(puller.skipped))


class _Puller:
    """Writes what comes out of a box."""

    def __init__(self, files: FileCalls, tally: Tally, *, as_root: bool) -> None:
        self._files = files
        self._as_root = as_root
        self._tally = tally
        self._parts = 0
        self.skipped: list[str] = []

    async def tree(self, remote: str, entries: list[wire.Entry], root: int) -> None:
        """Write all below the directory remote into the directory root."""
        pending = [("", entries)]
        while pending:
            relative, entries = pending.pop()
            with _opened(_open_below(root, relative)) as directory:
                await self._directory(f"{remote}{relative}", entries, directory)
            for entry in entries:
                if entry.type == "directory":
                    below = f"{relative}/{entry.name}"
                    path = f"{remote}{below}"
                    pending.append((below, await self._files.list(path, as_root=self._as_root)))

    async def _directory(self, remote: str, entries: list[wire.Entry], directory: int) -> None:
        for entry in entries:
            if entry.name in ("", ".", "..") or "/" in entry.name or "\0" in entry.name:
                raise Failed("bad_answer", f"{remote} holds a name that no file has.")
            if entry.type == "symlink":
                if entry.target is None:
                    self.skipped.append(f"{entry.path}: it leads to a name that is no UTF-8")
                else:
                    self._link(entry.target, directory, entry.name)
            elif entry.type not in ("file", "directory"):
                self.skipped.append(f"{entry.path}: no file and no directory")

        async def receive(entry: wire.Entry) -> None:
            path = f"{remote}/{entry.name}"
            try:
                await self.file(entry, path, directory, entry.name)
            except NotFound as error:
                if error.code == "box_not_found":
                    raise
                # The box runs on meanwhile, and names that are no UTF-8 are told only roughly.
                self.skipped.append(f"{path}: {error.message}")

        await each_of((entry for entry in entries if entry.type == "file"), receive)

    async def file(self, entry: wire.Entry, remote: str, directory: int, name: str) -> None:
        """Write one file whole, then give it its name, replacing a file or link of that name."""
        part = self._part()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(part, flags, 0o600, dir_fd=directory)
        try:
            with _opened(descriptor):
                async with self._files.open(remote, as_root=self._as_root) as pieces:
                    async for piece in self._tally.counting(remote, pieces):
                        await asyncio.to_thread(_write_all, descriptor, piece)
                os.fchmod(descriptor, int(entry.mode, 8) & 0o777)
            os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(part, dir_fd=directory)
            raise
        self._tally.finished(remote)

    def _link(self, target: str, directory: int, name: str) -> None:
        part = self._part()
        os.symlink(target, part, dir_fd=directory)
        try:
            os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(part, dir_fd=directory)
            raise

    def _part(self) -> str:
        self._parts += 1
        return f".skerry-{os.getpid()}-{self._parts}.part"


def _open_below(root: int, relative: str) -> int:
    """Return a descriptor of the directory relative below root, made where it is missing.

    Raises OSError if a part of it is a link or no directory.
    """
    directory = os.dup(root)
    for name in filter(None, relative.split("/")):
        with _opened(directory):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=directory)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            directory = os.open(name, flags, dir_fd=directory)
    return directory


@contextlib.contextmanager
def _opened(descriptor: int) -> Generator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
