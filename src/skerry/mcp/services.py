"""Tools about services: commands that a box keeps running."""

from typing import Annotated

from msgspec import Meta, Struct, field

from skerry import wire
from skerry.mcp.kept import Kept
from skerry.mcp.tool import Call, OnBox, Path, Tool

_LINES_MAX = 2000
_LOG_BYTES_MAX = 64 << 10

ServiceName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="The service's name: letters, digits, '-', '_' and '.'.",
    ),
]


class OnService(OnBox, kw_only=True):
    """Names a service."""

    service: ServiceName


class ServiceCreate(OnService, kw_only=True):
    """What to keep running."""

    command: Annotated[
        list[wire.Argument],
        Meta(
            min_length=1,
            max_length=1000,
            description="The program and its arguments. It stays in the foreground.",
        ),
    ]
    dir: Path | None = None
    env: Annotated[dict[str, str], Meta(max_length=256)] = field(default_factory=dict[str, str])
    user: Annotated[str, Meta(max_length=64)] | None = None
    needs: Annotated[
        list[ServiceName], Meta(max_length=64, description="Services that must be up before it.")
    ] = field(default_factory=list[str])
    http_port: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=65_535,
                description="The port it answers at; the box's web address leads there.",
            ),
        ]
        | None
    ) = None
    ready_path: (
        Annotated[
            str,
            Meta(
                max_length=1024, description="It is up when GET of this path on http_port succeeds."
            ),
        ]
        | None
    ) = None


class ServiceLogs(OnService, kw_only=True):
    """How much of a log to read."""

    lines: Annotated[int, Meta(ge=1, le=_LINES_MAX, description="The last ones.")] = 100


class ServicesTold(Struct):
    """The services of a box, and what they do now."""

    services: list[wire.ServiceShape]


class LogTold(Struct, kw_only=True):
    """The end of a log, a line each for what it wrote. left_out_bytes: of its middle."""

    log: str
    left_out_bytes: int


class ServiceDeleted(Struct, kw_only=True):
    """What was deleted."""

    service: str


async def service_list(call: Call, asked: OnBox) -> ServicesTold:
    """List services."""
    return ServicesTold(await (await call.box(asked)).services.list())


async def service_get(call: Call, asked: OnService) -> wire.ServiceShape:
    """Tell a service."""
    return await (await call.box(asked)).services.get(asked.service)


async def service_create(call: Call, asked: ServiceCreate) -> wire.ServiceShape:
    """Make or change a service, and start it."""
    box = await call.box(asked)
    await box.services.put(
        asked.service, *asked.command, env=asked.env, dir=asked.dir, user=asked.user,
        needs=asked.needs, http_port=asked.http_port, ready_path=asked.ready_path,
    )  # fmt: skip
    return await box.services.get(asked.service)


async def service_start(call: Call, asked: OnService) -> wire.ServiceShape:
    """Start a service."""
    box = await call.box(asked)
    await box.services.start(asked.service)
    return await box.services.get(asked.service)


async def service_stop(call: Call, asked: OnService) -> wire.ServiceShape:
    """End a service."""
    box = await call.box(asked)
    await box.services.stop(asked.service)
    return await box.services.get(asked.service)


async def service_delete(call: Call, asked: OnService) -> ServiceDeleted:
    """End a service and forget it."""
    await (await call.box(asked)).services.delete(asked.service)
    return ServiceDeleted(service=asked.service)


async def service_logs(call: Call, asked: ServiceLogs) -> LogTold:
    """Tell the end of a service's log."""
    box = await call.box(asked)
    kept = Kept(_LOG_BYTES_MAX)
    async with box.services.logs(asked.service, lines=asked.lines) as events:
        async for event in events:
            if event.data:
                line = event.data if event.data.endswith("\n") else f"{event.data}\n"
                mark = "stderr: " if event.type == "stderr" else ""
                kept.add(f"{mark}{line}".encode())
    return LogTold(log=kept.text(), left_out_bytes=kept.cut_bytes)


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="service_list", title="List services", arguments=OnBox, answer=ServicesTold,
        run=service_list, effect="looks",
        description="List the services of a box: commands that it keeps running.",
    ),
    Tool(
        name="service_get", title="Look at a service", arguments=OnService,
        answer=wire.ServiceShape, run=service_get, effect="looks",
        description="Tell what a service is, whether it runs, and how often it was restarted.",
    ),
    Tool(
        name="service_create", title="Make a service", arguments=ServiceCreate,
        answer=wire.ServiceShape, run=service_create, effect="changes", repeatable=True,
        description="Have a box keep a command running, such as a web server: it is started now, "
        "again when it ends, and again when the box wakes. A service of that name is replaced. "
        "What it prints goes to its log (service_logs).",
    ),
    Tool(
        name="service_start", title="Start a service", arguments=OnService,
        answer=wire.ServiceShape, run=service_start, effect="changes", repeatable=True,
        description="Start a service and what it needs.",
    ),
    Tool(
        name="service_stop", title="Stop a service", arguments=OnService,
        answer=wire.ServiceShape, run=service_stop, effect="loses", repeatable=True,
        description="End a service; it stays ended until service_start.",
    ),
    Tool(
        name="service_delete", title="Delete a service", arguments=OnService,
        answer=ServiceDeleted, run=service_delete, effect="loses",
        description="End a service and forget it, its log too.",
    ),
    Tool(
        name="service_logs", title="Read a service's log", arguments=ServiceLogs, answer=LogTold,
        run=service_logs, effect="looks",
        description="Tell the last lines that a service printed.",
    ),
)  # fmt: skip
