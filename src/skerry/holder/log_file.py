"""One log file that stays within its limits: turned over by size and by day, kept by count.

Plain text under one name, for `tail -f`; older ones beside it, `web.log-20260131T120000.123.gz`,
under the time at which they were put aside, compressed. Other programs may turn it over too:
`reopen` begins a new file under the name after they have renamed the old one. What a line says,
this file does not know.
"""

import os
import time

_GZIP_LEVEL = 3
_COPY_BYTES = 1 << 20
_NICE = 19
_DAY_S = 86400
_UNFINISHED = ".tmp"
_MOMENT = "00000000T000000.000"  # its shape: no log that is written has a name that ends so


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
        self._is_torn = False  # the last line has no end
        self._compressor = 0
        self._file = -1
        self.reopen()
        self._drop_unfinished()

    def reopen(self) -> None:
        """Close the file and open what has its name now, or a new one. Raises OSError."""
        opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if self._file >= 0:
            os.close(self._file)
        self._file = opened
        self._is_torn = False
        status = os.fstat(opened)
        self._size = status.st_size
        self._day = int(status.st_mtime if self._size else time.time()) // _DAY_S

    def write(self, data: bytes) -> None:
        """Append data, whole lines. Never raises: a full disk must not end what is logged."""
        if self._is_due(len(data)):
            self._turn_over()
        if not self._size:
            self._day = int(time.time()) // _DAY_S
        note = self._note() if self._lost_bytes else b""
        written = self._append(note + data)
        if written >= len(note):
            self._lost_bytes = len(note) + len(data) - written
        else:
            self._lost_bytes += len(data)

    def close(self) -> None:
        """Return when nothing is done to the files any more."""
        os.close(self._file)
        if self._compressor:
            os.waitpid(self._compressor, 0)

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
        if written:
            self._is_torn = data[written - 1 : written] != b"\n"
        return written

    def _note(self) -> bytes:
        text = f"{stamp(time.time_ns())} [skerry] {self._lost_bytes} bytes were lost: no room\n"
        return (b"\n" if self._is_torn else b"") + text.encode()

    def _turn_over(self) -> None:
        try:
            older = archives(self._directory, self._name)
            aside = f"{self._path}-{self._moment_after(older)}"
            _rename_if_there(self._path, aside)
            self.reopen()
            self._compress(aside)
            self._drop_oldest()
        except (OSError, ValueError):  # then the old one grows on until there is room for another
            return

    def _compress(self, path: str) -> None:
        """Compress in a process of its own, one at a time: in a flood the others stay as they are."""
        try:
            if self._compressor and not os.waitpid(self._compressor, os.WNOHANG)[0]:
                return
            self._compressor = os.fork()
        except OSError:  # no process to be had: it stays as it is
            self._compressor = 0
            return
        if self._compressor == 0:
            try:
                os.nice(_NICE)
                compress(path)
            finally:
                os._exit(0)

    def _drop_oldest(self) -> None:
        older = archives(self._directory, self._name)
        for name in older[: max(0, len(older) - self._files_max)]:
            try:
                os.unlink(f"{self._directory}/{name}")
            except OSError:  # it was compressed in this moment
                continue

    def _drop_unfinished(self) -> None:
        """Remove what compressing left that was killed; one that goes on leaves its file plain."""
        for name in os.listdir(self._directory):
            if name.startswith(f"{self._name}.log-") and name.endswith(_UNFINISHED):
                os.unlink(f"{self._directory}/{name}")

    def _moment_after(self, older: list[str]) -> str:
        """Return a name for now that is later than theirs, also where the clock was set back."""
        now_ns = time.time_ns()
        if not older or older[-1][len(self._name) + 5 :] < _moment(now_ns):
            return _moment(now_ns)
        import calendar  # noqa: PLC0415 - the holder itself must stay small

        last = older[-1][len(self._name) + 5 :].removesuffix(".gz")
        seconds = calendar.timegm(time.strptime(last[:-4], "%Y%m%dT%H%M%S"))
        return _moment(seconds * 10**9 + (int(last[-3:]) + 1) * 10**6)


def stamp(at_ns: int) -> str:
    """Return a moment as lines begin with it: `2026-01-31T12:00:00.123Z`."""
    seconds, rest = divmod(at_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}Z"


def archives(directory: str, name: str) -> list[str]:
    """Return the names of the older files of a log, the oldest first. Raises OSError."""
    prefix = f"{name}.log-"
    return sorted(
        entry
        for entry in os.listdir(directory)
        if entry.startswith(prefix) and _is_moment(entry[len(prefix) :].removesuffix(".gz"))
    )


def compress(path: str) -> None:
    """Put path.gz in the place of path; if that fails path stays. Raises nothing but OSError."""
    import zlib  # noqa: PLC0415 - the holder itself must stay small

    packed = path + _UNFINISHED
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


def _moment(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 10**9)
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}"


def _is_moment(text: str) -> bool:
    return "".join("0" if each.isdigit() else each for each in text) == _MOMENT


def _rename_if_there(path: str, target: str) -> None:
    """Rename path; one that is gone was put aside by others, or by us when no new one could be."""
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return
