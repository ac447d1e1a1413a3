"""One log file that stays within its limits: turned over by size and by day, kept by count.

Plain text under one name, for `tail -f`; older ones beside it under the time at which they were
put aside, compressed. Other programs may turn it over too: `reopen` begins a new file under the
name after they have renamed the old one. What a line says, this file does not know.
"""

import os
import time

_GZIP_LEVEL = 3
_COPY_BYTES = 1 << 20
_NICE = 19
_DAY_S = 86400


class LogFile:
    """`<directory>/<name>.log`. bytes_max: of one file; files_max: of older ones beside it.

    What cannot be written for want of room is counted and told once there is room again.
    """

    def __init__(self, directory: str, name: str, *, bytes_max: int, files_max: int) -> None:
        self._directory = directory
        self._name = name
        self._path = f"{directory}/{name}.log"
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._lost_bytes = 0
        self._compressor = 0
        self._file = -1
        self.reopen()

    def reopen(self) -> None:
        """Close the file and open what has its name now, or a new one. Raises OSError."""
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if self._file >= 0:
            os.close(self._file)
        self._file = opened
        status = os.fstat(opened)
        self._size = status.st_size
        self._day = int(status.st_mtime if self._size else time.time()) // _DAY_S

    def write(self, data: bytes) -> None:
        """Append data, whole lines. Never raises: a full disk must not end what is logged."""
        if self._is_due(len(data)):
            self._turn_over()
        if self._lost_bytes:
            data = self._note(self._lost_bytes) + data
        written = self._append(data)
        if written == len(data):
            self._lost_bytes = 0
        else:
            self._lost_bytes += len(data) - written

    def _is_due(self, more: int) -> bool:
        if not self._size:
            return False
        return self._size + more > self._bytes_max or int(time.time()) // _DAY_S != self._day

    def _append(self, data: bytes) -> int:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:  # no room, or a broken disk: counted by the caller
            pass
        self._size += written
        return written

    def _note(self, lost: int) -> bytes:
        return f"{stamp(time.time_ns())} [skerry] {lost} bytes were lost: no room\n".encode()

    def _turn_over(self) -> None:
        now_ns = time.time_ns()
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ns // 10**9))
        aside = f"{self._directory}/{self._name}-{moment}.{now_ns // 10**6 % 1000:03d}.log"
        try:
            os.rename(self._path, aside)
            self.reopen()
        except OSError:  # then the old one grows on until there is room for another
            return
        self._compress(aside)
        self._drop_oldest()

    def _compress(self, path: str) -> None:
        """Compress in a process of its own, one at a time: in a flood the others stay as they are."""
        if self._compressor:
            ended, _ = os.waitpid(self._compressor, os.WNOHANG)
            if not ended:
                return
        self._compressor = os.fork()
        if self._compressor == 0:
            try:
                os.nice(_NICE)
                compress(path)
            finally:
                os._exit(0)

    def _drop_oldest(self) -> None:
        older = sorted(archives(self._directory, self._name))
        for name in older[: max(0, len(older) - self._files_max)]:
            try:
                os.unlink(f"{self._directory}/{name}")
            except OSError:
                continue


def stamp(at_ns: int) -> str:
    """Return a moment as lines begin with it: `2026-01-31T12:00:00.123Z`."""
    seconds, rest = divmod(at_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}Z"


def archives(directory: str, name: str) -> list[str]:
    """Return the names of the older files of a log, whose order is that of time."""
    return [
        entry
        for entry in os.listdir(directory)
        if entry.startswith(f"{name}-") and entry.endswith((".log", ".log.gz"))
    ]


def compress(path: str) -> None:
    """Put path.gz in the place of path; if that fails path stays. Raises nothing but OSError."""
    import zlib  # noqa: PLC0415 - the holder itself must stay small

    packed = f"{path}.tmp"
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)  # 31: with gzip's head and tail
    try:
        with open(path, "rb") as source, open(packed, "wb") as target:
            while data := source.read(_COPY_BYTES):
                target.write(packer.compress(data))
            target.write(packer.flush())
        os.rename(packed, f"{path}.gz")
    except OSError:
        if os.path.exists(packed):
            os.unlink(packed)
        raise
    os.unlink(path)
