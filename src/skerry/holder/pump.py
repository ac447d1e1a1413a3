"""The process that writes a service's output into its log.

It is forked by the service's holder, and neither needs the other: the holder keeps the pipes open
and forks another pump when one is killed; the pump goes on to the end of the pipes when the holder
is. So what a service writes meets a reader as long as one of the two lives.
"""

import fcntl
import os
import select
import signal
import time

from skerry.holder.log_file import LogFile, stamp

# As much as a pipe has. A line is one read longer than what is kept of it at most, and readers of
# logs count on that.
_READ_BYTES = 64 * 1024
_LINE_BYTES_MAX = 64 * 1024  # a longer line is broken
_NICE = 10  # a flood is written in time that nobody else wants


class Pump:
    """Lines of two streams into one file, each with its time and the name of its stream."""

    def __init__(self, log: LogFile, streams: dict[int, bytes]) -> None:
        self._log = log
        self._streams = dict(streams)
        self._begun = dict.fromkeys(streams, b"")

    def run(self) -> None:
        """Write until all streams are at their end."""
        poll = select.poll()
        for descriptor in self._streams:
            poll.register(descriptor, select.POLLIN)
        while self._streams:
            for descriptor, _ in poll.poll():
                try:
                    data = os.read(descriptor, _READ_BYTES)
                except BlockingIOError:
                    continue
                if data:
                    self._take(descriptor, data)
                else:
                    self._finish(descriptor)
                    poll.unregister(descriptor)

    def _take(self, descriptor: int, data: bytes) -> None:
        lines, newline, rest = (self._begun[descriptor] + data).rpartition(b"\n")
        if len(rest) > _LINE_BYTES_MAX:
            lines, newline, rest = lines + newline + rest, b"\n", b""
        self._begun[descriptor] = rest
        if newline:
            self._write(self._streams[descriptor], lines)

    def _finish(self, descriptor: int) -> None:
        if rest := self._begun.pop(descriptor):
            self._write(self._streams[descriptor], rest)
        del self._streams[descriptor]

    def _write(self, stream: bytes, lines: bytes) -> None:
        head = stamp(time.time_ns()).encode() + b" [" + stream + b"] "
        self._log.write(head + lines.replace(b"\n", b"\n" + head) + b"\n")


def fork_pump(
    directory: str, name: str, outputs: dict[int, bytes], *, bytes_max: int, files_max: int
) -> int:
    """Fork a pump for outputs (descriptor: name of the stream); return its pid.

    `<directory>/<name>.pid` names it: SIGHUP has it open its file anew, as log rotators want. From
    before it begins until it has ended that file is locked, shared: who has it alone (flock) knows
    that nothing is written any more. Raises OSError, also where the directory is not there: then
    the box is gone, and its logs with it.
    """
    claim = os.open(f"{directory}/{name}.pid", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Never waited for: programs in the box see the file, and may lock it too.
        fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
        pid = os.fork()
        if pid:
            return pid
        try:
            _live(claim, directory, name, outputs, bytes_max, files_max)
        finally:
            os._exit(1)
    finally:
        os.close(claim)


def _live(
    claim: int, directory: str, name: str, outputs: dict[int, bytes], bytes_max: int, files_max: int
) -> None:
    _close_others({0, 1, 2, claim, *outputs})
    log = LogFile(directory, name, bytes_max=bytes_max, files_max=files_max)
    signal.signal(signal.SIGHUP, lambda _number, _frame: _reopen(log))
    os.ftruncate(claim, os.pwrite(claim, f"{os.getpid()}\n".encode(), 0))
    os.nice(_NICE)
    Pump(log, outputs).run()
    log.close()
    os._exit(0)


def _reopen(log: LogFile) -> None:
    try:
        log.reopen()
    except OSError:  # no room: the old file is written on
        return


def _close_others(kept: set[int]) -> None:
    for text in os.listdir("/proc/self/fd"):
        descriptor = int(text)
        if descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:  # the one that the directory was read by
                continue
