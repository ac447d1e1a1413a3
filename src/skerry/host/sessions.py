"""Execs and sessions: starting commands in running boxes, finding them again, ending them.

Nothing is kept here that a restart would lose: each session lives in a holder process of its own
(see `skerry.holder`) and is found by its directory `<directory>/<box_id>/<session_id>`.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from skerry.base import (
    Conflict,
    Failed,
    Invalid,
    LimitReached,
    NotAvailable,
    NotFound,
    SkerryError,
)
from skerry.holder import frames
from skerry.holder.kernel import SIGKILL, SIGNALS
from skerry.holder.request import Request
from skerry.host import cgroups
from skerry.host.containers import BoxEntry
from skerry.host.data_errors import writing_to
from skerry.host.holder_connection import HolderConnection, call, connect, no_such_session
from skerry.host.seam import ExecSpec, Exit, Output, SessionState
from skerry.host.session_sweep import bury_if_dead, sweep
from skerry.host.zygote import Zygote

_STREAMS: dict[int, Literal["stdout", "stderr"]] = {
    frames.STDOUT: "stdout",
    frames.STDERR: "stderr",
}
_REFUSALS: dict[str, type[SkerryError]] = {
    "command_not_found": NotFound,
    "command_not_runnable": Invalid,
    "arguments_too_long": Invalid,
    "bad_directory": Invalid,
    "bad_user": Invalid,
    "box_not_running": Conflict,
    "box_frozen": Conflict,
    "processes_limit": LimitReached,
    "session_exists": Conflict,
    "data_full": LimitReached,
}
_ANSWER_S_MAX = 15.0
_CALLS_AT_ONCE = 32
_WINDOW_MAX = 65535
_END_NOW = frames.pack([SIGKILL, 0])
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
# Linux takes three quarters of its 8 MiB for a stack; what is more can be refused here already.
_ARGUMENTS_BYTES_MAX = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """The limits that holders keep, in bytes and nanoseconds.

    ring: output that is kept for who attaches. start: until a command runs. stall: how long an
    attached client may read nothing. linger: how long an end can be asked for. sessions_max: in one box.
    """

    ring_bytes_max: int = 256 * 1024
    start_ns_max: int = 10 * 10**9
    stall_ns_max: int = 3600 * 10**9
    linger_ns: int = 60 * 10**9
    sessions_max: int = 1000


class Sessions:
    """The sessions of all boxes of one daemon, in directory, which is made for root alone.

    logs: where services' output goes, in a directory for each box. program: the seccomp program that holds for every command, empty for none.
    """

    def __init__(
        self, *, directory: str, logs: str, program: bytes, rules: SessionRules | None = None
    ) -> None:
        self._directory = os.path.abspath(directory)
        self._logs = os.path.abspath(logs)
        self._rules = rules or SessionRules()
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        self._zygote = Zygote(f"{self._directory}/holders.log", program)

    def log_directory(self, box_id: str) -> str:
        """Return where the logs of a box's services lie."""
        return f"{self._logs}/{box_id}"

    async def start(self) -> None:
        """Make ready, so that the first exec is as fast as the others.

        Raises NotAvailable(exec_not_available).
        """
        await self._zygote.start()

    async def close(self) -> None:
        """Let go of everything. Sessions live on."""
        await self._zygote.close()

    async def open(self, box_id: str, entry: BoxEntry, session_id: str, spec: ExecSpec) -> "Link":
        """Start a command in a running box; return when it runs.

        entry may be out of date: a box that was started anew counts as not running.

        Raises NotFound(command_not_found), Invalid(command_not_runnable, bad_directory, bad_user,
        arguments_too_long, bad_argument), Conflict(box_not_running, box_frozen, session_exists),
        LimitReached(processes_limit, sessions_limit, data_full), NotAvailable(exec_not_available,
        machine_busy, terminal_unavailable, exec_timed_out, exec_failed, data_unwritable).
        """
        request = _request(
            self._directory, self._logs, box_id, entry, session_id, spec, self._rules
        )
        self._check_room(box_id)
        if spec.log is not None:
            # Not by who writes it: that may outlive the box, whose logs are gone for good then.
            with writing_to(self._logs):
                os.makedirs(self.log_directory(box_id), mode=0o755, exist_ok=True)
        # A zygote that is killed takes with it the requests that no holder has taken yet.
        link = await self._begin(request) or await self._begin(request)
        if link is None:
            raise _died()
        return link

    def _check_room(self, box_id: str) -> None:
        # Each has a process of the host's, which no limit of the box counts.
        with contextlib.suppress(FileNotFoundError):
            if len(os.listdir(f"{self._directory}/{box_id}")) >= self._rules.sessions_max:
                raise LimitReached(
                    "sessions_limit",
                    f"The box has {self._rules.sessions_max} sessions. `skerry sessions BOX` lists "
                    "them; end some.",
                    {"limit": self._rules.sessions_max},
                )

    async def attach(self, box_id: str, session_id: str) -> "Link":
        """Join a session. Raises NotFound(session_not_found)."""
        connection = await call(self._path(box_id, session_id))
        try:
            connection.send(frames.ATTACH)
            payload = await _answer(connection, frames.STARTED, _ANSWER_S_MAX)
            if payload is None:
                raise no_such_session()
        except BaseException:
            connection.close()
            raise
        return Link(connection, _state(payload), self._path(box_id, session_id))

    async def states(self, box_id: str) -> Sequence[SessionState]:
        """Return the sessions of a box, the oldest first."""
        calls = asyncio.Semaphore(_CALLS_AT_ONCE)

        async def ask(session_id: str) -> SessionState | None:
            async with calls:
                try:
                    connection = await call(self._path(box_id, session_id))
                except NotFound:
                    return None  # it ended meanwhile
                with contextlib.closing(connection):
                    connection.send(frames.QUERY)
                    payload = await _answer(connection, frames.STATE, _ANSWER_S_MAX)
                return None if payload is None else _state(payload)

        names = cgroups.list_children(f"{self._directory}/{box_id}")
        found = await asyncio.gather(*(ask(name) for name in names))
        return sorted((s for s in found if s is not None), key=lambda s: s.created_at_ns)

    async def end(self, box_id: str, session_id: str, signal: int, grace_ns: int) -> int | None:
        """Send signal to what a session started, after grace_ns SIGKILL to all of it.

        Returns its exit code when all is gone. Raises NotFound(session_not_found),
        Invalid(bad_signal), Failed(session_not_ended).
        """
        _check_signal(signal)
        connection = await call(self._path(box_id, session_id))
        with contextlib.closing(connection):
            connection.send(frames.END, frames.pack([signal, max(0, grace_ns)]))
            wait_s = max(0, grace_ns) / 10**9 + _ANSWER_S_MAX
            payload = await _answer(connection, frames.ENDED, wait_s)
        return None if payload is None else cast("int | None", frames.unpack(payload))

    async def sweep(self, groups: Iterable[str]) -> None:
        """End what holders that were killed left behind, and remove empty groups of old execs.

        groups: the boxes' own directories in the v2 tree. What an exec that ended by itself left
        running stays.
        """
        await asyncio.to_thread(sweep, self._directory, list(groups))

    async def _begin(self, request: Request) -> "Link | None":
        """Return the link to a new session, None where no holder ever saw the request."""
        directory = self._path(request.box_id, request.session_id)
        connection = await self._call_new_holder(request)
        try:
            wait_s = self._rules.start_ns_max / 10**9 + _ANSWER_S_MAX
            payload = await _answer(connection, frames.STARTED, wait_s)
            if payload is not None:
                return Link(connection, _state(payload), directory)
            if await asyncio.to_thread(os.path.exists, directory):
                await asyncio.to_thread(bury_if_dead, directory)
                raise _died()
        except BaseException:
            # Whoever wanted it is gone, so it must not run on.
            connection.send(frames.END, _END_NOW)
            connection.send(frames.DONE)
            connection.close()
            raise
        connection.close()
        return None

    async def _call_new_holder(self, request: Request) -> HolderConnection:
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        try:
            with theirs:
                await self._zygote.hand_over(theirs)
            async with asyncio.timeout(_ANSWER_S_MAX):
                # Before there is a transport: the holder works while that is made.
                whole = frames.frame(frames.REQUEST, request.to_bytes())
                await asyncio.get_running_loop().sock_sendall(ours, whole)
            return await connect(ours)
        except BaseException as error:
            _withdraw(ours)
            if isinstance(error, BrokenPipeError | ConnectionResetError | TimeoutError):
                raise _died() from error
            raise

    def _path(self, box_id: str, session_id: str) -> str:
        for name in (box_id, session_id):
            assert _FILE_NAME.fullmatch(name), "ids are safe as file names"
        return f"{self._directory}/{box_id}/{session_id}"


class Link:
    """One client's hold on a session: a `seam.SessionLink`. connection is for tests to look at."""

    def __init__(self, connection: HolderConnection, state: SessionState, directory: str) -> None:
        self.state = state
        self.connection = connection
        self._directory = directory
        self._has_ended = False

    async def events(self) -> AsyncIterator[Output | Exit]:
        """Yield recent output first (on attach), then live; ends after Exit.

        Not reading holds the command's own writes back. When the caller comes back for more after
        Exit, the session is forgotten. Raises NotAvailable(session_lost).
        """
        while not self._has_ended:
            arrived = await self.connection.receive()
            if arrived is None:
                await asyncio.to_thread(bury_if_dead, self._directory)
                raise NotAvailable(
                    "session_lost",
                    "The connection to the session broke off: it was not read for too long, or the "
                    "process that holds it was killed. `skerry sessions` shows whether it lives.",
                )
            kind, payload = arrived
            if kind in _STREAMS:
                yield Output(_STREAMS[kind], payload)
            elif kind == frames.EXIT:
                self._has_ended = True
                code, notice = cast("list[object]", frames.unpack(payload))
                yield Exit(cast("int", code), cast("str", notice))
                self.connection.send(frames.DONE)

    async def write(self, data: bytes) -> None:
        """Send data to its stdin; waits while the command does not read."""
        await self.connection.send_stdin(data)

    async def write_eof(self) -> None:
        """Close its stdin (a terminal: send end of transmission)."""
        self.connection.send(frames.STDIN_EOF)

    async def resize(self, rows: int, cols: int) -> None:
        """Give its terminal a new size."""
        self.connection.send(frames.RESIZE, frames.pack([_window(rows), _window(cols)]))

    async def signal(self, number: int) -> None:
        """Send a signal to its process group. Raises Invalid(bad_signal)."""
        _check_signal(number)
        self.connection.send(frames.SIGNAL, frames.pack(number))

    async def close(self) -> None:
        """Let go. What happens next is disconnect_ns_max's business."""
        self.connection.close()


def _request(
    directory: str,
    logs: str,
    box_id: str,
    entry: BoxEntry,
    session_id: str,
    spec: ExecSpec,
    rules: SessionRules,
) -> Request:
    _check(spec)
    request = Request()
    request.session_id = session_id
    request.box_id = box_id
    request.sessions_directory = f"{directory}/{box_id}"
    request.init_pid = entry.first.init_pid
    request.started_ticks = entry.first.started_ticks
    request.box_group = entry.group
    request.legacy_tasks = list(entry.legacy_tasks)
    request.freeze_files = list(entry.freeze_files)
    request.processes_directory = entry.processes_directory
    request.oom_file = entry.memory_counter
    request.forks_file = entry.processes_counter
    request.argv = list(spec.argv)
    request.environment = dict(spec.env)
    request.directory = spec.directory
    request.user = None if spec.user is None else spec.user.encode(errors="surrogateescape")
    request.tty = spec.tty
    request.rows, request.columns = _window(spec.rows), _window(spec.cols)
    request.stdin = spec.stdin or spec.tty
    request.contain = spec.contain
    request.disconnect_ns_max = spec.disconnect_ns_max
    request.log_directory = "" if spec.log is None else f"{logs}/{box_id}"
    request.log_name = "" if spec.log is None else spec.log.name
    request.log_bytes_max = 0 if spec.log is None else spec.log.bytes_max
    request.log_files_max = 0 if spec.log is None else spec.log.files_max
    request.ring_bytes_max = rules.ring_bytes_max
    request.start_ns_max = rules.start_ns_max
    request.stall_ns_max = rules.stall_ns_max
    request.linger_ns = rules.linger_ns
    return request


def _check(spec: ExecSpec) -> None:
    """Refuse what no system call can carry."""
    texts = [*spec.argv, *spec.env.keys(), *spec.env.values(), spec.directory or b""]
    if not spec.argv:
        problem = "A command needs at least its name."
    elif any(b"\0" in text for text in texts):
        problem = "Arguments, environment and directory cannot hold NUL bytes."
    elif any(not name or b"=" in name for name in spec.env):
        problem = "A variable's name cannot be empty or hold `=`."
    elif sum(map(len, texts)) > _ARGUMENTS_BYTES_MAX:
        raise Invalid(
            "arguments_too_long",
            "Arguments and environment are longer than the kernel takes (128 KiB each, a few MiB "
            "in all). Put them into a file, or send them through stdin.",
        )
    else:
        return
    raise Invalid("bad_argument", f"{problem} Change the request.")


def _check_signal(number: int) -> None:
    if number not in SIGNALS:
        raise Invalid("bad_signal", f"There is no signal {number}. Signals go from 1 to 64.")


def _window(size: int) -> int:
    return min(max(size, 1), _WINDOW_MAX)


def _withdraw(ours: socket.socket) -> None:
    """End what a request began, or make it one that begins nothing if it is not all sent."""
    with contextlib.suppress(OSError):
        ours.send(frames.frame(frames.END, _END_NOW) + frames.frame(frames.DONE))
    ours.close()


def _died() -> NotAvailable:
    return NotAvailable(
        "exec_failed",
        "The process that should hold the command died. Try again; `holders.log` among the "
        "sessions says why.",
    )


async def _answer(connection: HolderConnection, wanted: int, wait_s: float) -> bytes | None:
    """Return the payload of the first frame of a type; None where the holder closes before.

    Raises the error that the holder says, Failed(session_not_answering) after wait_s.
    """
    try:
        async with asyncio.timeout(wait_s):
            while (arrived := await connection.receive()) is not None:
                kind, payload = arrived
                if kind == wanted:
                    return payload
                if kind == frames.FAILED:
                    code, message = cast("list[str]", frames.unpack(payload))
                    raise _REFUSALS.get(code, NotAvailable)(code, message)
            return None
    except TimeoutError as error:
        raise Failed(
            "session_not_answering",
            "The process that holds the session does not answer. Stop the box if it stays so.",
        ) from error


def _state(payload: bytes) -> SessionState:
    return msgspec.convert(frames.unpack(payload), SessionState)
