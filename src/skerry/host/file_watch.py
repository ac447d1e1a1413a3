"""Telling what changes in a box's files (inotify(7)).

One `FileWatch` holds one inotify instance and any number of watched paths. Watches are set on what
a rooted look-up found, never by a path of the host's. Their number is bounded; where something was
missed, that is told as an `overflow`, and whoever listens lists again. A watch sees the disk that
its root stood for: end it when a box's disk is replaced or removed.
"""

import asyncio
import errno
import os
import re
import stat as modes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeAlias

from skerry.base import LimitReached
from skerry.host import inotify
from skerry.host.box_root import BoxRoot
from skerry.host.credentials import acting_as
from skerry.host.file_errors import errors_about, file_error, shown
from skerry.host.file_trees import GONE, Budget, Step, below, walk
from skerry.host.file_write import TEMPORARY_PREFIX
from skerry.host.inotify import Event
from skerry.host.rooted import (
    HANDLE,
    held,
    open_beneath,
    open_target_parent,
    open_within,
)

WATCHES_MAX = 8_192
"""Directories one FileWatch looks at; each costs the kernel about 1 kB."""

PATHS_MAX = 64

Change: TypeAlias = Literal["create", "write", "remove", "rename", "chmod", "overflow"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One thing that happened to path.

    rename: it left this name; where it is in sight, a `create` (or, in place of a file that was
    written whole, a `write`) of the new name follows. overflow: changes below path were missed.
    """

    kind: Change
    path: str
    is_directory: bool = False


@dataclass(slots=True)
class _Subscription:
    """A path that was asked for, and the watches that serve it."""

    path: str
    recursive: bool
    watches: set[int] = field(default_factory=set[int])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a watched directory lies below a subscribed path; "" is that path itself.

    only: the path is a file, this its name, and the directory the one that holds it. A file is
    watched so because a program that replaces it (an editor, `open_write`) makes another inode.
    """

    relative: str
    only: str | None = None


@dataclass(slots=True)
class _Batch:
    """What one read found. moved, fresh: directories that left and came, by subscribed path."""

    found: list[FileChange] = field(default_factory=list[FileChange])
    moved: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    fresh: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    overflown: bool = False


class FileWatch:
    """Watches paths of one box. Close it; `with` does.

    `add`, `remove`, `read` and `close` block for as long as a directory tree takes to be gone
    through, and may come from any thread. `changes` is for an event loop.
    """

    def __init__(self, root: BoxRoot, *, watches_max: int = WATCHES_MAX) -> None:
        """Begin with no path.

        Raises LimitReached(watches_limit) if the host has no more inotify instances.
        """
        self._watches_max = watches_max
        self._lock = threading.Lock()
        self._open = True
        self._subscriptions: dict[str, _Subscription] = {}
        # By watch, then by subscribed path: the kernel gives one directory one watch.
        self._places: dict[int, dict[str, _Place]] = {}
        self._own_cookie = 0
        self._root = root
        self._queue = _new_queue()

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is something to read."""
        return self._queue

    @property
    def paths(self) -> tuple[str, ...]:
        """The absolute paths that are watched; one that was removed or moved away is no more."""
        return tuple(self._subscriptions)

    def add(self, path: str, *, recursive: bool = False) -> str:
        """Watch a file or directory; recursive: all directories below it too. Return its path.

        Raises NotFound(no_such_path), Denied(permission_denied), Invalid(bad_path),
        LimitReached(watches_limit).
        """
        where = self._root.absolute(path)
        with self._lock, errors_about(where):
            assert self._open, "the watch is closed"
            if where not in self._subscriptions and len(self._subscriptions) >= PATHS_MAX:
                raise _limit(where)
            self._forget(where)
            subscription = _Subscription(where, recursive)
            self._subscriptions[where] = subscription
            try:
                with acting_as(self._root.user):
                    self._watch_path(subscription)
            except BaseException:
                self._forget(where)
                raise
        return where

    def remove(self, path: str) -> None:
        """Watch a path no more; one that is not watched is fine."""
        with self._lock:
            if self._open:
                self._forget(self._root.absolute(path))

    def read(self) -> Sequence[FileChange]:
        """Return what happened since, without waiting; nothing if nothing did.

        What happens in a new directory before it is watched is found by looking, so that it may be
        told twice, but is not missed.
        """
        with self._lock:
            if not self._open:
                return ()
            batch = _Batch()
            for event in inotify.read_events(self._queue):
                self._take(event, batch)
            self._settle(batch)
            return _condensed(batch.found)

    async def changes(self) -> Sequence[FileChange]:
        """Wait until something happened, and return it; nothing if no path is watched any more.

        Not to be called twice at once, and ended (or cancelled) before `close`.
        """
        loop = asyncio.get_running_loop()
        while self._subscriptions:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._queue, _resolve, readable)
            try:
                await readable
            finally:
                loop.remove_reader(self._queue)
            found = await asyncio.to_thread(self.read)
            if found:
                return found
        return ()

    def close(self) -> None:
        """End all. Closed already: nothing happens."""
        with self._lock:
            if self._open:
                self._open = False
                self._subscriptions.clear()
                os.close(self._queue)

    def __del__(self) -> None:
        if hasattr(self, "_queue"):
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, event: Event, batch: _Batch) -> None:
        """Add what an event says to batch."""
        if event.mask & inotify.OVERFLOW:
            batch.overflown = True
            return
        if event.name.startswith(TEMPORARY_PREFIX):
            # A file on its way to its name; what comes of it is one `write` of that.
            self._own_cookie = event.cookie or self._own_cookie
            return
        for path, place in list(self._places.get(event.watch, {}).items()):
            if not event.name:
                self._take_own(event.mask, path, place, batch)
            elif place.only in (None, event.name):
                self._take_named(event, path, place, batch)
        if event.mask & inotify.IGNORED:
            self._drop(event.watch)

    def _take_own(self, mask: int, path: str, place: _Place, batch: _Batch) -> None:
        """Take an event of a watched directory itself; its parent's watch tells of those below."""
        if place.relative:
            return
        if mask & (inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.IGNORED):
            kind = "rename" if mask & inotify.MOVE_SELF else "remove"
            batch.found.append(FileChange(kind, path, place.only is None))
            self._forget(path)
        elif mask & inotify.ATTRIB and place.only is None:
            batch.found.append(FileChange("chmod", path, is_directory=True))

    def _take_named(self, event: Event, path: str, place: _Place, batch: _Batch) -> None:
        if event.mask & inotify.ATTRIB and _NAMELESS.fullmatch(event.name):
            return
        relative = "" if place.only else _joined(place.relative, event.name)
        is_directory = bool(event.mask & inotify.IS_DIRECTORY)
        kind = _KINDS[event.mask & inotify.NAMED]
        if event.mask & inotify.MOVED_TO and event.cookie == self._own_cookie:
            kind = "write"
        batch.found.append(FileChange(kind, below(path, relative), is_directory))
        if is_directory and place.only is None and self._subscriptions[path].recursive:
            if event.mask & inotify.MOVED_FROM:
                batch.moved.add((path, relative))
            elif event.mask & (inotify.MOVED_TO | inotify.CREATE):
                batch.fresh[path, relative] = None

    def _settle(self, batch: _Batch) -> None:
        """Make the watches fit what came and went, once for all events of a read.

        So a box that moves directories to and fro costs one look each, however often it does.
        """
        self._drop_moved(batch.moved)
        if batch.overflown:
            for path, subscription in self._subscriptions.items():
                batch.found.append(FileChange("overflow", path, is_directory=True))
                if subscription.recursive:
                    self._look_into(subscription, "")
        for path, relative in batch.fresh:
            subscription = self._subscriptions.get(path)
            if subscription is not None:
                batch.found.extend(self._look_into(subscription, relative))

    def _look_into(self, subscription: _Subscription, relative: str) -> list[FileChange]:
        """Watch a directory that is new, and return what is in it as created."""
        found: list[FileChange] = []
        try:
            with (
                acting_as(self._root.user),
                held(open_within(self._root.descriptor, subscription.path)) as base,
                held(open_beneath(base, relative, HANDLE | os.O_DIRECTORY)) as top,
            ):
                found.extend(self._watch_tree(subscription, relative, top))
        except OSError as error:
            if error.errno not in _PASSED_OVER:
                raise file_error(
                    error.errno or errno.EIO, below(subscription.path, relative)
                ) from error
        except LimitReached:
            where = below(subscription.path, relative)
            found.append(FileChange("overflow", where, is_directory=True))
        return found

    def _watch_path(self, subscription: _Subscription) -> None:
        """Set the first watches of a subscription."""
        root, path = self._root.descriptor, subscription.path
        with held(open_within(root, path)) as handle:
            if not modes.S_ISDIR(os.fstat(handle).st_mode):
                directory, name = open_target_parent(root, path)
                with held(directory):
                    self._watch(subscription, directory, _Place("", name))
            elif subscription.recursive:
                for _ in self._watch_tree(subscription, "", handle):
                    pass
            else:
                self._watch(subscription, handle, _Place(""))

    def _watch_tree(
        self, subscription: _Subscription, relative: str, top: int
    ) -> Iterator[FileChange]:
        """Watch a directory and those below it; yield what is in them.

        Each is watched before it is read, so that nothing falls between.
        """
        self._watch(subscription, top, _Place(relative))
        where = below(subscription.path, relative)
        with closing(walk(top, Budget(where), passed_over=_PASSED_OVER)) as steps:
            for step in steps:
                if step.phase == "leave":
                    continue
                is_directory = step.phase == "enter"
                if is_directory:
                    self._watch_step(subscription, step, _joined(relative, step.path))
                if not step.name.startswith(TEMPORARY_PREFIX):
                    yield FileChange("create", below(where, step.path), is_directory)

    def _watch_step(self, subscription: _Subscription, step: Step, relative: str) -> None:
        try:
            with held(open_beneath(step.parent, step.name, HANDLE | os.O_DIRECTORY)) as handle:
                self._watch(subscription, handle, _Place(relative))
        except OSError as error:
            if error.errno not in _PASSED_OVER:
                raise

    def _watch(self, subscription: _Subscription, handle: int, place: _Place) -> None:
        where = below(subscription.path, place.relative)
        if len(self._places) >= self._watches_max:
            raise _limit(where)
        try:
            watch = inotify.add_watch(self._queue, handle)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise _limit(where) from error
            raise
        self._places.setdefault(watch, {})[subscription.path] = place
        subscription.watches.add(watch)

    def _drop_moved(self, moved: set[tuple[str, str]]) -> None:
        """End the watches of directories that lie at or below places which were moved away."""
        for path in {path for path, _ in moved} & self._subscriptions.keys():
            for watch in list(self._subscriptions[path].watches):
                relative = self._places[watch][path].relative
                if any((path, above) in moved for above in _ends(relative)):
                    self._release(watch, path)

    def _forget(self, path: str) -> None:
        """End a subscription, if there is one."""
        subscription = self._subscriptions.pop(path, None)
        if subscription is not None:
            for watch in list(subscription.watches):
                self._release(watch, path, subscription)

    def _release(self, watch: int, path: str, subscription: _Subscription | None = None) -> None:
        """Let a subscription no longer use a watch; end the watch that nobody uses."""
        (subscription or self._subscriptions[path]).watches.discard(watch)
        places = self._places[watch]
        places.pop(path, None)
        if not places:
            del self._places[watch]
            inotify.end_watch(self._queue, watch)

    def _drop(self, watch: int) -> None:
        """Strike out a watch that the kernel has ended."""
        for path in self._places.pop(watch, {}):
            self._subscriptions[path].watches.discard(watch)


# How the kernel calls a file that has no name (O_TMPFILE) when its mode or owner is changed. A file
# that really has such a name is told of all the same, but for this.
_NAMELESS = re.compile(r"#[0-9]+")

_KINDS: Mapping[int, Change] = {
    inotify.MODIFY: "write",
    inotify.ATTRIB: "chmod",
    inotify.MOVED_FROM: "rename",
    inotify.MOVED_TO: "create",
    inotify.CREATE: "create",
    inotify.DELETE: "remove",
}
_PASSED_OVER = GONE | {errno.EACCES}  # what the user may not read is not watched either


def _new_queue() -> int:
    try:
        return inotify.open_queue()
    except OSError as error:
        raise LimitReached(
            "watches_limit",
            f"The host has no more inotify instances ({error.strerror}). End other watches, or "
            "raise the sysctl fs.inotify.max_user_instances.",
        ) from error


def _limit(where: str) -> LimitReached:
    return LimitReached(
        "watches_limit",
        f"{shown(where)}: too many directories to watch. Watch fewer, or not recursively.",
        {"path": shown(where)},
    )


def _condensed(changes: Sequence[FileChange]) -> Sequence[FileChange]:
    """Leave out what says of a path only what was last said of it: a write comes in many parts."""
    last: dict[str, FileChange] = {}
    kept: list[FileChange] = []
    for change in changes:
        if last.get(change.path) != change:
            kept.append(change)
        last[change.path] = change
    return kept


def _joined(above: str, name: str) -> str:
    return f"{above}/{name}" if above else name


def _ends(relative: str) -> Iterator[str]:
    """Yield a relative path and those above it."""
    while relative:
        yield relative
        relative = relative.rpartition("/")[0]


def _resolve(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
