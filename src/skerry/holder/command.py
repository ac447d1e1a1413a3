"""Starting the command of an exec, seen from the holder: before the child, and until its exec.

What the child does in between is `enter`'s business, what happens afterwards the session's.
"""

import errno
import os
import select
import sys
from _socket import (
    AF_UNIX,
    CMSG_LEN,
    MSG_CMSG_CLOEXEC,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    socket,
    socketpair,
)

from skerry.holder import frames, kernel
from skerry.holder.box import Box, full, open_box
from skerry.holder.enter import enter_and_execute
from skerry.holder.group import Group, make_group
from skerry.holder.request import Refusal, Request

_REPORT_BYTES_MAX = 65536  # a path in the box and a few numbers
_ENDS_MAX = 3
_DESCRIPTOR_BYTES = 4
_NS_PER_MS = 10**6
_DEATH_MS_MAX = 1000  # after SIGKILL; only who is frozen or waits for a broken disk takes longer


class Command:
    """A running command. All descriptors are the holder's ends and do not block.

    outputs: descriptor and frame type of what it writes. terminal: also stdin and the only output.
    terminal_end: the command's end of it, kept so that the terminal outlives a moment in which the
    command has closed its own.
    """

    def __init__(self, pid: int, pidfd: int, group: Group) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.group = group
        self.inner_pid = 0
        self.directory = b""
        self.stdin: int | None = None
        self.terminal: int | None = None
        self.terminal_end: int | None = None
        self.outputs: list[tuple[int, int]] = []


class Launch:
    """A command on its way: the child exists and has not yet become the command."""

    def __init__(self, request: Request, box: Box, command: Command, report: socket) -> None:
        self._request = request
        self._box = box
        self._command = command
        self._report = report

    def wait(self) -> Command:
        """Return the command once it runs.

        Raises Refusal as `enter` does, and with box_not_running or exec_failed where the child
        died, exec_timed_out where it took too long. Nothing is left then.
        """
        try:
            descriptors = self._hear()
        except Refusal:
            self._command.group.kill()
            if _is_over(self._command.pidfd, _DEATH_MS_MAX):
                os.waitpid(self._command.pid, 0)
            self._command.group.remove()
            raise
        finally:
            self._report.close()
            self._box.close()
        command = self._command
        if self._request.tty:
            command.terminal, command.terminal_end = descriptors
            command.stdin = command.terminal
            command.outputs = [(descriptors[0], frames.STDOUT)]
        else:
            command.stdin = descriptors[0] if self._request.stdin else None
            command.outputs = [(descriptors[-2], frames.STDOUT), (descriptors[-1], frames.STDERR)]
        # Not the terminal's other end: whether it blocks is shared with the command.
        for descriptor in descriptors[:1] if self._request.tty else descriptors:
            os.set_blocking(descriptor, False)
        return command

    def _hear(self) -> list[int]:
        """Listen to the child until its exec closes the line."""
        descriptors: list[int] = []
        while True:
            self._wait_for_word()
            data, rights, _, _ = self._report.recvmsg(
                _REPORT_BYTES_MAX, CMSG_LEN(_ENDS_MAX * _DESCRIPTOR_BYTES), MSG_CMSG_CLOEXEC
            )
            for _, _, payload in rights:
                descriptors += _descriptors(payload)
            if not data:
                break
            self._note(data)
        if descriptors:
            return descriptors
        if _is_over(self._box.pidfd):
            raise Refusal("box_not_running", "The box ended just now. Start it and try again.")
        raise Refusal("exec_failed", "The command was killed while it was started. Try again.")

    def _wait_for_word(self) -> None:
        poll = select.poll()
        poll.register(self._report.fileno(), select.POLLIN)
        if not poll.poll(self._request.start_ns_max // _NS_PER_MS):
            raise Refusal(
                "exec_timed_out",
                "The command did not start in time: the box is frozen, short of memory, or its "
                "/etc is on a file system that does not answer. Try again, or restart the box.",
            )

    def _note(self, data: bytes) -> None:
        word = frames.unpack(data)
        if isinstance(word, list):
            code, message = word  # pyright: ignore[reportUnknownVariableType]
            raise Refusal(str(code), str(message))  # pyright: ignore[reportUnknownArgumentType]
        assert isinstance(word, dict), "the child says a list or a map"
        self._command.inner_pid = word["pid"]
        self._command.directory = word["directory"]


def launch(request: Request, group_path: str) -> Launch:
    """Make the group at group_path and a child in it that is to become the command.

    Raises Refusal as `open_box` does; nothing is left then.
    """
    box = open_box(request)
    try:
        group = make_group(group_path)
    except FileNotFoundError as error:
        box.close()
        raise _gone() from error
    try:
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        kernel.set_namespaces(box.pidfd, kernel.CLONE_NEWPID)
        pid, pidfd = kernel.clone_into(group.descriptor)
    except OSError as error:
        is_over = _is_over(box.pidfd)
        box.close()
        group.remove()
        if error.errno == errno.EAGAIN:
            raise full() from error
        # ENOMEM too is the answer of a PID namespace whose first process is gone.
        if is_over or error.errno in {errno.ESRCH, errno.ENODEV}:
            raise _gone() from error
        raise
    if pid == 0:
        enter_and_execute(request, box, theirs)
    theirs.close()
    return Launch(request, box, Command(pid, pidfd, group), ours)


def _is_over(pidfd: int, wait_ms_max: int = 0) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(wait_ms_max))


def _descriptors(payload: bytes) -> list[int]:
    starts = range(0, len(payload), _DESCRIPTOR_BYTES)
    return [int.from_bytes(payload[i : i + _DESCRIPTOR_BYTES], sys.byteorder) for i in starts]


def _gone() -> Refusal:
    return Refusal("box_not_running", "The box ended just now. Start it and try again.")
