"""Calls about services. Those that change one answer with events, a line of JSON each."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncGenerator, Awaitable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from skerry import services, wire
from skerry.api.execs import bounded_ns, signal_number
from skerry.api.routing import Call, Operation, answer
from skerry.api.streams import NDJSON, Streamed
from skerry.base import SkerryError, rfc3339
from skerry.services import Service, ServiceSpec, ServiceState

_WATCH_DEFAULT = "5s"
_STREAMS = ("stdout", "stderr", "skerry")
_LOGS = "/.skerry/logs/services"  # as the box sees them


class Watching(Struct):
    """duration: how long the service's output is told after a start; timeout: for a stop."""

    duration: wire.Duration = _WATCH_DEFAULT
    timeout: wire.Duration = "10s"


class Logs(Struct):
    """lines: how many of the last. duration: how long to go on; `follow`: for ever."""

    lines: Annotated[int, Meta(ge=0, le=100_000)] = 100
    duration: wire.Duration = "0"
    follow: bool = False


def shape_of(service: Service, state: ServiceState) -> wire.ServiceShape:
    """Return a service as the wire has it."""
    spec = service.spec
    return wire.ServiceShape(
        name=service.name,
        cmd=spec.argv[0],
        args=list(spec.argv[1:]),
        env=dict(spec.environment),
        dir=spec.directory,
        needs=list(spec.needs),
        http_port=spec.http_port,
        user=spec.user,
        ready_path=spec.ready_path,
        wanted=service.wanted,
        state=wire.ServiceStateShape(
            name=service.name,
            status=state.status,
            pid=state.pid,
            started_at=_moment(state.started_at_ns),
            restart_count=state.restart_count,
            next_restart_at=_moment(state.next_restart_at_ns),
            error=state.error,
        ),
    )


def _moment(at_ns: int | None) -> str | None:
    return None if at_ns is None else rfc3339(at_ns)


async def page(call: Call) -> Response:
    """List the services of a box."""
    found = services.list_services(call.services.services, call.path("name"))
    return answer([shape_of(service, state) for service, state in found])


async def find(call: Call) -> Response:
    """Tell a service."""
    return answer(
        shape_of(*services.find(call.services.services, call.path("name"), call.path("service")))
    )


async def put(call: Call) -> Response:
    """Make or change a service, and start it."""
    asked, body = call.query(Watching), await call.body(wire.PutService)
    spec = ServiceSpec(
        argv=(body.cmd, *body.args),
        environment=body.env,
        directory=body.dir or None,
        user=body.user or None,
        needs=tuple(body.needs),
        http_port=body.http_port,
        ready_path=body.ready_path,
    )
    box, name = call.path("name"), call.path("service")
    is_new = await services.put(call.services.services, box, name, spec)
    note = None if is_new else "Service already running with that command"
    return _watched(call, asked, note)


async def start(call: Call) -> Response:
    """Start a service and what it needs."""
    asked = call.query(Watching)
    await services.start(call.services.services, call.path("name"), call.path("service"))
    return _watched(call, asked, None)


async def restart(call: Call) -> Response:
    """End a service and start it."""
    asked = call.query(Watching)
    grace_ns = bounded_ns(asked.timeout)
    await services.restart(
        call.services.services, call.path("name"), call.path("service"), grace_ns
    )
    return _watched(call, asked, None)


async def stop(call: Call) -> Response:
    """End a service; it stays ended until it is started."""
    asked = call.query(Watching)
    box, name = call.path("name"), call.path("service")
    services.find(call.services.services, box, name)

    async def lines() -> AsyncGenerator[bytes]:
        yield _event(call, "stopping")
        work = services.stop(call.services.services, box, name, bounded_ns(asked.timeout))
        async for line in _told(call, work, "stopped"):
            yield line
        yield _event(call, "complete")

    return Streamed(lines(), media_type=NDJSON)


async def _told(call: Call, work: Awaitable[None], done: str) -> AsyncGenerator[bytes]:
    try:
        await work
    except SkerryError as error:
        yield _event(call, "error", data=error.message)
    else:
        yield _event(call, done)


async def delete(call: Call) -> Response:
    """End a service and forget it."""
    await services.delete(call.services.services, call.path("name"), call.path("service"))
    return Response(status_code=204)


async def signal(call: Call) -> Response:
    """Send a signal to a service's processes."""
    body = await call.body(wire.SignalService)
    number = signal_number(body.signal)
    await services.signal(call.services.services, call.path("name"), body.name, number)
    return Response(status_code=204)


async def logs(call: Call) -> Response:
    """Tell the last lines of a service's log, and what comes."""
    asked = call.query(Logs)
    box, name = call.path("name"), call.path("service")
    services.find(call.services.services, box, name)
    for_s = None if asked.follow else bounded_ns(asked.duration) / 1e9

    async def lines() -> AsyncGenerator[bytes]:
        async for line in _log_events(call, box, name, asked.lines, for_s):
            yield line
        yield _event(call, "complete")

    return Streamed(lines(), media_type=NDJSON)


def _watched(call: Call, asked: Watching, note: str | None) -> Response:
    """Answer with what a service does in its first moments."""
    box, name = call.path("name"), call.path("service")
    for_s = bounded_ns(asked.duration) / 1e9
    begun_ms = call.boxes.clock.now_ns() // 10**6

    async def lines() -> AsyncGenerator[bytes]:
        yield _event(call, "started", data=note)
        async for line in _log_events(call, box, name, 100, for_s, since_ms=begun_ms):
            yield line
        _, state = services.find(call.services.services, box, name)
        if state.status == "failed":
            yield _event(call, "exit", data=state.error, exit_code=state.exit_code)
        yield _event(call, "complete", log_files={"combined": f"{_LOGS}/{name}.log"})

    return Streamed(lines(), media_type=NDJSON)


async def _log_events(
    call: Call, box: str, name: str, count: int, for_s: float | None, since_ms: int = 0
) -> AsyncGenerator[bytes]:
    follow = for_s is None or for_s > 0
    pieces = services.log(call.services.services, box, name, lines=count, follow=follow)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(for_s if follow else None):
            async for piece in pieces:
                for line in _events_of(piece, since_ms):
                    yield line


def _events_of(piece: bytes, since_ms: int) -> list[bytes]:
    found: list[bytes] = []
    # By this alone: what a service prints holds much else that Python takes for the end of a line.
    for line in piece.decode("utf-8", "backslashreplace").split("\n"):
        moment, _, rest = line.partition(" [")
        stream, _, text = rest.partition("] ")
        if stream not in _STREAMS:
            continue
        at_ms = _milliseconds(moment)
        if at_ms >= since_ms:
            kind = "stderr" if stream == "skerry" else stream
            event = wire.ServiceEvent(type=kind, data=text + "\n", timestamp=at_ms)
            found.append(msgspec.json.encode(event) + b"\n")
    return found


def _milliseconds(moment: str) -> int:
    try:
        return round(dt.datetime.fromisoformat(moment).timestamp() * 1000)
    except ValueError:
        return 0


def _event(
    call: Call,
    kind: str,
    *,
    data: str | None = None,
    exit_code: int | None = None,
    log_files: dict[str, str] | None = None,
) -> bytes:
    at_ms = call.boxes.clock.now_ns() // 10**6
    event = wire.ServiceEvent(
        type=kind, timestamp=at_ms, data=data, exit_code=exit_code, log_files=log_files
    )
    return msgspec.json.encode(event) + b"\n"


_ALL = "/boxes/{name}/services"
_ONE = _ALL + "/{service}"
_ERRORS = (404, 409, 429, 503)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path=_ALL, name="list_services", summary="List the services of a box",
        handler=page, scope="read", answer=list[wire.ServiceShape], errors=(404,),
    ),
    Operation(
        method="POST", path=_ALL + "/signal", name="signal_service",
        summary="Send a signal to a service", handler=signal, scope="write",
        body=wire.SignalService, status=204, errors=_ERRORS,
    ),
    Operation(
        method="GET", path=_ONE, name="find_service", summary="Tell a service",
        handler=find, scope="read", answer=wire.ServiceShape, errors=(404,),
    ),
    Operation(
        method="PUT", path=_ONE, name="put_service", summary="Make or change a service, start it",
        handler=put, scope="write", query=Watching, body=wire.PutService, content=NDJSON,
        errors=_ERRORS,
    ),
    Operation(
        method="DELETE", path=_ONE, name="delete_service", summary="End a service and forget it",
        handler=delete, scope="write", status=204, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_ONE + "/start", name="start_service", summary="Start a service",
        handler=start, scope="write", query=Watching, content=NDJSON, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_ONE + "/stop", name="stop_service", summary="End a service",
        handler=stop, scope="write", query=Watching, content=NDJSON, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_ONE + "/restart", name="restart_service",
        summary="End a service and start it", handler=restart, scope="write", query=Watching,
        content=NDJSON, errors=_ERRORS,
    ),
    Operation(
        method="GET", path=_ONE + "/logs", name="service_logs", summary="Tell a service's log",
        handler=logs, scope="read", query=Logs, content=NDJSON, errors=(404,),
    ),
)  # fmt: skip
