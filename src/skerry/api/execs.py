"""Calls about execs over plain HTTP: run to the end, list sessions, end one.

The WebSocket is in `terminals.py`. How a query becomes an ExecSpec is here for both.
"""

import asyncio
import base64
import signal as signals
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from msgspec import Struct, field
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer, query_pairs
from skerry.api.streams import ndjson
from skerry.base import Invalid, NotFound, SkerryError, duration_ns, rfc3339
from skerry.host.seam import ExecSpec, Exit, Output, SessionLink, SessionState

_DISCONNECT_NS = 10 * 10**9  # without a terminal, by the Sprites protocol; with one: for ever
_SIGNALS = {
    name: int(signals.Signals[name])
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2",
                 "SIGSTOP", "SIGCONT", "SIGTSTP", "SIGWINCH")
}  # fmt: skip


class Query(Struct):
    """The query of an exec. What may hold any byte (cmd, env, dir) is read from the raw query."""

    cmd: list[str] = field(default_factory=list[str])
    path: str | None = None
    env: list[str] = field(default_factory=list[str])
    dir: str | None = None
    user: str | None = None
    tty: bool = False
    rows: int = 24
    cols: int = 80
    stdin: bool | None = None
    contain: bool = False
    id: str | None = None
    max_run_after_disconnect: str | None = None


class Ending(Struct):
    """How to end a session: signal first, after timeout SIGKILL to all that it started."""

    signal: str = "SIGTERM"
    timeout: str = "10s"


def spec_of_query(raw: bytes, query: Query) -> ExecSpec:
    """Return what a query asks to run. Raises Invalid(no_command, bad_environment, bad_size)."""
    pairs = query_pairs(raw)
    argv = [value for key, value in pairs if key == b"cmd"]
    directory = next((value for key, value in pairs if key == b"dir" and value), None)
    if query.max_run_after_disconnect is not None:
        disconnect_ns_max = duration_ns(query.max_run_after_disconnect)
    else:
        disconnect_ns_max = None if query.tty else _DISCONNECT_NS
    return ExecSpec(
        argv=checked_argv(argv),
        env=environment([value for key, value in pairs if key == b"env"]),
        directory=directory,
        user=query.user or None,
        tty=query.tty,
        rows=_terminal_size(query.rows),
        cols=_terminal_size(query.cols),
        stdin=query.tty if query.stdin is None else query.stdin,
        contain=query.contain,
        disconnect_ns_max=disconnect_ns_max,
    )


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


def _terminal_size(number: int) -> int:
    if not 1 <= number <= 10_000:
        raise Invalid("bad_size", "A terminal has 1 to 10000 rows and columns.")
    return number


# -- run to the end ------------------------------------------------------------------------------


async def run(call: Call) -> Response:
    """Run a command to its end and answer with all that it printed."""
    body = await call.body(wire.ExecRequest)
    env = environment([f"{k}={v}".encode() for k, v in (body.env or {}).items()])
    spec = ExecSpec(
        argv=checked_argv([_raw(word) for word in body.cmd]),
        env=env,
        directory=_raw(body.dir) if body.dir else None,
        user=body.user or None,
        stdin=body.stdin is not None,
        contain=body.contain,
        disconnect_ns_max=0,  # a caller who is gone can never come back to this one
    )
    timeout_s = duration_ns(body.timeout) / 1e9 if body.timeout else None
    stdin = _raw(body.stdin) if body.stdin is not None else None
    collected = _Collected(call.services.limits.output_bytes_max)
    link = await boxes.execute(call.boxes, call.path("name"), spec)
    collecting = asyncio.create_task(collected.take(link, stdin))
    hanging_up = asyncio.create_task(_hung_up(call))
    try:
        await asyncio.wait(
            {collecting, hanging_up}, timeout=timeout_s, return_when="FIRST_COMPLETED"
        )
        if collecting.done():
            collecting.result()
        elif hanging_up.done():
            raise ClientDisconnect
        else:
            name, session_id = call.path("name"), link.state.session_id
            await boxes.end_session(call.boxes, name, session_id, signals.SIGKILL, 0)
            collected.end = Exit(128 + signals.SIGKILL, f"It was ended after {body.timeout}.")
    finally:
        for task in (collecting, hanging_up):
            task.cancel()
        await asyncio.wait({collecting, hanging_up})
        await link.close()
    return answer(collected.result())


class _Collected:
    """What a command printed so far, up to a limit; the rest is read and dropped."""

    def __init__(self, size_max: int) -> None:
        self.end = Exit(0)
        self._room = size_max
        self._truncated = False
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}

    async def take(self, link: SessionLink, stdin: bytes | None) -> None:
        """Feed stdin and take output until the command's end."""
        feeding = asyncio.create_task(_feed(link, stdin)) if stdin is not None else None
        try:
            async for event in link.events():
                if isinstance(event, Exit):
                    self.end = event
                else:
                    kept = event.data[: self._room]
                    self._room -= len(kept)
                    self._truncated |= len(kept) < len(event.data)
                    self._streams[event.stream] += kept
        finally:
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait({feeding})

    def result(self) -> wire.ExecResult:
        """Return it as the wire has it: text, or base64 if it is none."""
        out, err = bytes(self._streams["stdout"]), bytes(self._streams["stderr"])
        encoding: Literal["utf-8", "base64"] = "utf-8"
        try:
            texts = out.decode(), err.decode()
        except UnicodeDecodeError:
            encoding = "base64"
            texts = base64.b64encode(out).decode(), base64.b64encode(err).decode()
        return wire.ExecResult(
            exit_code=self.end.code,
            stdout=texts[0],
            stderr=texts[1],
            encoding=encoding,
            truncated=self._truncated,
            notice=self.end.notice,
        )


async def _feed(link: SessionLink, data: bytes) -> None:
    if data:
        await link.write(data)
    await link.write_eof()


async def _hung_up(call: Call) -> None:
    """Return when the client is gone; its body has been read already."""
    while (await call.request.receive())["type"] != "http.disconnect":
        pass


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

    async def body() -> AsyncIterator[bytes]:
        try:
            async with asyncio.TaskGroup() as group:
                feeding = group.create_task(_feed_body(call, link, has_stdin=spec.stdin))
                async for event in link.events():
                    if isinstance(event, Output):
                        number = wire.STDOUT if event.stream == "stdout" else wire.STDERR
                        yield bytes([number]) + event.data
                    else:
                        yield bytes([wire.EXIT, event.code & 0xFF])
                feeding.cancel()
        finally:
            await link.close()

    return StreamingResponse(body(), media_type="application/octet-stream")


async def _feed_body(call: Call, link: SessionLink, *, has_stdin: bool) -> None:
    if has_stdin:
        async for chunk in call.stream(call.services.limits.file_bytes_max):
            await link.write(chunk)
        await link.write_eof()


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
    asked = call.query(Ending)
    number, grace_ns = signal_number(asked.signal), duration_ns(asked.timeout)
    name, session_id = call.path("name"), call.path("session")
    states = await boxes.sessions(call.boxes, name)
    state = next((s for s in states if s.session_id == session_id), None)
    if state is None or state.exit_code is not None:
        raise NotFound("session_gone", "There is no such session, or it has ended.")

    async def lines() -> AsyncIterator[bytes]:
        yield _line(wire.KillEvent(type="signal", signal=asked.signal, pid=state.pid,
                                   message=f"Sent {asked.signal}"))  # fmt: skip
        try:
            code = await boxes.end_session(call.boxes, name, session_id, number, grace_ns)
        except SkerryError as error:
            yield _line(wire.KillEvent(type="error", message=error.message))
            return
        yield _line(wire.KillEvent(type="exited", exit_code=code, message="It has ended"))
        yield _line(wire.KillEvent(type="complete", exit_code=code, message="Done"))

    return ndjson(lines())


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
        handler=end, scope="write", query=Ending, answer=wire.KillEvent,
        content="application/x-ndjson", errors=(404, 410),
    ),
)  # fmt: skip
