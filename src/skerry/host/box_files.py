"""The files of a box, run or not: read, write, list, rename, delete, copy, change mode and owner.

These are blocking calls for a worker thread (`asyncio.to_thread`). Each begins from a `BoxRoot`:
a descriptor of the box's disk, or of a checkpoint, and the user who asks. The kernel resolves every
path inside that root and checks that user's permissions; nothing but regular files, directories and
links is ever opened. What is seen is the disk: not what the box mounted over it.

A written or copied file is durable when its call returns. Renaming, deleting, changing attributes
and copying a tree are what the same command in the box is: in effect at once, on the disk with the
filesystem's next commit. How an answer looks on a wire, this file does not know.
"""

import contextlib
import errno
import os
import threading
from types import TracebackType
from typing import Self

from skerry.base import Invalid
from skerry.host.box_root import (
    DEFAULT_USER,
    HOME,
    ID_LAST,
    Anchor,
    BoxRoot,
    enter,
    find_user,
    visiting,
)
from skerry.host.credentials import ROOT, Credentials, acting_as
from skerry.host.file_copy import copy
from skerry.host.file_entry import LIST_ENTRIES_MAX, Entry, Kind, Listing, entry_in, entry_of_handle
from skerry.host.file_errors import errors_about, file_error, not_a_regular_file, shown
from skerry.host.file_trees import (
    TreeResult,
    below,
    change_mode,
    change_owner,
    delete,
    list_tree,
)
from skerry.host.file_write import MODE_DEFAULT, FileWriter, make_link, open_write
from skerry.host.rooted import HANDLE, held, open_parent, open_within, reopen

__all__ = [
    "DEFAULT_USER",
    "HOME",
    "ID_LAST",
    "LIST_ENTRIES_MAX",
    "MODE_DEFAULT",
    "READ_BYTES",
    "ROOT",
    "Anchor",
    "BoxRoot",
    "Credentials",
    "Entry",
    "FileReader",
    "FileWriter",
    "Kind",
    "TreeResult",
    "change_mode",
    "change_owner",
    "copy",
    "delete",
    "enter",
    "find_user",
    "list_directory",
    "list_tree",
    "make_directory",
    "make_link",
    "open_read",
    "open_write",
    "rename",
    "stat",
]

READ_BYTES = 256 * 1024
"""How much one `FileReader.read` returns at most, unless told: the size the kernel reads ahead."""

_DIRECTORY_MODE = 0o755


class FileReader:
    """A range of a file that is open for reading. Close it; `with` does.

    Its calls block. They may come from any thread, and wait for each other: a `close` while
    another thread still reads is safe.
    """

    def __init__(self, descriptor: int, entry: Entry, start: int, stop: int) -> None:
        self.entry = entry
        self.start = start
        self.stop = stop
        self._descriptor = descriptor
        self._position = start
        self._open = True
        self._lock = threading.Lock()

    def read(self, size_bytes: int = READ_BYTES) -> bytes:
        """Return the next bytes, at most size_bytes; none at the end of the range.

        The end comes early if the file shrank meanwhile. Raises Failed(disk_error).
        """
        with self._lock, errors_about(self.entry.path):
            assert self._open, "the reader is closed"
            wanted = min(size_bytes, self.stop - self._position)
            data = os.pread(self._descriptor, wanted, self._position)
            self._position += len(data)
            return data

    def close(self) -> None:
        """Let the file go. Closed already: nothing happens."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._descriptor)

    def __del__(self) -> None:
        self.close()  # a cancelled task never gets what its thread opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_read(root: BoxRoot, path: str, *, start: int = 0, stop: int | None = None) -> FileReader:
    """Open a file for reading bytes start to stop, as a slice: stop is not read, None is the end.

    A stop past the end is the end. Raises NotFound(no_such_path), Denied(permission_denied),
    Conflict(is_a_directory, busy), Invalid(bad_range, bad_path, not_a_regular_file).
    """
    where = root.absolute(path)
    with visiting(root, where) as handle:
        entry = entry_of_handle(where, handle)
        _require_file(entry)
        end = entry.size_bytes if stop is None else min(stop, entry.size_bytes)
        if not 0 <= start <= end:
            raise Invalid(
                "bad_range",
                f"{shown(where)} has {entry.size_bytes} bytes. Ask for a part of them.",
                {"path": shown(where), "size_bytes": entry.size_bytes},
            )
        return FileReader(reopen(handle, os.O_RDONLY), entry, start, end)


def stat(root: BoxRoot, path: str, *, follow: bool = True) -> Entry:
    """Return what there is to tell of a path; follow: of what it leads to, if it is a link.

    Raises NotFound(no_such_path), Denied(permission_denied), Conflict(not_a_directory),
    Invalid(bad_path, too_many_symlinks).
    """
    where = root.absolute(path)
    flags = HANDLE if follow else HANDLE | os.O_NOFOLLOW
    with visiting(root, where, flags) as handle:
        return entry_of_handle(where, handle)


def list_directory(root: BoxRoot, path: str) -> tuple[Entry, ...]:
    """Return the entries of a directory by name, or the one entry of a path that is none.

    Links in it are told as links. Raises as `stat`, and LimitReached(too_many_entries).
    """
    where = root.absolute(path)
    with visiting(root, where) as handle:
        entry = entry_of_handle(where, handle)
        if entry.kind != "directory":
            return (entry,)
        with held(reopen(handle, os.O_RDONLY | os.O_DIRECTORY)) as directory:
            return _entries(directory, where)


def make_directory(
    root: BoxRoot, path: str, *, mode: int = _DIRECTORY_MODE, parents: bool = False
) -> Entry:
    """Make a directory, and return it.

    parents: make those above it too (0755), and take the directory if it is there, as `mkdir -p`.
    Modes are less the umask of this process. Raises NotFound(no_such_path),
    Conflict(already_exists, not_a_directory), Denied(permission_denied), LimitReached.
    """
    where = root.absolute(path) if parents else root.named(path)
    with acting_as(root.user), errors_about(where):
        if parents:
            _make_parents(root.descriptor, where, mode)
        else:
            _make_one(root.descriptor, where, mode)
        with held(open_within(root.descriptor, where, HANDLE | os.O_DIRECTORY)) as handle:
            return entry_of_handle(where, handle)


def rename(root: BoxRoot, source: str, dest: str) -> Entry:
    """Move source to exactly dest, in place of a file or an empty directory there; return it.

    A link is moved, not followed. Raises NotFound(no_such_path), Denied(permission_denied),
    Conflict(is_a_directory, not_a_directory, directory_not_empty, other_filesystem),
    Invalid(bad_path) for a directory that would come to lie in itself.
    """
    old, new = root.named(source), root.named(dest)
    with acting_as(root.user):
        with errors_about(old):
            old_directory, old_name = open_parent(root.descriptor, old)
        with held(old_directory):
            with errors_about(new):
                new_directory, new_name = open_parent(root.descriptor, new)
            with held(new_directory):
                with errors_about(old):
                    os.stat(old_name, dir_fd=old_directory, follow_symlinks=False)
                with errors_about(new):
                    os.rename(
                        old_name, new_name, src_dir_fd=old_directory, dst_dir_fd=new_directory
                    )
                    return entry_in(new_directory, new_name, new)


def _require_file(entry: Entry) -> None:
    if entry.kind == "directory":
        raise file_error(errno.EISDIR, entry.path)
    if entry.kind != "file":
        raise not_a_regular_file(entry.path)


def _entries(directory: int, where: str) -> tuple[Entry, ...]:
    listing = Listing(where)
    with os.scandir(directory) as names:
        for found in names:
            with contextlib.suppress(FileNotFoundError):  # deleted since the directory was read
                listing.add(entry_in(directory, found.name, below(where, found.name)))
    return listing.by_path()


def _make_one(root: int, where: str, mode: int) -> None:
    directory, name = open_parent(root, where)
    with held(directory):
        os.mkdir(name, mode, dir_fd=directory)


def _make_parents(root: int, where: str, mode: int) -> None:
    """Make what is missing of where, from the last directory that is there downwards."""
    missing: list[str] = []
    there = where
    while not _is_directory(root, there or "/"):
        missing.append(there)
        there = there.rpartition("/")[0]
    for path in reversed(missing):
        # Made by somebody else since: if it is no directory, the next step says so.
        with contextlib.suppress(FileExistsError):
            if not path.endswith("/.."):
                _make_one(root, path, mode if path == where else _DIRECTORY_MODE)


def _is_directory(root: int, where: str) -> bool:
    try:
        os.close(open_within(root, where, HANDLE | os.O_DIRECTORY))
    except FileNotFoundError:
        return False
    return True
