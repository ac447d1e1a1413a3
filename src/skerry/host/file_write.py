"""Writing a file of a box whole: staged without a name, then put in place in one step.

The staged content is a file that has no name (O_TMPFILE), so that nothing is left over when the
writing ends early, by a killed daemon or a power cut too. A file that is there keeps its owner,
mode, ACL and user attributes. It is replaced where that changes its content alone; where it has
other names (hard links), belongs to somebody else, or its directory may not be written, the staged
content is put into the same file instead, by sharing extents where the filesystem can.

A commit returns when the content and the name are on the disk: what was acknowledged is there
after a power cut. Its two fsyncs take 1.2 to 1.9 ms on btrfs, without them it would be 0.05. How paths
are found, `rooted` knows.
"""

import contextlib
import errno
import fcntl
import os
import stat as modes
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from skerry.base import TooLarge
from skerry.host.box_root import BoxRoot
from skerry.host.credentials import ROOT, Credentials, acting_as
from skerry.host.file_attributes import (
    copy_attributes,
    copy_extended_attributes,
    set_mode,
    set_owner,
)
from skerry.host.file_entry import Entry, entry_in, entry_of
from skerry.host.file_errors import bad_path, errors_about, file_error, not_a_regular_file, shown
from skerry.host.rooted import (
    HANDLE,
    check_writable,
    handle_path,
    held,
    open_beneath,
    open_parent,
    open_target_parent,
    reopen,
)

MODE_DEFAULT = 0o644

TEMPORARY_PREFIX = ".skerry-write-"
"""How names begin that stand in a directory between two system calls of a replacement."""

_FICLONE = 0x40049409
_NO_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)
_COPY_BYTES = 16 << 20  # one step of a copy where extents cannot be shared


@dataclass(slots=True)
class _Place:
    """Where the content goes. handle: what bears the name already; target: it, open, to fill it."""

    directory: int
    name: str
    path: str
    handle: int | None = None
    target: int | None = None

    def close(self) -> None:
        for descriptor in (self.directory, self.handle, self.target):
            if descriptor is not None:
                os.close(descriptor)


class FileWriter:
    """A file that is being written. Call `commit` or `abort`; leaving `with` aborts what is open.

    Its calls block. They may come from any thread, and wait for each other: an `abort` while
    another thread still writes is safe.
    """

    def __init__(
        self,
        root: BoxRoot,
        place: _Place,
        staged: int,
        mode: int | None,
        size_bytes_max: int | None,
    ) -> None:
        self._user = root.user
        self._place = place
        self._staged = staged
        self._mode = mode
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._open = True
        self._whole = True
        self._lock = threading.Lock()

    @property
    def path(self) -> str:
        """The absolute path that was asked for."""
        return self._place.path

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append data. Raises TooLarge(file_too_large), LimitReached(disk_limit, pool_full)."""
        with self._lock, errors_about(self.path):
            assert self._open, "the writer is closed"
            self._whole = False
            self._size_bytes += len(data)
            if self._size_bytes_max is not None and self._size_bytes > self._size_bytes_max:
                raise TooLarge(
                    "file_too_large",
                    f"A file may have {self._size_bytes_max} bytes here. Send it in parts.",
                    {
                        "path": shown(self.path),
                        "errno": "EFBIG",
                        "limit_bytes": self._size_bytes_max,
                    },
                )
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._staged, rest) :]
            self._whole = True

    def copy_from(self, source: int) -> None:
        """Make the content that of an open file. Nothing has been written yet.

        Raises LimitReached(disk_limit, pool_full).
        """
        with self._lock, errors_about(self.path):
            assert self._open, "the writer is closed"
            assert self._size_bytes == 0, "something was written"
            self._whole = False
            self._size_bytes = os.fstat(source).st_size
            copy_content(source, self._staged, self._size_bytes)
            self._whole = True

    def commit(self, *, attributes_of: int | None = None) -> Entry:
        """Put the content in place, durably, and close; return what is there now.

        attributes_of: a descriptor of a file whose owner, mode, times and attributes it gets, as
        far as the user may. Raises Denied(permission_denied), LimitReached(disk_limit, pool_full),
        Conflict(is_a_directory), NotFound; the old content is whole then, unless the disk failed
        or filled up while the new was put into the same file.
        """
        with self._lock:
            assert self._open, "the writer is closed"
            assert self._whole, "after a write that failed there is only abort"
            try:
                with errors_about(self.path):
                    return self._put_in_place(attributes_of)
            finally:
                self._close()

    def abort(self) -> None:
        """Drop what was written and close. Closed already: nothing happens."""
        with self._lock:
            if self._open:
                self._close()

    def __del__(self) -> None:
        self.abort()  # a cancelled task never gets what its thread opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _put_in_place(self, attributes_of: int | None) -> Entry:
        place = self._place
        with acting_as(self._user):
            if place.target is not None:
                _fill(place.target, self._staged, self._mode)
                if attributes_of is not None:
                    with contextlib.suppress(PermissionError):  # it is somebody else's
                        copy_attributes(attributes_of, place.target, self._user, preserve=True)
                os.fsync(place.target)
                return entry_of(place.path, os.fstat(place.target))
            _dress(self._staged, place.handle, self._user, self._mode)
            if attributes_of is not None:
                copy_attributes(attributes_of, self._staged, self._user, preserve=True)
            os.fsync(self._staged)
            publish(self._staged, place.directory, place.name)
            entry = entry_of(place.path, os.fstat(self._staged))
        # As the host's root: who may add a name to a directory need not be allowed to read it.
        with held(reopen(place.directory, os.O_RDONLY | os.O_DIRECTORY)) as directory:
            os.fsync(directory)
        return entry

    def _close(self) -> None:
        self._open = False
        os.close(self._staged)
        self._place.close()


def open_write(
    root: BoxRoot, path: str, *, mode: int | None = None, size_bytes_max: int | None = None
) -> FileWriter:
    """Begin to write a file; a link at the end of path is followed, as by open(2).

    mode: given, the file has it afterwards; None keeps that of the file that is there, or makes a
    new one 0644. Raises NotFound(no_such_path), Denied(permission_denied),
    Conflict(is_a_directory, not_a_directory, read_only), Invalid(bad_path, not_a_regular_file).
    """
    where = root.named(path)
    with errors_about(where):
        with acting_as(root.user):
            directory, name = open_target_parent(root.descriptor, where)
            place = _Place(directory, name, where)
            try:
                _look_at(place, root.user)
                staged = _stage_beside(place)
            except BaseException:
                place.close()
                raise
        if staged is None:
            # Made by the host's root because the user may have no directory to stage in. Nobody
            # else can reach it: it has no name and never gets one.
            try:
                staged = stage(root.descriptor)
            except BaseException:
                place.close()
                raise
    return FileWriter(root, place, staged, mode, size_bytes_max)


def stage(directory: int) -> int:
    """Make an empty file without a name on the filesystem of directory. Raises OSError.

    It has the mode that most files get: each change of it would be told to those who watch the
    directory, and nobody can reach it before it has a name.
    """
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    return os.open(".", flags, MODE_DEFAULT, dir_fd=directory)


def publish(staged: int, directory: int, name: str) -> None:
    """Give a staged file its name, in place of a file or link that has it. Raises OSError."""
    try:
        os.link(handle_path(staged), name, dst_dir_fd=directory, follow_symlinks=True)
    except FileExistsError:
        temporary = TEMPORARY_PREFIX + os.urandom(8).hex()
        os.link(handle_path(staged), temporary, dst_dir_fd=directory, follow_symlinks=True)
        _take_name(temporary, directory, name)


def make_link(root: BoxRoot, path: str, target: str) -> Entry:
    """Make a symbolic link with that text at path, in place of a file or link there; return it.

    Raises NotFound(no_such_path), Conflict(is_a_directory, not_a_directory), Invalid(bad_path),
    Denied(permission_denied), LimitReached.
    """
    where = root.named(path)
    if not target or "\0" in target:
        raise bad_path(where, "a link leads to a path, which is not empty and holds no NUL")
    with acting_as(root.user), errors_about(where):
        directory, name = open_parent(root.descriptor, where)
        with held(directory):
            temporary = TEMPORARY_PREFIX + os.urandom(8).hex()
            os.symlink(target, temporary, dir_fd=directory)
            _take_name(temporary, directory, name)
            return entry_in(directory, name, where)


def _take_name(temporary: str, directory: int, name: str) -> None:
    try:
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def copy_content(source: int, target: int, size_bytes: int) -> None:
    """Make target's content that of source: shared extents where possible, else size_bytes copied.

    The bound holds off a source that grows meanwhile. Raises OSError.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
        position = 0
        while position < size_bytes:
            step = min(_COPY_BYTES, size_bytes - position)
            copied = os.copy_file_range(source, target, step, position, position)
            if copied == 0:
                break
            position += copied


def _look_at(place: _Place, user: Credentials) -> None:
    """Find out what bears the name already, and whether to fill it rather than replace it."""
    try:
        place.handle = open_beneath(place.directory, place.name, HANDLE)
    except FileNotFoundError:
        return
    status = os.fstat(place.handle)
    if modes.S_ISDIR(status.st_mode):
        raise file_error(errno.EISDIR, place.path)
    if not modes.S_ISREG(status.st_mode):
        raise not_a_regular_file(place.path)
    check_writable(place.handle)
    if status.st_nlink > 1 or not _can_give(user, status):
        place.target = reopen(place.handle, os.O_WRONLY)


def _stage_beside(place: _Place) -> int | None:
    """Make the staged file where the name will be; None if the file there is to be filled."""
    if place.target is not None:
        return None
    try:
        return stage(place.directory)
    except PermissionError:
        if place.handle is None:
            raise
        place.target = reopen(place.handle, os.O_WRONLY)
        return None


def _can_give(user: Credentials, status: os.stat_result) -> bool:
    if user.uid == ROOT.uid:
        return True
    return status.st_uid == user.uid and status.st_gid in (user.gid, *user.groups)


def _dress(staged: int, replaced: int | None, user: Credentials, mode: int | None) -> None:
    """Give a staged file the owner, mode and attributes of the one that it replaces."""
    if replaced is not None:
        status = os.fstat(replaced)
        set_owner(staged, status.st_uid, status.st_gid)
        copy_extended_attributes(replaced, staged)
        if mode is None:
            # Writing takes these bits away from a file, unless root does it.
            lost = 0 if user.uid == ROOT.uid else modes.S_ISUID | modes.S_ISGID
            mode = modes.S_IMODE(status.st_mode) & ~lost
    set_mode(staged, MODE_DEFAULT if mode is None else mode)


def _fill(target: int, staged: int, mode: int | None) -> None:
    # The mode first: who may write the file but not change its mode learns it before it is changed.
    if mode is not None:
        set_mode(target, mode)
    size_bytes = os.fstat(staged).st_size
    copy_content(staged, target, size_bytes)
    os.ftruncate(target, size_bytes)
