"""The life of a session: one loop from the started command until nobody needs its end any more.

The rules that it keeps by itself, whether or not a daemon lives:

- Output goes to the clients that are attached and into the ring. While one of them has more than
  `_UNSENT_BYTES_MAX` to read, nothing more is read from the command, whose writes then wait. A
  client that reads nothing for `stall_ns_max` is cut.
- When nobody is attached for `disconnect_ns_max`, everything in the group is killed.
- When the command ends, what lies in its pipes is sent, then EXIT. With `contain` its leftovers are
  killed before; else they live on.
- The end can be asked for during `linger_ns`, or until a client says DONE.

How a command is started is in `command`, where a session is found is in `rendezvous`.
"""

import os
import select
import time

from skerry.holder import frames, kernel
from skerry.holder.box import read_count
from skerry.holder.client import Client
from skerry.holder.command import Command
from skerry.holder.logged import Logged
from skerry.holder.rendezvous import Rendezvous
from skerry.holder.request import Request
from skerry.holder.ring import Ring
from skerry.holder.stdio import Stdio

_UNSENT_BYTES_MAX = 256 * 1024
_KILLED_CODE = 128 + kernel.SIGKILL
# From SIGKILL until all is gone; longer only where a disk does not answer or v1 froze the box.
_DEATH_NS_MAX = 10 * 10**9
_CLIENTS_MAX = 64
_NS_PER_MS = 10**6
_WAIT_MS_MAX = 3_600_000  # poll(2) takes an int; then the loop just looks again


class Session:
    """A session whose command runs. client: who asked for it. limits_hit: as counted before."""

    def __init__(
        self,
        request: Request,
        command: Command,
        rendezvous: Rendezvous,
        client: Client,
        limits_hit: tuple[int, int],
        logged: Logged | None = None,
    ) -> None:
        self._request = request
        self._logged = logged
        self._command = command
        self._group = command.group
        self._rendezvous = rendezvous
        self._clients = [client]
        self._stdio = Stdio(command)
        self._ring = Ring(request.ring_bytes_max)
        self._limits_hit = limits_hit
        self._created_at_ns = self._last_output_at_ns = time.time_ns()
        self._now_ns = time.monotonic_ns()
        self._code: int | None = None  # the command's, known before all its output is
        self._notice = ""
        self._is_gone = False  # the group, and with it all that was in it
        self._alone_since_ns: int | None = None
        self._kill_at_ns: int | None = None
        self._killed_at_ns: int | None = None
        self._exit_at_ns: int | None = None  # when EXIT was sent
        self._is_done = False
        self._attach(client)

    def run(self) -> list[int]:
        """Serve until nobody needs this session; return the outputs that leftovers still hold."""
        self._settle()
        while not self._is_over():
            ready = self._poll()
            self._now_ns = time.monotonic_ns()
            for descriptor, events in ready:
                self._serve(descriptor, events)
            self._settle()
        for client in self._clients:
            client.close()
        self._rendezvous.remove()
        return list(self._stdio.outputs)

    # -- what may happen --

    def _poll(self) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self._rendezvous.descriptor, select.POLLIN)
        for client in self._clients:
            poll.register(
                client.descriptor, select.POLLIN | (select.POLLOUT if client.unsent_bytes else 0)
            )
        if self._logged is not None and self._logged.pidfd >= 0:
            poll.register(self._logged.pidfd, select.POLLIN)
        if self._code is None:
            poll.register(self._command.pidfd, select.POLLIN)
        elif self._waits_for_group():
            watch = self._group.watch()
            if self._try_to_remove_group() or watch is None:  # before the watch began
                return []
            poll.register(watch, select.POLLPRI)
        # Who is not listened to must not be registered: a hang-up is always reported.
        outputs = self._outputs_to_read()
        for descriptor in outputs:
            poll.register(descriptor, select.POLLIN)
        if self._stdio.wants_to_write and self._stdio.stdin is not None:
            # A terminal may be registered for its output already; the later call counts.
            reads = self._stdio.stdin in outputs
            poll.register(self._stdio.stdin, select.POLLOUT | (select.POLLIN if reads else 0))
        if self._stdio.ended_terminal in outputs:
            return [*poll.poll(0), (self._stdio.ended_terminal, select.POLLIN)]
        return poll.poll(self._wait_ms())

    def _outputs_to_read(self) -> list[int]:
        if self._exit_at_ns is not None:
            return list(self._stdio.outputs)  # so that leftovers find no broken or full pipe
        if any(c.attached and c.unsent_bytes > _UNSENT_BYTES_MAX for c in self._clients):
            return []
        return self._stdio.undrained()

    def _serve(self, descriptor: int, events: int) -> None:
        if descriptor == self._rendezvous.descriptor:
            self._accept()
        elif descriptor == self._command.pidfd and self._code is None:
            self._reap()
        elif self._logged is not None and descriptor == self._logged.pidfd:
            self._logged.reap()
        elif descriptor in self._stdio.outputs:
            if events != select.POLLOUT:
                self._read(descriptor)
        else:
            for client in self._clients:
                if client.descriptor == descriptor and not client.closed:
                    for kind, payload in client.receive():
                        self._obey(client, kind, payload)

    def _accept(self) -> None:
        connection = self._rendezvous.accept()
        if connection is None:
            return
        client = Client(connection)
        if len(self._clients) < _CLIENTS_MAX:
            self._clients.append(client)
        else:
            client.close()

    def _read(self, descriptor: int) -> None:
        kind = self._stdio.outputs[descriptor]
        data = self._stdio.read(descriptor)
        if not data or self._exit_at_ns is not None:
            return
        self._last_output_at_ns = time.time_ns()
        self._ring.append(kind, data)
        for client in self._clients:
            if client.attached:
                client.queue(kind, data)

    def _reap(self) -> None:
        _, status = os.waitpid(self._command.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._code = code if code >= 0 else 128 - code
        if self._code != 0:
            self._explain(self._code)
        self._stdio.command_ended()
        if self._logged is not None:
            self._logged.let_go()
        if not self._try_to_remove_group():
            if self._request.contain:
                self._kill()
            elif self._killed_at_ns is None:
                self._rendezvous.spare_leftovers()

    def _explain(self, code: int) -> None:
        killed, refused = count_limits_hit(self._request)
        if code == _KILLED_CODE and killed > self._limits_hit[0]:
            self._notice = "The box reached its memory limit, and the command was ended for it."
        elif refused > self._limits_hit[1]:
            self._notice = "The box has as many processes as it may. End some, or give it more."

    # -- what clients ask for --

    def _obey(self, client: Client, kind: int, payload: bytes) -> None:
        match kind:
            case frames.ATTACH:
                self._attach(client)
            case frames.QUERY:
                client.queue(frames.STATE, self._state())
            case frames.STDIN:
                self._stdio.put(client, payload)
            case frames.STDIN_EOF:
                self._stdio.put_end()
            case frames.DONE:
                self._is_done = True
            case frames.RESIZE | frames.SIGNAL | frames.END:
                self._obey_numbers(client, kind, payload)
            case _:
                pass  # from a newer daemon

    def _obey_numbers(self, client: Client, kind: int, payload: bytes) -> None:
        try:
            numbers = frames.unpack(payload)
        except frames.Malformed:
            numbers = None
        match kind, numbers:
            case frames.RESIZE, [int(rows), int(columns)]:
                self._stdio.resize(rows, columns)
            case frames.SIGNAL, int(number):
                self._signal(number)
            case frames.END, [int(number), int(grace_ns)]:
                client.ending = True
                self._group.signal(number)
                deadline_ns = self._now_ns + grace_ns
                self._kill_at_ns = min(self._kill_at_ns or deadline_ns, deadline_ns)
            case _:
                client.close()

    def _attach(self, client: Client) -> None:
        client.attached = True
        client.queue(frames.STARTED, self._state())
        for kind, data in self._ring.pieces():
            client.queue(kind, data)
        if self._exit_at_ns is not None:
            client.queue(frames.EXIT, frames.pack([self._code, self._notice]))

    def _signal(self, number: int) -> None:
        """Send a signal to who has the terminal, or to the command and what stayed in its group."""
        if self._code is not None:
            return
        try:
            os.killpg(self._stdio.foreground_group() or self._command.pid, number)
        except ProcessLookupError:
            return

    def _state(self) -> bytes:
        return frames.pack(
            {
                "session_id": self._request.session_id,
                "box_id": self._request.box_id,
                "argv": self._request.argv,
                "directory": self._command.directory,
                "tty": self._request.tty,
                "created_at_ns": self._created_at_ns,
                "last_output_at_ns": self._last_output_at_ns,
                "attached": sum(client.attached for client in self._clients),
                "exit_code": self._code if self._exit_at_ns is not None else None,
                "pid": self._command.inner_pid,
            }
        )

    # -- what follows from what happened, and from time --

    def _settle(self) -> None:
        for client, taken in self._stdio.pump():
            if not client.closed:
                client.queue(frames.STDIN_TAKEN, frames.pack(taken))
        self._watch_attendance()
        if self._logged is not None and self._has_passed(self._logged.due_at_ns):
            self._logged.start()
        if self._has_passed(self._kill_at_ns):
            self._kill_at_ns = None
            self._kill()
        self._announce_exit()
        self._answer_ends()
        for client in self._clients:
            client.flush(self._now_ns)
            if self._has_passed(_after(client.stalled_since_ns, self._request.stall_ns_max)):
                client.close()
        self._clients = [client for client in self._clients if not client.closed]

    def _watch_attendance(self) -> None:
        if any(client.attached for client in self._clients):
            self._alone_since_ns = None
            return
        if self._alone_since_ns is None:
            self._alone_since_ns = self._now_ns
        if self._code is None and self._has_passed(self._disconnect_at_ns()):
            self._kill()

    def _announce_exit(self) -> None:
        if self._exit_at_ns is not None or not self._stdio.is_drained():
            return
        if self._killed_at_ns is not None and not (self._is_gone or self._death_took_too_long()):
            return
        self._exit_at_ns = self._now_ns
        for client in self._clients:
            if client.attached:
                client.queue(frames.EXIT, frames.pack([self._code, self._notice]))

    def _answer_ends(self) -> None:
        for client in self._clients:
            if client.ending and self._is_gone:
                client.ending = False
                client.queue(frames.ENDED, frames.pack(self._code))
            elif client.ending and self._death_took_too_long():
                client.ending = False
                text = "What the session started does not end: it waits for a disk, or is frozen."
                client.queue(frames.FAILED, frames.pack(["session_not_ended", text]))

    def _kill(self) -> None:
        if self._killed_at_ns is None:
            self._killed_at_ns = self._now_ns
        self._group.kill()

    def _try_to_remove_group(self) -> bool:
        self._is_gone = self._is_gone or self._group.remove()
        return self._is_gone

    def _waits_for_group(self) -> bool:
        waits = self._killed_at_ns is not None or any(client.ending for client in self._clients)
        return waits and not self._is_gone and not self._death_took_too_long()

    def _is_over(self) -> bool:
        if self._exit_at_ns is None or any(c.unsent_bytes or c.ending for c in self._clients):
            return False
        return self._is_done or self._has_passed(_after(self._exit_at_ns, self._request.linger_ns))

    # -- time --

    def _has_passed(self, deadline_ns: int | None) -> bool:
        return deadline_ns is not None and self._now_ns >= deadline_ns

    def _death_took_too_long(self) -> bool:
        return self._has_passed(_after(self._killed_at_ns, _DEATH_NS_MAX))

    def _disconnect_at_ns(self) -> int | None:
        limit_ns = self._request.disconnect_ns_max
        return None if limit_ns is None else _after(self._alone_since_ns, limit_ns)

    def _wait_ms(self) -> int | None:
        """Return how long nothing need be done at most, None for ever."""
        deadlines = [
            self._kill_at_ns,
            self._logged.due_at_ns if self._logged is not None else None,
            _after(self._killed_at_ns, _DEATH_NS_MAX),
            _after(self._exit_at_ns, self._request.linger_ns),
            self._disconnect_at_ns() if self._code is None else None,
            *(_after(c.stalled_since_ns, self._request.stall_ns_max) for c in self._clients),
        ]
        waits = [deadline - self._now_ns for deadline in deadlines if deadline is not None]
        future = [wait for wait in waits if wait > 0]
        return min(-(-min(future) // _NS_PER_MS), _WAIT_MS_MAX) if future else None


def count_limits_hit(request: Request) -> tuple[int, int]:
    """Return how many processes of the box were ended for want of memory, and its forks refused."""
    return _count(request.oom_file, b"oom_kill"), _count(request.forks_file, b"max")


def _count(path: str, name: bytes) -> int:
    if not path:
        return 0
    try:
        return read_count(path, name)
    except FileNotFoundError:
        return 0


def _after(since_ns: int | None, duration_ns: int) -> int | None:
    return None if since_ns is None else since_ns + duration_ns
