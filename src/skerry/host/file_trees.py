"""What is done to whole trees of a box: list, delete, change mode, change owner; and the walk.

A walk holds one descriptor at a time, whatever the depth: a directory is opened anew by its path
below the tree's top, of which the kernel lets no part be a link. So what the box moves or swaps
for links meanwhile leads nowhere else; it is passed over as gone. Entries and time are bounded.
"""

import contextlib
import errno
import fnmatch
import os
import re
import stat as modes
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from skerry.base import Invalid, LimitReached
from skerry.host.box_root import ID_LAST, BoxRoot, visiting
from skerry.host.credentials import acting_as
from skerry.host.file_entry import Entry, Listing, entry_in
from skerry.host.file_errors import errors_about, file_error, shown
from skerry.host.rooted import (
    HANDLE,
    handle_path,
    held,
    open_beneath,
    open_parent,
)

TREE_ENTRIES_MAX = 1_000_000
TREE_SECONDS_MAX = 600
PATHS_TOLD_MAX = 1_000

# Directories found and not yet entered; each is a name and a reference. 100,000 are about 30 MB.
_PENDING_MAX = 100_000

_PATTERN_MAX = 1_024  # a name has at most 255 bytes

# How often a directory is emptied again that the box fills while it is being deleted.
_DELETE_PASSES_MAX = 3

GONE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR})
"""How opening a directory fails that was deleted, moved or swapped for a link since it was met."""


class Budget:
    """How much one operation on a tree may still do."""

    def __init__(self, path: str, entries: int = TREE_ENTRIES_MAX) -> None:
        self._path = path
        self._entries_left = entries
        self._deadline_ns = time.monotonic_ns() + TREE_SECONDS_MAX * 10**9

    def spend(self) -> None:
        """Count one entry. Raises LimitReached(tree_too_large)."""
        self._entries_left -= 1
        if self._entries_left < 0 or time.monotonic_ns() > self._deadline_ns:
            raise self.exceeded()

    def exceeded(self) -> LimitReached:
        """Return the error that ends the operation; what it did until then stays done."""
        return LimitReached(
            "tree_too_large",
            f"{shown(self._path)} holds too much for one call. Do it by a command in the box.",
            {"path": shown(self._path)},
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing met in a walk: name in the directory that `parent` is open for.

    path: relative to the top. Directories are met twice, before and after what is in them.
    """

    phase: Literal["entry", "enter", "leave"]
    parent: int
    name: str
    path: str
    status: os.stat_result


@dataclass(frozen=True, slots=True)
class TreeResult:
    """What an operation touched: how many things, bytes of files, and the first 1,000 paths."""

    count: int
    size_bytes: int
    paths: tuple[str, ...]


class Tally:
    """Adds up a TreeResult."""

    def __init__(self) -> None:
        self._count = 0
        self._size_bytes = 0
        self._paths: list[str] = []

    def add(self, path: str, status: os.stat_result) -> None:
        """Count one thing that was touched."""
        self._count += 1
        self._size_bytes += status.st_size if modes.S_ISREG(status.st_mode) else 0
        if len(self._paths) < PATHS_TOLD_MAX:
            self._paths.append(path)

    def result(self) -> TreeResult:
        """Return the sum."""
        return TreeResult(self._count, self._size_bytes, tuple(self._paths))


def walk(top: int, budget: Budget, passed_over: frozenset[int] = GONE) -> Generator[Step]:
    """Yield what lies below the directory top, which itself is not met.

    Within a directory all its entries come first, then its directories one after another. A
    step's descriptor is good until the next step. Directories that fail to open with one of
    passed_over are taken as empty. Raises OSError, LimitReached(tree_too_large).
    """
    pending: list[tuple[str, str, bool]] = [("", "", False)]
    while pending:
        above, name, left = pending.pop()
        path = f"{above}/{name}" if above else name
        if left:
            yield from _leave(top, above, name, path, passed_over)
            continue
        if name:
            pending.append((above, name, True))
        for step in _scan(top, path, budget, passed_over):
            if step.phase == "enter":
                if len(pending) >= _PENDING_MAX:
                    raise budget.exceeded()
                pending.append((path, step.name, False))
            yield step


def below(where: str, path: str) -> str:
    """Return the absolute path of what a walk from where calls path."""
    return f"{where.rstrip('/')}/{path}" if path else where


def list_tree(root: BoxRoot, path: str, *, pattern: str | None = None) -> tuple[Entry, ...]:
    """Return all that lies below a directory, by path, links as links; pattern: names like it.

    pattern is of `*`, `?` and `[...]`, and compared with names. A path that is no directory gives
    nothing. Raises as `stat`, Invalid(bad_pattern), LimitReached(too_many_entries,
    tree_too_large).
    """
    where = root.absolute(path)
    fits = _name_pattern(pattern)
    listing = Listing(where)
    with visiting(root, where) as top:
        if not modes.S_ISDIR(os.fstat(top).st_mode):
            return ()
        with closing(walk(top, Budget(where))) as steps:
            for step in steps:
                if step.phase != "leave" and fits(step.name):
                    with contextlib.suppress(FileNotFoundError):
                        found = below(where, step.path)
                        listing.add(entry_in(step.parent, step.name, found))
    return listing.by_path()


def delete(root: BoxRoot, path: str, *, recursive: bool = False) -> TreeResult:
    """Remove a file, a link or an empty directory; recursive: a directory with all that is in it.

    Raises NotFound(no_such_path), Denied(permission_denied), Conflict(directory_not_empty,
    read_only), Invalid(bad_path), LimitReached(tree_too_large).
    """
    where = root.named(path)
    tally = Tally()
    with acting_as(root.user), errors_about(where):
        parent, name = open_parent(root.descriptor, where)
        with held(parent):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not modes.S_ISDIR(status.st_mode):
                os.unlink(name, dir_fd=parent)
            elif recursive:
                _delete_tree(parent, name, where, tally)
            else:
                os.rmdir(name, dir_fd=parent)
            tally.add(where, status)
    return tally.result()


def change_mode(root: BoxRoot, path: str, mode: int, *, recursive: bool = False) -> TreeResult:
    """Give a file or directory a mode of 0 to 0o7777; recursive: all below it too, links aside.

    Raises NotFound(no_such_path), Denied(permission_denied), Conflict(read_only),
    Invalid(bad_mode, bad_path), LimitReached(tree_too_large).
    """
    if not 0 <= mode <= 0o7777:
        raise Invalid("bad_mode", "A mode is 0000 to 7777, in octal.")
    # A directory that the new mode closes to its owner is changed after what is in it.
    phases = ("entry", "enter") if mode & 0o700 == 0o700 else ("entry", "leave")

    def change(handle: int) -> None:
        os.chmod(handle_path(handle), mode)

    return _change(root, path, change, phases if recursive else (), links=False)


def change_owner(
    root: BoxRoot, path: str, *, uid: int | None, gid: int | None, recursive: bool = False
) -> TreeResult:
    """Give a file or directory to a user, a group or both; recursive: all below it, links too.

    None stays as it is. Raises as `change_mode`, and Invalid(bad_owner) beyond the box's ids.
    """
    for number in (uid, gid):
        if number is not None and not 0 <= number <= ID_LAST:
            raise Invalid("bad_owner", f"Users and groups of a box are 0 to {ID_LAST}.")

    def change(handle: int) -> None:
        os.chown(handle_path(handle), -1 if uid is None else uid, -1 if gid is None else gid)

    return _change(root, path, change, ("entry", "leave") if recursive else (), links=True)


def _change(
    root: BoxRoot,
    path: str,
    change: Callable[[int], None],
    phases: tuple[str, ...],
    *,
    links: bool,
) -> TreeResult:
    """Change the thing at path, and what a walk meets below it in one of phases."""
    where = root.absolute(path)
    tally = Tally()
    with visiting(root, where) as top:
        status = os.fstat(top)
        if "leave" not in phases:
            change(top)
        if phases and modes.S_ISDIR(status.st_mode):
            with closing(walk(top, Budget(where))) as steps:
                for step in steps:
                    if step.phase in phases:
                        _change_step(step, below(where, step.path), change, tally, links=links)
        if "leave" in phases:
            change(top)
        tally.add(where, status)
    return tally.result()


def _change_step(
    step: Step, path: str, change: Callable[[int], None], tally: Tally, *, links: bool
) -> None:
    with errors_about(path):
        try:
            handle = open_beneath(step.parent, step.name)
        except FileNotFoundError:
            return
        with held(handle):
            if links or not modes.S_ISLNK(os.fstat(handle).st_mode):
                change(handle)
                tally.add(path, step.status)


def _delete_tree(parent: int, name: str, where: str, tally: Tally) -> None:
    """Empty and remove a directory, again if the box put something into it meanwhile."""
    budget = Budget(where)
    for _ in range(_DELETE_PASSES_MAX):
        with (
            held(open_beneath(parent, name, HANDLE | os.O_DIRECTORY)) as top,
            closing(walk(top, budget)) as steps,
        ):
            for step in steps:
                if step.phase != "enter":
                    _delete_step(step, below(where, step.path), tally)
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            return  # the box was quicker
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
    raise file_error(errno.ENOTEMPTY, where)


def _delete_step(step: Step, path: str, tally: Tally) -> None:
    remove = os.rmdir if step.phase == "leave" else os.unlink
    with errors_about(path):
        try:
            remove(step.name, dir_fd=step.parent)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return  # gone, or swapped for another kind: the next pass sees what it is
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return  # filled again meanwhile
        tally.add(path, step.status)


def _name_pattern(pattern: str | None) -> Callable[[str], object]:
    if pattern is not None and len(pattern) > _PATTERN_MAX:
        raise Invalid("bad_pattern", f"A pattern has at most {_PATTERN_MAX} characters.")
    return re.compile(fnmatch.translate("*" if pattern is None else pattern)).fullmatch


def _scan(top: int, path: str, budget: Budget, passed_over: frozenset[int]) -> Iterator[Step]:
    try:
        directory = open_beneath(top, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
    except OSError as error:
        if path and error.errno in passed_over:
            return
        if error.errno == errno.ENAMETOOLONG:
            raise budget.exceeded() from None  # more than 4,095 bytes deep
        raise
    with held(directory), os.scandir(directory) as names:
        for found in names:
            budget.spend()
            try:
                status = os.stat(found.name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            phase = "enter" if modes.S_ISDIR(status.st_mode) else "entry"
            inner = f"{path}/{found.name}" if path else found.name
            yield Step(phase, directory, found.name, inner, status)


def _leave(
    top: int, above: str, name: str, path: str, passed_over: frozenset[int]
) -> Iterator[Step]:
    try:
        parent = open_beneath(top, above, HANDLE | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in passed_over:
            return
        raise
    with held(parent):
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        yield Step("leave", parent, name, path, status)
