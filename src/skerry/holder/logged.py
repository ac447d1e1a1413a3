"""The output of a service, seen from its holder: pipes held open, and a pump that empties them."""

import os
import time

from skerry.holder import kernel
from skerry.holder.command import Command
from skerry.holder.frames import STDOUT
from skerry.holder.pump import fork_pump
from skerry.holder.request import Request

_PAUSE_NS = 10**9  # before a pump that died at once is replaced
_NAMES = {True: b"stdout", False: b"stderr"}


class Logged:
    """Takes the outputs from command, so that its session has none, and keeps a pump on them."""

    def __init__(self, request: Request, command: Command) -> None:
        self._request = request
        self._outputs = {end: _NAMES[kind == STDOUT] for end, kind in command.outputs}
        command.outputs = []
        self.pidfd = -1
        self._pid = 0
        self.due_at_ns: int | None = None
        self._started_at_ns = 0
        # Our next children are to be the host's again, not the box's, who could end them.
        own = os.pidfd_open(os.getpid())
        kernel.set_namespaces(own, kernel.CLONE_NEWPID)
        os.close(own)
        self.start()

    def start(self) -> None:
        """Have a pump on the pipes; where there can be none now, another one is due later."""
        request = self._request
        self.due_at_ns = None
        self._started_at_ns = time.monotonic_ns()
        try:
            self._pid = fork_pump(
                request.log_directory,
                request.log_name,
                self._outputs,
                bytes_max=request.log_bytes_max,
                files_max=request.log_files_max,
            )
        except OSError:  # no process to be had, which must not end the service
            self.due_at_ns = self._started_at_ns + _PAUSE_NS
            return
        self.pidfd = os.pidfd_open(self._pid)

    def reap(self) -> None:
        """Take note that the pump has ended; another one is due, at once unless it was just begun."""
        _, status = os.waitpid(self._pid, 0)
        os.close(self.pidfd)
        self.pidfd = -1
        if status == 0:  # it came to the end of the pipes
            self._close()
        elif self._outputs:
            self.due_at_ns = max(time.monotonic_ns(), self._started_at_ns + _PAUSE_NS)

    def let_go(self) -> None:
        """Leave the pipes to the pump: nobody of ours writes to them any more."""
        if self._outputs and self.pidfd < 0:  # what the last one left lies in them
            self.start()
        self.due_at_ns = None
        self._close()

    def _close(self) -> None:
        for end in self._outputs:
            os.close(end)
        self._outputs = {}
