"""Running a command of the host: arguments as an array, a time limit, bounded output, no shell.

It knows no command by name. Every call blocks; callers on an event loop run it in a thread.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from skerry.base import Failed, NotAvailable

# Where system commands lie on every distribution that Skerry runs on. The caller's own PATH is
# never used: what runs as root must not depend on the shell that the daemon was started from.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_STDERR_BYTES_KEPT = 64 * 1024  # the end of it, which is where a command says why it failed
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended: exit code (128 + n for signal n), all of stdout, the end of stderr."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    def last_words(self) -> str:
        """Return the last line that it wrote to stderr, or else to stdout; may be empty."""
        for stream in (self.stderr, self.stdout):
            lines = stream.decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1].strip()
        return ""


def run(
    argv: Sequence[str],
    *,
    timeout_ns: int,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout_bytes_max: int = 16 * 1024 * 1024,
) -> Completed:
    """Run a command to its end, whatever its exit code. It is killed if this process dies.

    argv[0] is an absolute path or a name looked up in SYSTEM_PATH. environment replaces the
    default one (SYSTEM_PATH and LC_ALL=C.UTF-8). The command leads a session of its own, all of
    which is killed at the time limit. The tie to this process holds from the calling thread: the
    kernel sends the signal when that thread ends, so the thread must outlive the call.

    Raises NotAvailable(command_missing, command_timed_out), Failed(command_output_too_long).
    """
    # setpriv asks for the death signal: doing that between fork and exec in Python (preexec_fn)
    # would take a lock that another thread may hold, and a fork of the whole daemon.
    tie = (_path_of("setpriv"), "--pdeathsig", "KILL", "--")
    command = (*tie, _path_of(argv[0]), *argv[1:])
    return _run(
        command, argv, timeout_ns, environment, stdin=stdin, stdout_bytes_max=stdout_bytes_max
    )


def must_run(
    argv: Sequence[str],
    *,
    timeout_ns: int,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout_bytes_max: int = 16 * 1024 * 1024,
) -> Completed:
    """Run a command as `run` does and accept no exit code but 0.

    Raises Failed(command_failed) with what it last said, and what `run` raises.
    """
    completed = run(
        argv,
        timeout_ns=timeout_ns,
        environment=environment,
        stdin=stdin,
        stdout_bytes_max=stdout_bytes_max,
    )
    if completed.code != 0:
        raise Failed(
            "command_failed",
            f"{_name(argv)} ended with exit code {completed.code}: "
            f"{completed.last_words() or 'it said nothing'}",
            {"argv": list(argv), "exit_code": completed.code},
        )
    return completed


def run_untied(
    argv: Sequence[str],
    *,
    timeout_ns: int,
    environment: Mapping[str, str] | None = None,
    inherited: Sequence[int] = (),
) -> Completed:
    """Run a command as `run` does, but let it finish if this process dies meanwhile.

    For a command that starts something which is meant to outlive us, such as a box's monitor:
    cutting it off half-way would only leave more to clean up. inherited: descriptors that it gets
    besides, under the same numbers; a lock on one is held until both have let go.

    Raises NotAvailable(command_missing, command_timed_out), Failed(command_output_too_long).
    """
    command = (_path_of(argv[0]), *argv[1:])
    return _run(command, argv, timeout_ns, environment, inherited=inherited)


def find(name: str) -> str | None:
    """Return the absolute path of a command in SYSTEM_PATH, None where it is not installed."""
    return shutil.which(name, path=SYSTEM_PATH)


def _path_of(name: str) -> str:
    path = find(name)
    if path is None:
        raise NotAvailable(
            "command_missing", f"{name} is not installed. Run `skerry doctor` for what to install."
        )
    return path


def _name(argv: Sequence[str]) -> str:
    return os.path.basename(argv[0])


def _run(
    command: tuple[str, ...],
    argv: Sequence[str],
    timeout_ns: int,
    environment: Mapping[str, str] | None,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout_bytes_max: int = 1024 * 1024,
    inherited: Sequence[int] = (),
) -> Completed:
    deadline_ns = time.monotonic_ns() + timeout_ns
    with subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"} if environment is None else environment,
        cwd="/",
        start_new_session=True,
        pass_fds=inherited,
    ) as process:
        try:
            output = _collect(process, argv, deadline_ns, stdout_bytes_max)
        except BaseException:
            _kill_session(process)
            raise
        code = process.wait()  # its pidfd said that it has ended: this never waits
    stdout, stderr = output
    return Completed(tuple(argv), 128 - code if code < 0 else code, stdout, stderr)


def _collect(
    process: subprocess.Popen[bytes],
    argv: Sequence[str],
    deadline_ns: int,
    stdout_bytes_max: int,
) -> tuple[bytes, bytes]:
    """Return what the process wrote until it ended.

    What ends the wait is the process, not its pipes: a daemon that it leaves behind may hold
    those open for ever.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = bytearray(), bytearray()
    process_fd = os.pidfd_open(process.pid)
    try:
        poller = select.poll()
        poller.register(process_fd, select.POLLIN)
        pipes = {process.stdout.fileno(): stdout, process.stderr.fileno(): stderr}
        for pipe in pipes:
            os.set_blocking(pipe, False)
            poller.register(pipe, select.POLLIN)
        ended = False
        while not ended:
            ready = _poll(poller, argv, deadline_ns)
            ended = process_fd in ready
            for pipe in tuple(pipes) if ended else ready:
                if not _read_all(pipe, pipes[pipe]):
                    poller.unregister(pipe)
                    del pipes[pipe]
            del stderr[:-_STDERR_BYTES_KEPT]
            if len(stdout) > stdout_bytes_max:
                raise Failed(
                    "command_output_too_long",
                    f"{_name(argv)} wrote more than {stdout_bytes_max} bytes and was ended.",
                )
    finally:
        os.close(process_fd)
    return bytes(stdout), bytes(stderr)


def _poll(poller: select.poll, argv: Sequence[str], deadline_ns: int) -> list[int]:
    wait_ms = -(-(deadline_ns - time.monotonic_ns()) // 10**6)  # rounded up: never a busy loop
    ready = [descriptor for descriptor, _ in poller.poll(wait_ms)] if wait_ms > 0 else []
    if not ready:
        raise NotAvailable(
            "command_timed_out",
            f"{_name(argv)} did not finish in time and was ended. Try again when the machine is "
            "less busy.",
        )
    return ready


def _read_all(pipe: int, into: bytearray) -> bool:
    """Read one piece, larger than what a pipe holds; return False at the end of the stream."""
    try:
        data = os.read(pipe, _READ_BYTES)
    except BlockingIOError:
        return True
    into += data
    return bool(data)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # not reaped yet, so that the number is still its own
        os.killpg(process.pid, signal.SIGKILL)
    streams: tuple[IO[bytes] | None, ...] = (process.stdout, process.stderr)
    for stream in streams:
        if stream is not None:
            stream.close()
