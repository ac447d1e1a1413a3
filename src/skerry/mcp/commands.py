"""Tools that run commands in boxes, and end what runs."""

import asyncio
from typing import Annotated

from msgspec import Meta, Struct, field

from skerry import client, wire
from skerry.base import Invalid
from skerry.client import CommandTimedOut
from skerry.mcp.kept import Kept
from skerry.mcp.tool import Call, OnBox, Path, Tool, told

_ARGUMENTS_MAX = 4096
_INPUT_CHARACTERS_MAX = 2 << 20
_TIMEOUT_SECONDS_MAX = 3600
_WAKE_SECONDS_MAX = 300  # for all that comes before the command, and after it
_OUTPUT_BYTES_MAX = 512 << 10
_TELL_EVERY_S = 1.0  # a client that shows progress needs no more
_LINE_SHOWN_MAX = 200
_GRACE_SECONDS_MAX = 60

SessionId = Annotated[
    str, Meta(pattern=r"^[a-z]{2,6}_[0-9a-hjkmnp-tv-z]{16}$", description="As exec_list tells it.")
]


class Exec(OnBox, kw_only=True):
    """What to run."""

    command: Annotated[
        list[wire.Argument],
        Meta(
            min_length=1,
            max_length=_ARGUMENTS_MAX,
            description="The program and its arguments, one item each. No shell looks at them; for "
            'pipes, globs and && write ["bash", "-c", "..."].',
        ),
    ]
    stdin: (
        Annotated[
            str,
            Meta(max_length=_INPUT_CHARACTERS_MAX, description="What it reads; left out, nothing."),
        ]
        | None
    ) = None
    dir: Path | None = None
    env: Annotated[
        dict[str, str], Meta(max_length=256, description="Added to the default environment.")
    ] = field(default_factory=dict[str, str])
    user: (
        Annotated[
            str,
            Meta(max_length=64, description="Left out, the box's own user, who has sudo. Or root."),
        ]
        | None
    ) = None
    timeout_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=_TIMEOUT_SECONDS_MAX,
            description="After it the command and all that it started are ended.",
        ),
    ] = 120
    output_bytes_max: Annotated[
        int,
        Meta(
            ge=256,
            le=_OUTPUT_BYTES_MAX,
            description="Of stdout and of stderr, each: of more the middle is left out.",
        ),
    ] = 32 << 10


class ExecTold(Struct, kw_only=True):
    """How a command ended, and what it wrote.

    exit_code: 128 + n after signal n; none if it ran out of time. left_out_bytes: of stdout and
    stderr; a line in their middle says so too. notice: which limit of the box it hit.
    """

    exit_code: int | None
    stdout: str
    stderr: str
    timed_out: bool = False
    left_out_bytes: int = 0
    notice: str = ""


class SessionTold(Struct, kw_only=True):
    """A command that runs, or ended lately. attached: how many read what it writes."""

    id: str
    command: str
    workdir: str
    created: str
    tty: bool
    is_active: bool
    last_activity: str
    attached: int
    exit_code: int | None


class SessionsTold(Struct):
    """The sessions of a box, the oldest first."""

    sessions: list[SessionTold]


class ExecKill(OnBox, kw_only=True):
    """What to end."""

    session_id: SessionId
    signal: wire.SignalName = "TERM"
    grace_seconds: Annotated[
        float,
        Meta(ge=0, le=_GRACE_SECONDS_MAX, description="Then SIGKILL to all that it started."),
    ] = 10


class KillTold(Struct, kw_only=True):
    """How a session ended; none if that is not known."""

    exit_code: int | None


async def execute(call: Call, asked: Exec) -> ExecTold:
    """Run a command. Being cancelled ends it and all that it started."""
    if any("=" in name or not name for name in asked.env):
        raise Invalid("bad_environment", "A variable's name is not empty and holds no '='.")
    box = await call.box(asked)
    out, err = Kept(asked.output_bytes_max), Kept(asked.output_bytes_max)
    exit_code, notice, timed_out = None, "", False
    try:
        async with box.stream(
            *asked.command, env=asked.env, dir=asked.dir, user=asked.user, stdin=asked.stdin,
            timeout=asked.timeout_seconds,
        ) as session:  # fmt: skip
            await _read(call, session, out, err)
            exit_code, notice = session.exit_code, session.notice
    except CommandTimedOut as error:
        timed_out, notice = True, error.message
    return ExecTold(
        exit_code=exit_code,
        stdout=out.text(),
        stderr=err.text(),
        timed_out=timed_out,
        left_out_bytes=out.cut_bytes + err.cut_bytes,
        notice=notice,
    )


async def _read(call: Call, session: client.Session, out: Kept, err: Kept) -> None:
    clock = asyncio.get_running_loop().time
    told_at_s = clock()
    async for stream, data in session:
        (out if stream == "stdout" else err).add(data)
        if clock() - told_at_s >= _TELL_EVERY_S:
            told_at_s = clock()
            await call.tell(out.size_bytes + err.size_bytes, _last_line(data))


def _last_line(data: bytes) -> str:
    return data.strip().rpartition(b"\n")[2][-_LINE_SHOWN_MAX:].decode("utf-8", "replace")


async def exec_list(call: Call, asked: OnBox) -> SessionsTold:
    """List sessions."""
    sessions = await (await call.box(asked)).sessions()
    return SessionsTold([told(SessionTold, each) for each in sessions])


async def exec_kill(call: Call, asked: ExecKill) -> KillTold:
    """End a session."""
    box = await call.box(asked)
    code = await box.kill(asked.session_id, asked.signal, grace=asked.grace_seconds)
    return KillTold(exit_code=code)


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="exec", title="Run a command", arguments=Exec, answer=ExecTold, run=execute,
        effect="loses", is_open=True, seconds_max=_TIMEOUT_SECONDS_MAX + _WAKE_SECONDS_MAX,
        description="Run a command in a box to its end, and tell its exit code, stdout and stderr. "
        "A box that sleeps is woken. For what should go on running, such as a web server, use "
        "service_create instead.",
    ),
    Tool(
        name="exec_list", title="List running commands", arguments=OnBox, answer=SessionsTold,
        run=exec_list, effect="looks",
        description="List the commands that run in a box, whoever started them, and those that "
        "ended a moment ago.",
    ),
    Tool(
        name="exec_kill", title="End a running command", arguments=ExecKill, answer=KillTold,
        run=exec_kill, effect="loses",
        description="Send a signal to a command that runs, and end all that it started.",
    ),
)  # fmt: skip
