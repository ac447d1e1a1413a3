"""The files of the object store: segments of its log, and files with the bytes of big objects.

Laid out as `DIR/log/00000001` and `DIR/files/ab/<id>`; what is being written lies in
`DIR/scratch`, which is emptied at the start. What the bytes mean is not known here.
"""

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

from skerry.base import Failed
from skerry.host.daemon import hold_directory
from skerry.host.data_errors import writing_to

_MODE = 0o600
_SEGMENT = re.compile(r"[0-9]{8}")
_PIECES_MAX = 1024  # IOV_MAX
_BUSY_S = 10
# Kept free: deletions are written down too, and room is made by writing. Of a small disk, a part.
_RESERVE_BYTES, _RESERVE_SHARE = 512 << 20, 64


@contextlib.contextmanager
def object_disk(root: Path) -> Generator["ObjectDisk"]:
    """Give the block the disk in a directory, made if need be, which nobody else uses meanwhile.

    Raises NotAvailable(already_running, data_unwritable), LimitReached(data_full).
    """
    with contextlib.ExitStack() as held:
        with writing_to(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(hold_directory(root))
        disk = ObjectDisk(root)
        try:
            yield disk
        finally:
            disk.close()


class ObjectDisk:
    """See `objects.disk`."""

    def __init__(self, root: Path) -> None:
        """Take a directory that nobody else uses; what was being written in it is removed."""
        self._root = root
        self._log = root / "log"
        self._files = root / "files"
        self._scratch = root / "scratch"
        self._open: dict[int, int] = {}
        self._lock = threading.Lock()
        self._serial = 0
        with writing_to(root):
            shutil.rmtree(self._scratch, ignore_errors=True)
            for each in (root, self._log, self._files, self._scratch):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number in range(256):
                (self._files / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
            for each in (self._files, root):
                _sync_directory(each)

    def close(self) -> None:
        """Close the segments."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def check_room(self) -> None:
        """Implement the seam."""
        with writing_to(self._root):
            _check_room(self._root)

    # -- segments --

    def segments(self) -> list[int]:
        """Implement the seam."""
        names = os.listdir(self._log)
        return sorted(int(name) for name in names if _SEGMENT.fullmatch(name))

    def make_segment(self, number: int) -> None:
        """Implement the seam."""
        with writing_to(self._root):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            os.close(os.open(self._path(number), flags, _MODE))
            _sync_directory(self._log)

    def write(
        self, segment: int, offset: int, pieces: Sequence[bytes | bytearray | memoryview]
    ) -> None:
        """Implement the seam."""
        with writing_to(self._root):
            descriptor = self._descriptor(segment)
            for begin in range(0, len(pieces), _PIECES_MAX):
                offset = _write_all(descriptor, offset, pieces[begin : begin + _PIECES_MAX])
            os.fdatasync(descriptor)

    def cut(self, segment: int, size: int) -> None:
        """Implement the seam."""
        with writing_to(self._root):
            descriptor = self._descriptor(segment)
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)

    def read(self, segment: int, offset: int, size: int) -> bytes:
        """Implement the seam."""
        try:
            return os.pread(self._descriptor(segment), size, offset)
        except OSError as error:
            raise _unreadable(error) from error

    def read_cached(self, segment: int, offset: int, size: int) -> bytes | None:
        """Return what `read` does, None if that would have to wait for the disk."""
        data = bytearray(size)
        try:
            count = os.preadv(self._descriptor(segment), [data], offset, os.RWF_NOWAIT)
        except OSError:
            return None
        return bytes(data) if count == size else None

    def size(self, segment: int) -> int:
        """Implement the seam."""
        return os.fstat(self._descriptor(segment)).st_size

    def remove_segment(self, number: int) -> None:
        """Implement the seam."""
        with writing_to(self._root):
            self._path(number).unlink(missing_ok=True)
            _sync_directory(self._log)  # or an older one would be there, and a newer one not
            with self._lock:
                descriptor = self._open.pop(number, -1)
            if descriptor >= 0:
                os.close(descriptor)

    def _path(self, number: int) -> Path:
        return self._log / f"{number:08d}"

    def _descriptor(self, segment: int) -> int:
        descriptor = self._open.get(segment, -1)
        if descriptor < 0:
            with self._lock:
                descriptor = self._open.get(segment, -1)
                if descriptor < 0:
                    descriptor = os.open(self._path(segment), os.O_RDWR | os.O_CLOEXEC)
                    self._open[segment] = descriptor
        return descriptor

    # -- files --

    def scratch(self) -> "ObjectScratch":
        """Implement the seam."""
        with self._lock:
            self._serial += 1
            path = self._scratch / str(self._serial)
        return ObjectScratch(self._root, path, self._files)

    def files(self) -> list[str]:
        """Implement the seam."""
        return [name for _, _, names in os.walk(self._files) for name in names]

    def read_file(self, file_id: str, offset: int, size: int) -> bytes:
        """Implement the seam."""
        try:
            descriptor = os.open(_place(self._files, file_id), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.pread(descriptor, size, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unreadable(error) from error

    def remove_file(self, file_id: str) -> None:
        """Implement the seam."""
        _place(self._files, file_id).unlink(missing_ok=True)


def connect_index(root: Path) -> sqlite3.Connection:
    """Open the index of the store in a directory: fast, and whole after a power cut, if not new.

    Its last commits may be lost then. Checkpoints are for who writes to call. Raises as writing does.
    """
    path = root / "index.db"
    with writing_to(root):
        # For its owner alone, as the log is, whatever the directory's mode: it holds secrets of keys.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        for each in (path, *root.glob("index.db-*")):
            each.chmod(_MODE)
        connection = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = -16000")
    return connection


class ObjectScratch:
    """See `objects.disk`."""

    def __init__(self, root: Path, path: Path, files: Path) -> None:
        self._root = root
        self._path = path
        self._files = files
        with writing_to(root):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, _MODE)
        self._offset = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Implement the seam."""
        with writing_to(self._root):
            _check_room(self._root)
            self._offset = _write_all(self._descriptor, self._offset, [data])

    def keep(self, file_id: str) -> None:
        """Implement the seam."""
        place = _place(self._files, file_id)
        with writing_to(self._root):
            os.fsync(self._descriptor)
            self._path.rename(place)
            self._close()
            _sync_directory(place.parent)

    def discard(self) -> None:
        """Implement the seam."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _place(files: Path, file_id: str) -> Path:
    return files / file_id[-2:] / file_id


def _write_all(
    descriptor: int, offset: int, pieces: Sequence[bytes | bytearray | memoryview]
) -> int:
    """Write pieces at offset; return the offset after them."""
    left = list(pieces)
    while left:
        written = os.pwritev(descriptor, left, offset)
        offset += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left and written:
            left[0] = memoryview(left[0])[written:]
    return offset


def _check_room(root: Path) -> None:
    found = os.statvfs(root)
    reserve = min(_RESERVE_BYTES, found.f_blocks * found.f_frsize // _RESERVE_SHARE)
    if found.f_bavail * found.f_frsize < reserve:
        raise OSError(errno.ENOSPC, "Only the reserve is left.")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(error: OSError) -> Failed:
    return Failed("data_unreadable", f"An object's bytes could not be read: {error.strerror}.")
