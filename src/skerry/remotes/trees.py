"""A directory of this machine that objects are copied out of and into.

No link in it is followed, and nothing outside it is reached, whatever names a remote tells: each
directory is opened from the one above it, by the kernel, with links refused. A file appears under
its name only when it is whole.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from skerry.base import Invalid

_NAME_BYTES_MAX = 255
_PATH_BYTES_MAX = 4095
_PART_PREFIX, _PART_SUFFIX = ".skerry-", ".part"


@dataclass(frozen=True, slots=True)
class Found:
    """A file: its key below the directory, its size, and when it was changed."""

    key: str
    size_bytes: int
    modified_at_ns: int


@dataclass(slots=True)
class Tree:
    """A directory. skipped: what could not be copied, each with the reason."""

    root: int
    path: str
    skipped: list[str] = field(default_factory=list[str])
    _parts: int = 0

    def files(self) -> Iterator[Found]:
        """Yield all files, in the order in which S3 lists their keys. Raises OSError."""
        pending = [self._entries("")]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                continue
            key, status = entry
            if key.endswith("/"):
                pending.append(self._entries(key))
            else:
                yield Found(key, status.st_size, status.st_mtime_ns)

    def open(self, key: str) -> BinaryIO:
        """Open a file to read it. Raises OSError, Invalid(bad_file) if it is none any more."""
        directory, name = self._parent(key, makes=False)
        with _opened(directory):
            return open_file(name, f"{self.path}/{key}", directory)

    @contextlib.contextmanager
    def writing(self, key: str, modified_at_ns: int | None = None) -> Generator[BinaryIO]:
        """Give a file to be written, which gets the name of key at the end if all went well.

        Raises OSError; ENOTDIR, EISDIR or ELOOP if what is there stands in its way.
        """
        directory, name = self._parent(key, makes=True)
        with _opened(directory), written(directory, name, self._part(), modified_at_ns) as file:
            yield file

    def delete(self, key: str) -> None:
        """Delete a file. Raises OSError."""
        directory, name = self._parent(key, makes=False)
        with _opened(directory):
            os.unlink(name, dir_fd=directory)

    def _part(self) -> str:
        self._parts += 1
        return f"{_PART_PREFIX}{os.getpid()}-{self._parts}{_PART_SUFFIX}"

    def _parent(self, key: str, *, makes: bool) -> tuple[int, str]:
        *above, name = key.split("/")
        return _open_below(self.root, above, makes=makes), name

    def _entries(self, relative: str) -> Iterator[tuple[str, os.stat_result]]:
        """Return what is in a directory: keys, those of directories with a slash."""
        entries: list[tuple[str, os.stat_result]] = []
        with _opened(_open_below(self.root, relative.split("/")[:-1], makes=False)) as directory:
            for name in os.listdir(directory):
                if name.startswith(_PART_PREFIX) and name.endswith(_PART_SUFFIX):
                    continue  # what a copy that was killed left here
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                reason = _unfit(name, status.st_mode)
                if reason:
                    self.skipped.append(f"{self.path}/{relative}{name}: {reason}")
                else:
                    key = relative + name + "/" * stat.S_ISDIR(status.st_mode)
                    entries.append((key, status))
        # As S3 orders keys: those below a directory come where its name with a slash stands.
        return iter(sorted(entries, key=lambda entry: entry[0]))


@contextlib.contextmanager
def opened_tree(path: str, *, makes: bool) -> Generator[Tree]:
    """Give the directory at path; makes: also if it is not there yet. Raises OSError."""
    if makes:
        os.makedirs(path, exist_ok=True)
    # The path itself may be a link: its owner named it.
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with _opened(root):
        yield Tree(root, path.rstrip("/"))


def unfit_key(key: str) -> str | None:
    """Return why a file cannot have key as its path, None if it can. Pure."""
    names = key.split("/")
    if any(name in ("", ".", "..") for name in names):
        return "its key is no path that stays here"
    if "\0" in key:
        return "its key has a zero byte"
    if any(len(name.encode()) > _NAME_BYTES_MAX for name in names):
        return f"a part of its key has more than {_NAME_BYTES_MAX} bytes"
    return "its key is too long" if len(key.encode()) > _PATH_BYTES_MAX else None


def open_file(name: str, path: str, directory: int | None = None) -> BinaryIO:
    """Open a regular file to read it; a link only where directory is None.

    path: how it is called in errors. Raises OSError, Invalid(bad_file).
    """
    no_link = 0 if directory is None else os.O_NOFOLLOW
    # Not to wait for a FIFO that has taken the file's place.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | no_link
    descriptor = os.open(name, flags, dir_fd=directory)
    with contextlib.ExitStack() as failed:
        failed.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Invalid("bad_file", f"{path} is no file.")
        failed.pop_all()
    return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def written(
    directory: int, name: str, part: str, modified_at_ns: int | None = None
) -> Generator[BinaryIO]:
    """Give a file called part, which becomes name when all was written; else it goes.

    Raises OSError; EISDIR or EEXIST if name is taken by what is neither a file nor a link.
    """
    _check_replaceable(directory, name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o666, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if modified_at_ns is not None:
                os.utime(file.fileno(), ns=(modified_at_ns, modified_at_ns))
        os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=directory)
        raise


def _check_replaceable(directory: int, name: str) -> None:
    """Refuse to put a file in the place of a device or a pipe: /dev/null would be gone."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise FileExistsError(errno.EEXIST, "It is no file, and stays", name)


def _unfit(name: str, mode: int) -> str | None:
    if stat.S_ISLNK(mode):
        return "a link, and none is followed"
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "no file and no directory"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    return None


def _open_below(root: int, names: list[str], *, makes: bool) -> int:
    directory = os.dup(root)
    for name in names:
        with _opened(directory):
            if makes:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=directory)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            directory = os.open(name, flags, dir_fd=directory)
    return directory


@contextlib.contextmanager
def _opened(descriptor: int) -> Generator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
