"""What is told of one file, directory or link in a box."""

import os
import stat as modes
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import LimitReached
from skerry.host.file_errors import shown

LIST_ENTRIES_MAX = 100_000
"""More entries than this are not told at once: the answer would be tens of megabytes."""

_LIST_CHARACTERS_MAX = 64 << 20  # in their paths, of which a box may make each 4,095 long

Kind: TypeAlias = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a box. path: absolute, as the box names it. target: where a link leads.

    mode: the permission bits alone. name and path may hold surrogates, for bytes that are no UTF-8.
    """

    name: str
    path: str
    kind: Kind
    size_bytes: int
    mode: int
    mtime_ns: int
    uid: int
    gid: int
    target: str | None = None


def kind_of(mode: int) -> Kind:
    """Return what a st_mode says a thing is; FIFOs, sockets and devices are `other`."""
    if modes.S_ISREG(mode):
        return "file"
    if modes.S_ISDIR(mode):
        return "directory"
    return "symlink" if modes.S_ISLNK(mode) else "other"


def entry_of(path: str, status: os.stat_result, target: str | None = None) -> Entry:
    """Return what status says of the thing at path."""
    return Entry(
        name=path.rpartition("/")[2] or "/",
        path=path,
        kind=kind_of(status.st_mode),
        size_bytes=status.st_size,
        mode=modes.S_IMODE(status.st_mode),
        mtime_ns=status.st_mtime_ns,
        uid=status.st_uid,
        gid=status.st_gid,
        target=target,
    )


def entry_of_handle(path: str, handle: int) -> Entry:
    """Return what there is to tell of the thing that a descriptor stands for. Raises OSError."""
    status = os.fstat(handle)
    is_link = modes.S_ISLNK(status.st_mode)
    return entry_of(path, status, os.readlink("", dir_fd=handle) if is_link else None)


def entry_in(directory: int, name: str, path: str) -> Entry:
    """Return what there is to tell of name in a directory; a link is not followed.

    Raises OSError.
    """
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    is_link = modes.S_ISLNK(status.st_mode)
    return entry_of(path, status, os.readlink(name, dir_fd=directory) if is_link else None)


class Listing:
    """Gathers entries up to what one answer may hold. where: what is being listed."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._entries: list[Entry] = []
        self._characters = 0

    def add(self, entry: Entry) -> None:
        """Take one more. Raises LimitReached(too_many_entries)."""
        self._entries.append(entry)
        self._characters += len(entry.path) + len(entry.target or "")
        if len(self._entries) > LIST_ENTRIES_MAX or self._characters > _LIST_CHARACTERS_MAX:
            raise LimitReached(
                "too_many_entries",
                f"{shown(self._where)} holds more than the {LIST_ENTRIES_MAX} entries of one "
                "answer. List it by a command in the box.",
                {"path": shown(self._where), "limit": LIST_ENTRIES_MAX},
            )

    def by_path(self) -> tuple[Entry, ...]:
        """Return what was gathered, sorted."""
        return tuple(sorted(self._entries, key=lambda entry: entry.path))
