"""Calls about execs over plain HTTP: run to the end, list sessions, end one.

The WebSocket is in `terminals.py`. How a query becomes an ExecSpec is here for both.
"""

import asyncio
import base64
import contextlib
import signal as signals
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.conversation import Conversation
from skerry.api.race import forever, gone, race
from skerry.api.routing import Call, Operation, answer, query_pairs
from skerry.api.streams import NDJSON, Streamed
from skerry.base import ID_PATTERN, Invalid, NotFound, SkerryError, duration_ns, rfc3339
from skerry.host.seam import ExecSpec, Exit, SessionLink, SessionState

_ROWS, _COLUMNS = 24, 80
_DURATION_NS_MAX = 10 * 365 * 86_400 * 10**9
_DISCONNECT_NS = 10 * 10**9  # without a terminal, by the Sprites protocol; with one: for ever
_SIGNALS = {
    name: int(signals.Signals[name])
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2",
                 "SIGSTOP", "SIGCONT", "SIGTSTP", "SIGWINCH")
}  # fmt: skip


class Query(Struct):
    """The query of an exec. What may hold any byte (cmd, env, dir) is read from the raw query.

    cmd: once for each argument. env: `NAME=value`, once for each, on top of the box's environment:
    in the Sprites protocol it replaces that, but no client wants to lose PATH and HOME by setting
    a variable. stdin: left out, as tty is. max_run_after_disconnect: `0` is for ever.
    """

    cmd: Annotated[list[wire.Argument], Meta(min_length=1)]
    env: list[wire.Assignment] = field(default_factory=list[wire.Assignment])
    dir: wire.Path | None = None
    user: str | None = None
    tty: bool = False
    rows: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    cols: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    stdin: bool | None = None
    contain: bool = False
    max_run_after_disconnect: wire.Duration | None = None


class Ending(Struct):
    """How to end a session: signal first, after timeout SIGKILL to all that it started."""

    signal: wire.SignalName | None = None
    timeout: wire.Duration | None = None


def spec_of_query(raw: bytes, query: Query) -> ExecSpec:
    """Return what a query asks to run.

    Raises Invalid(no_command, bad_command, bad_environment, bad_duration).
    """
    pairs = query_pairs(raw)
    argv = [value for key, value in pairs if key == b"cmd"]
    directory = next((value for key, value in pairs if key == b"dir" and value), None)
    return ExecSpec(
        argv=checked_argv(argv),
        env=environment([value for key, value in pairs if key == b"env"]),
        directory=directory,
        user=query.user or None,
        tty=query.tty,
        rows=query.rows or _ROWS,
        cols=query.cols or _COLUMNS,
        stdin=query.tty if query.stdin is None else query.stdin,
        contain=query.contain,
        disconnect_ns_max=_disconnect_ns_max(query),
    )


def _disconnect_ns_max(query: Query) -> int | None:
    if query.max_run_after_disconnect is None:
        return None if query.tty else _DISCONNECT_NS
    return bounded_ns(query.max_run_after_disconnect) or None


def bounded_ns(duration: str) -> int:
    """Return a duration in nanoseconds, which fits 64 bits. Raises Invalid(bad_duration)."""
    return min(duration_ns(duration), _DURATION_NS_MAX)


def checked_argv(argv: list[bytes]) -> list[bytes]:
    """Return argv if it can be run. Raises Invalid(no_command, bad_command)."""
    if not argv or not argv[0]:
        raise Invalid("no_command", "Say what to run: the first argument is the command.")
    if any(b"\0" in word for word in argv):
        raise Invalid("bad_command", "No argument of a command may hold a NUL byte.")
    return argv


def environment(assignments: list[bytes]) -> dict[bytes, bytes]:
    """Return `NAME=value` pairs as a dict. Raises Invalid(bad_environment)."""
    variables: dict[bytes, bytes] = {}
    for each in assignments:
        name, equals, value = each.partition(b"=")
        if not name or not equals or b"\0" in each:
            raise Invalid("bad_environment", "Write environment variables as NAME=value.")
        variables[name] = value
    return variables


def signal_number(name: str) -> int:
    """Return the number of a signal by its name, with or without SIG. Raises Invalid(bad_signal)."""
    full = name.upper() if name.upper().startswith("SIG") else "SIG" + name.upper()
    if full not in _SIGNALS:
        raise Invalid("bad_signal", f"{name[:20]!r} is no signal that can be sent. SIGTERM is one.")
    return _SIGNALS[full]


# -- run to the end ------------------------------------------------------------------------------


async def run(call: Call) -> Response:
    """Run a command to its end and answer with all that it printed."""
    body = await call.body(wire.ExecRequest)
    given = body.env or {}
    if any("=" in name for name in given):
        raise Invalid("bad_environment", "A variable's name holds no '='.")
    env = environment([f"{k}={v}".encode() for k, v in given.items()])
    spec = ExecSpec(
        argv=checked_argv([_raw(word) for word in body.cmd]),
        env=env,
        directory=_raw(body.dir) if body.dir else None,
        user=body.user or None,
        stdin=body.stdin is not None,
        contain=body.contain,
        disconnect_ns_max=0,  # a caller who is gone can never come back to this one
    )
    timeout_s = (bounded_ns(body.timeout) / 1e9 or None) if body.timeout else None
    stdin = _raw(body.stdin) if body.stdin is not None else None
    collected = _Collected(call.services.limits.output_bytes_max)
    link = await boxes.execute(call.boxes, call.path("name"), spec)
    try:
        await race(collected.take(link, stdin), _hung_up(call), _run_out(timeout_s))
        if collected.end is None:
            name, session_id = call.path("name"), link.state.session_id
            with contextlib.suppress(NotFound):  # it ended by itself in this very moment
                await boxes.end_session(call.boxes, name, session_id, signals.SIGKILL, 0)
            collected.end = Exit(128 + signals.SIGKILL, f"It was ended after {body.timeout}.")
    finally:
        await link.close()
    return answer(collected.result(collected.end))


async def _run_out(timeout_s: float | None) -> None:
    """Return after timeout_s; None is never."""
    try:
        async with asyncio.timeout(timeout_s):
            await forever()
    except TimeoutError:
        return


async def _hung_up(call: Call) -> None:
    await gone(call.request.receive)
    raise ClientDisconnect


class _Collected:
    """What a command printed so far, up to a limit; the rest is read and dropped."""

    def __init__(self, size_max: int) -> None:
        self.end: Exit | None = None
        self._room = size_max
        self._truncated = False
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}

    async def take(self, link: SessionLink, stdin: bytes | None) -> None:
        """Feed stdin and take output until the command's end."""
        await race(self._read(link), _feed(link, stdin))

    async def _read(self, link: SessionLink) -> None:
        async for event in link.events():
            if isinstance(event, Exit):
                self.end = event
                return
            kept = event.data[: self._room]
            self._room -= len(kept)
            self._truncated |= len(kept) < len(event.data)
            self._streams[event.stream] += kept

    def result(self, end: Exit) -> wire.ExecResult:
        """Return it as the wire has it: text, or base64 if it is none."""
        out, err = bytes(self._streams["stdout"]), bytes(self._streams["stderr"])
        encoding: Literal["utf-8", "base64"] = "utf-8"
        try:
            texts = out.decode(), err.decode()
        except UnicodeDecodeError:
            encoding = "base64"
            texts = base64.b64encode(out).decode(), base64.b64encode(err).decode()
        return wire.ExecResult(
            exit_code=end.code,
            stdout=texts[0],
            stderr=texts[1],
            encoding=encoding,
            truncated=self._truncated,
            notice=end.notice,
        )


async def _feed(link: SessionLink, data: bytes | None) -> None:
    if data is not None:
        if data:
            await link.write(data)
        await link.write_eof()
    await forever()  # the command's end ends this


def _raw(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")


async def stream(call: Call) -> Response:
    """Run a command with the body as its stdin; answer with its output as it comes.

    Each piece begins with 1 (stdout) or 2 (stderr); the last is 3 and the exit code.
    """
    query = call.query(Query)
    spec = spec_of_query(call.request.scope["query_string"], query)
    if spec.tty:
        raise Invalid("no_terminal", "A terminal needs a WebSocket.")
    link = await boxes.execute(call.boxes, call.path("name"), spec)
    return Conversation(call, link, has_stdin=spec.stdin)


# -- sessions ------------------------------------------------------------------------------------


def session_shape(state: SessionState) -> wire.Session:
    """Return a session as the wire has it."""
    argv = [word.decode("utf-8", "backslashreplace") for word in state.argv]
    return wire.Session(
        id=state.session_id,
        command=" ".join(argv)[:1000],
        argv=argv if len(argv) <= 100 else [*argv[:100], "..."],
        workdir=state.directory.decode("utf-8", "backslashreplace"),
        created=rfc3339(state.created_at_ns),
        tty=state.tty,
        is_active=state.exit_code is None,
        last_activity=rfc3339(state.last_output_at_ns),
        attached=state.attached,
        exit_code=state.exit_code,
    )


async def page(call: Call) -> Response:
    """List the sessions of a box."""
    states = await boxes.sessions(call.boxes, call.path("name"))
    return answer(wire.SessionList([session_shape(state) for state in states]))


async def end(call: Call) -> Response:
    """End a session."""
    asked, body = call.query(Ending), await call.body(wire.EndSession)
    signal = asked.signal or body.signal or "SIGTERM"
    # The JavaScript SDK puts a duration into the query, the Python one seconds into the body.
    timeout = asked.timeout if asked.timeout is not None else body.timeout
    number = signal_number(signal)
    grace_ns = timeout * 10**9 if isinstance(timeout, int) else bounded_ns(timeout)
    name, session_id = call.path("name"), call.path("session")
    if ID_PATTERN.fullmatch(session_id) is None:
        raise NotFound("session_not_found", "A session is named by an id such as `ses_...`.")
    states = await boxes.sessions(call.boxes, name)
    state = next((s for s in states if s.session_id == session_id), None)
    if state is None or state.exit_code is not None:
        raise NotFound("session_gone", "There is no such session, or it has ended.")
    sent = wire.KillEvent(type="signal", signal=signal, pid=state.pid, message=f"Sent {signal}")

    async def lines() -> AsyncGenerator[bytes]:
        yield _line(sent)
        try:
            code = await boxes.end_session(call.boxes, name, session_id, number, grace_ns)
        except SkerryError as error:
            yield _line(wire.KillEvent(type="error", message=error.message))
            return
        yield _line(wire.KillEvent(type="exited", exit_code=code, message="It has ended"))
        yield _line(wire.KillEvent(type="complete", exit_code=code, message="Done"))

    return Streamed(lines(), media_type=NDJSON)


def _line(event: wire.KillEvent) -> bytes:
    return msgspec.json.encode(event) + b"\n"


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST", path="/boxes/{name}/run", name="run_command",
        summary="Run a command to its end and answer with its output",
        handler=run, scope="write", body=wire.ExecRequest, answer=wire.ExecResult,
        errors=(404, 409, 429, 503),
    ),
    Operation(
        method="POST", path="/boxes/{name}/exec", name="stream_command",
        summary="Run a command, the body as its stdin, and stream its output",
        handler=stream, scope="write", query=Query, content="application/octet-stream",
        body_content="application/octet-stream", errors=(404, 409, 429, 503),
    ),
    Operation(
        method="GET", path="/boxes/{name}/exec", name="list_sessions",
        summary="List the sessions of a box",
        handler=page, scope="read", answer=wire.SessionList, errors=(404,),
    ),
    Operation(
        method="POST", path="/boxes/{name}/exec/{session}/kill", name="end_session",
        summary="End a session and all that it started",
        handler=end, scope="write", query=Ending, body=wire.EndSession, answer=wire.KillEvent,
        content=NDJSON, errors=(404, 410),
    ),
)  # fmt: skip
