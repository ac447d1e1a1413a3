"""The tree that an import fills: whatever a hostile archive asks for happens inside it or not at all.

Every path is looked up by the kernel with the tree as its root, for each member anew or through the
open directory of the member before; the last part of a path is never followed. Paths here are
normalized: relative, parts joined by `/`, no `.` and no `..`, "" is the root.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from skerry.base import Failed, Invalid, LimitReached
from skerry.host import rooted

# A box maps 65,536 ids, and this is the customary one for what belongs to nobody in it.
NOBODY = 65534
_IDS = 65536

_SECONDS_MAX = 2**33  # the year 2242, which every filesystem can keep
_DEPTH_MAX = 512  # deeper trees cannot be removed with recursion, or without many open files

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_MACHINE = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS, errno.ENOSYS)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Who owns a thing, what may be done with it, when it changed (seconds since 1970)."""

    owner: int = 0
    group: int = 0
    mode: int = 0o755
    modified_at_s: float = 0
    attributes: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def normalized(name: str) -> str:
    """Return an archive's name for a thing as a path of the tree; `/` at its front means nothing.

    Raises Invalid(bad_image) for names that climb out, or are no names.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name or len(parts) > _DEPTH_MAX:
        raise Invalid(
            "bad_image",
            f"The image holds a file named {name[:100]!r}, which no root filesystem has. "
            "Make the archive anew.",
        )
    return "/".join(parts)


class Tree:
    """A directory to be filled. Its methods raise Invalid(bad_image), LimitReached(disk_full)."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._parent_path: str = ""
        self._parent = os.dup(root)
        self._directory_times: dict[str, float] = {}
        self.strangers = 0  # things whose owner or group no box has

    def finish(self) -> None:
        """Give the directories their times, which filling them changed."""
        for path, modified_at_s in self._directory_times.items():
            seconds = _seconds(modified_at_s)
            try:
                descriptor = self._open_directory(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it was replaced or removed
            with rooted.held(descriptor):
                os.utime(descriptor, (seconds, seconds))

    def close(self) -> None:
        """Let go of the tree."""
        os.close(self._parent)

    def directory(self, path: str, metadata: Metadata) -> None:
        """Make a directory, or give one that is there new metadata."""
        with blaming(path):
            parent, name = self._place(path)
            if name != "." and not _is_directory(parent, name):
                self._replacing(parent, name, lambda: os.mkdir(name, 0o700, dir_fd=parent))
            with rooted.held(os.open(name, _DIRECTORY, dir_fd=parent)) as descriptor:
                self._give(descriptor, metadata)
        self._directory_times[path] = metadata.modified_at_s

    def file(self, path: str, metadata: Metadata, write: Callable[[int], None]) -> None:
        """Make a file; write is given the descriptor of the empty one."""
        with blaming(path):
            parent, name = self._place(path)

            def create() -> int:
                return os.open(name, _NEW_FILE, 0o600, dir_fd=parent)

            with rooted.held(self._replacing(parent, name, create)) as descriptor:
                write(descriptor)
                self._give(descriptor, metadata)

    def symbolic_link(self, path: str, target: str, metadata: Metadata) -> None:
        """Make a symbolic link; its target is only text here."""
        with blaming(path):
            parent, name = self._place(path)
            self._replacing(parent, name, lambda: os.symlink(target, name, dir_fd=parent))
            self._own(name, parent, metadata)
            seconds = _seconds(metadata.modified_at_s)
            os.utime(name, (seconds, seconds), dir_fd=parent, follow_symlinks=False)

    def hard_link(self, path: str, target: str) -> None:
        """Give what lies at the path target another name."""
        if path == target:
            return
        with blaming(path):
            source, source_name = rooted.open_parent(self._root, "/" + target)
            with rooted.held(source):
                parent, name = self._place(path)
                self._replacing(
                    parent,
                    name,
                    lambda: os.link(
                        source_name,
                        name,
                        src_dir_fd=source,
                        dst_dir_fd=parent,
                        follow_symlinks=False,
                    ),
                )

    def fifo(self, path: str, metadata: Metadata) -> None:
        """Make a named pipe."""
        with blaming(path):
            parent, name = self._place(path)
            self._replacing(parent, name, lambda: os.mkfifo(name, 0o600, dir_fd=parent))
            self._own(name, parent, metadata)
            with rooted.held(os.open(name, rooted.HANDLE | os.O_NOFOLLOW, dir_fd=parent)) as pipe:
                os.chmod(rooted.handle_path(pipe), metadata.mode)

    def remove(self, path: str, kept: Callable[[str], bool]) -> None:
        """Remove what lies at path, as far as kept does not want to keep it; fine if nothing does.

        kept is asked for each path that would go; where it wants a directory, what lies in that is
        asked for in turn.
        """
        with blaming(path):
            try:
                parent, name = rooted.open_parent(self._root, "/" + path)
            except (FileNotFoundError, NotADirectoryError):
                return
            self._forget_parent()
            with rooted.held(parent):
                _remove_but(parent, name, path, kept)

    def empty(self, path: str, kept: Callable[[str], bool]) -> None:
        """Remove all that lies in the directory at path, as far as kept does not want to keep it."""
        with blaming(path):
            try:
                descriptor = self._open_directory(path)
            except (FileNotFoundError, NotADirectoryError):
                return
            self._forget_parent()
            with rooted.held(descriptor):
                for name in os.listdir(descriptor):
                    _remove_but(descriptor, name, f"{path}/{name}".lstrip("/"), kept)

    def _open_directory(self, path: str) -> int:
        return rooted.open_within(self._root, "/" + path, _DIRECTORY)

    def _forget_parent(self) -> None:
        """Stop using a directory that may be removed now."""
        os.close(self._parent)
        self._parent_path = ""
        self._parent = os.dup(self._root)

    def _place(self, path: str) -> tuple[int, str]:
        """Return the open directory of path, made if it is missing, and the last part of path."""
        directory, _, name = path.rpartition("/")
        if directory != self._parent_path:
            parent = self._open_or_make(directory)
            os.close(self._parent)
            self._parent_path, self._parent = directory, parent
        return self._parent, name or "."

    def _open_or_make(self, path: str) -> int:
        flags = rooted.HANDLE | os.O_DIRECTORY
        try:
            return rooted.open_within(self._root, "/" + path, flags)
        except FileNotFoundError:
            parts = path.split("/")
        for count in range(1, len(parts) + 1):
            directory = "/" + "/".join(parts[: count - 1])
            with rooted.held(rooted.open_within(self._root, directory, flags)) as parent:
                try:
                    os.mkdir(parts[count - 1], 0o755, dir_fd=parent)
                except FileExistsError:
                    continue  # a directory, or a link to one; if it is neither, the next step fails
        return rooted.open_within(self._root, "/" + path, flags)

    def _replacing(self, parent: int, name: str, make: Callable[[], _T]) -> _T:
        """Do make; if something is in its way, remove that and do make again."""
        try:
            return make()
        except FileExistsError:
            if name == ".":
                raise Invalid("bad_image", "The image's root is not a directory.") from None
            _remove(parent, name)
            return make()

    def _give(self, descriptor: int, metadata: Metadata) -> None:
        # In this order: a change of the owner takes away both the set-user-id bit and capabilities.
        os.fchown(descriptor, self._id(metadata.owner), self._id(metadata.group))
        os.fchmod(descriptor, metadata.mode)
        for name, value in metadata.attributes.items():
            os.setxattr(descriptor, name, value)
        seconds = _seconds(metadata.modified_at_s)
        os.utime(descriptor, (seconds, seconds))

    def _own(self, name: str, parent: int, metadata: Metadata) -> None:
        owner, group = self._id(metadata.owner), self._id(metadata.group)
        os.chown(name, owner, group, dir_fd=parent, follow_symlinks=False)

    def _id(self, number: int) -> int:
        if 0 <= number < _IDS:
            return number
        self.strangers += 1
        return NOBODY


@contextmanager
def filling(root: int) -> Generator[Tree]:
    """Fill the directory root, which the caller opened and closes."""
    tree = Tree(root)
    try:
        yield tree
        tree.finish()
    finally:
        tree.close()


@contextmanager
def blaming(path: str) -> Generator[None]:
    """Turn an error of the kernel into one that says which file of the image met it."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise LimitReached(
                "disk_full", "The pool has no room for the image. Delete what is not needed."
            ) from error
        if error.errno in _MACHINE:
            raise Failed("import_failed", f"/{path[:200]}: {error.strerror}.") from error
        raise Invalid(
            "bad_image", f"/{path[:200]} of the image cannot be made here: {error.strerror}."
        ) from error
    except RecursionError as error:
        raise Invalid("bad_image", f"/{path[:200]} is too deep a directory.") from error


def _seconds(modified_at_s: float) -> float:
    return modified_at_s if 0 <= modified_at_s <= _SECONDS_MAX else 0  # also for what is no number


def _is_directory(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=parent)
    except FileNotFoundError:
        return


def _remove_but(parent: int, name: str, path: str, kept: Callable[[str], bool]) -> None:
    if not kept(path):
        _remove(parent, name)
    elif _is_directory(parent, name):
        with rooted.held(os.open(name, _DIRECTORY, dir_fd=parent)) as descriptor:
            for below in os.listdir(descriptor):
                _remove_but(descriptor, below, f"{path}/{below}", kept)
