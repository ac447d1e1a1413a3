"""Shapes of execs and sessions, and the stream numbers of their binary messages."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from skerry.wire.words import Argument, Duration, Path, SignalName

# The first byte of a binary message of an exec without a terminal.
STDIN, STDOUT, STDERR, EXIT, STDIN_EOF = range(5)


class ExecRequest(Struct, kw_only=True):
    """The body of `POST /v1/boxes/{name}/run`: run to the end, answer with all output.

    timeout is a duration such as `30s`; when it runs out everything the command started is ended.
    """

    cmd: Annotated[list[Argument], Meta(min_length=1, max_length=65_536)]
    env: dict[str, str] | None = None
    dir: Path | None = None
    user: str | None = None
    stdin: str | None = None
    timeout: Duration | None = None
    contain: bool = False


class ExecResult(Struct, kw_only=True):
    """What a command that ran to its end left. Output that is no UTF-8 is base64."""

    exit_code: int
    stdout: str
    stderr: str
    encoding: Literal["utf-8", "base64"] = "utf-8"
    truncated: bool = False
    notice: str = ""


class Session(Struct, kw_only=True):
    """One exec that runs, or ended so lately that its end can still be read."""

    id: str
    command: str
    argv: list[str]
    workdir: str
    created: str
    tty: bool
    is_active: bool
    last_activity: str
    bytes_per_second: float = 0.0
    attached: int = 0
    exit_code: int | None = None


class SessionList(Struct):
    """`GET .../exec`."""

    sessions: list[Session]


class SessionInfo(Struct, kw_only=True, tag="session_info", tag_field="type"):
    """The first message of every exec over a WebSocket."""

    session_id: str
    tty: bool
    command: list[str] = field(default_factory=list[str])
    is_owner: bool = True


class Exited(Struct, kw_only=True, tag="exit", tag_field="type", omit_defaults=True):
    """The last message: how the command ended; notice says which limit it hit, if it did."""

    exit_code: int
    notice: str = ""


class Failure(Struct, kw_only=True, tag="error", tag_field="type"):
    """The last message of a session that could not go on: error is a stable code."""

    error: str
    message: str


class Alive(Struct, tag="alive", tag_field="type"):
    """Sent from time to time, so that a client that hears nothing knows that it is not alone."""


class Resize(Struct, kw_only=True, tag="resize", tag_field="type"):
    """The client's terminal has a new size."""

    cols: Annotated[int, Meta(ge=1, le=10_000)]
    rows: Annotated[int, Meta(ge=1, le=10_000)]


class Signal(Struct, kw_only=True, tag="signal", tag_field="type"):
    """Send a signal, by name with or without SIG."""

    signal: SignalName


class EndSession(Struct, kw_only=True):
    """The body of `POST .../exec/{id}/kill`, which may be in the query instead.

    signal first; after timeout (a duration, or seconds) SIGKILL to all that the session started.
    """

    signal: SignalName | None = None
    timeout: Duration | Annotated[int, Meta(ge=0, le=86_400)] = "10s"


class KillEvent(Struct, kw_only=True, omit_defaults=True):
    """One NDJSON line of `POST .../exec/{id}/kill`."""

    type: Literal["signal", "timeout", "exited", "killed", "error", "complete"]
    message: str = ""
    signal: str = ""
    pid: int | None = None
    exit_code: int | None = None
