"""A process that stands beside the daemon and may outlive it: started, found again, ended.

It holds the lock of a file for as long as it lives, which it inherits, so that two never are, and
a later daemon can tell. What it does is not known here.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PIDFD_GETFD = 438  # the same on all machines
_LAST_WORDS_BYTES = 4096
_LOOKS, _LOOK_PAUSE_S = 50, 0.02


_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Companion:
    """A process that runs. handle: a descriptor that names it for good, whatever its number does.

    command: what it was started with. words: the file that its stderr goes to.
    """

    pid: int
    handle: int
    command: tuple[str, ...]
    words: Path

    async def ended(self) -> str:
        """Wait for its end; return the last that it said on stderr, which may be nothing."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(self.handle, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self.handle)
        with contextlib.suppress(ChildProcessError):  # of a former daemon, or not ours to reap
            os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
        return self._last_words()

    async def end(self, grace_s: float) -> None:
        """End it: by SIGTERM, and after grace_s seconds by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    await self.ended()
            except TimeoutError:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
                await self.ended()

    def listener(self, number: int) -> socket.socket | None:
        """Return the socket that it has under that number, for us to have too; None if it has none.

        By pidfd_getfd(2), Linux 5.6.
        """
        descriptor = _libc.syscall(_PIDFD_GETFD, self.handle, number, 0)
        return socket.socket(fileno=descriptor) if descriptor >= 0 else None

    def close(self) -> None:
        """Let go of it; it runs on."""
        os.close(self.handle)

    def _last_words(self) -> str:
        try:
            said = self.words.read_bytes()[-_LAST_WORDS_BYTES:]
        except FileNotFoundError:
            return ""
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def take_lock(path: Path) -> int | None:
    """Return the lock of a companion, None while one lives."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def start(command: Sequence[str], lock: int, inherited: Sequence[int], words: Path) -> Companion:
    """Start a companion, which has the lock and the inherited descriptors from now on.

    command: arguments, the program's path first. words: the file that its stderr goes to, made
    anew. Blocks for as long as starting a process takes.
    """
    words.unlink(missing_ok=True)
    with words.open("ab") as said:  # so that one that cuts its log goes on at the end of it
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=(lock, *inherited),
            start_new_session=True,
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(process.pid).encode(), 0)  # for people: `find` does not rely on it
    os.close(lock)
    process.returncode = 0  # it is reaped by `ended`, or by nobody: it may outlive us
    return Companion(process.pid, os.pidfd_open(process.pid), tuple(command), words)


def find(path: Path, module: str, words: Path) -> Companion | None:
    """Return the companion that has the lock at path, if it runs the Python module.

    Only asked while the lock is held. Blocks for a second where there is none.
    """
    for _ in range(_LOOKS):
        for name in os.listdir("/proc"):
            if name.isdecimal() and (found := _look(int(name), path, module, words)) is not None:
                return found
        # Perhaps in the middle of its exec, and its starter killed.
        time.sleep(_LOOK_PAUSE_S)
    return None


def _look(pid: int, lock: Path, module: str, words: Path) -> Companion | None:
    """Return process pid as a companion, if it is that of the lock.

    Known by its open file: whoever started it may not have lived to write down its number.
    """
    try:
        # Those of boxes are passed over: they could call themselves what they like.
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return None
        command = _command_of(pid)
        if module not in command:
            return None
        handle = os.pidfd_open(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not _has_open(pid, lock):
        os.close(handle)
        return None
    return Companion(pid, handle, command, words)


def _command_of(pid: int) -> tuple[str, ...]:
    said = Path(f"/proc/{pid}/cmdline").read_bytes()
    return tuple(os.fsdecode(word) for word in said.removesuffix(b"\0").split(b"\0"))


def _has_open(pid: int, path: Path) -> bool:
    wanted = path.stat()
    descriptors = f"/proc/{pid}/fd"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for name in os.listdir(descriptors):
            with contextlib.suppress(FileNotFoundError):  # closed just now
                if os.path.samestat(os.stat(f"{descriptors}/{name}"), wanted):
                    return True
    return False
