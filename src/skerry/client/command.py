"""What a command is and what it leaves: shapes of the SDK, and how they stand in a query.

Pure. How a command is run is not known here.
"""

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import Invalid

Argument: TypeAlias = str | bytes
"""One argument or value: text, or bytes where it is no text. It may hold any byte but NUL."""
Environment: TypeAlias = Mapping[str, Argument]
Input: TypeAlias = str | bytes | AsyncIterable[bytes]
"""What a command reads from its stdin."""
Stream: TypeAlias = Literal["stdout", "stderr"]

_NO_LIMIT = "0"  # how the protocol says for ever

# Finds the user's own shell with nothing but a POSIX shell, and runs it as a login shell.
LOGIN_SHELL = (
    "/bin/sh",
    "-c",
    (
        'own=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f7); '
        'for shell in "$own" /bin/bash /bin/sh; do [ -x "$shell" ] && exec "$shell" -l; done'
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended and all that it wrote.

    exit_code: 0 to 255; 128 + n after signal n. notice: which limit it hit, if it hit one.
    truncated: the server kept only the first part of the output.
    """

    exit_code: int
    stdout_bytes: bytes
    stderr_bytes: bytes
    notice: str = ""
    truncated: bool = False

    @property
    def stdout(self) -> str:
        """What it wrote to stdout as text; what is not UTF-8 shows as U+FFFD."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """What it wrote to stderr as text; what is not UTF-8 shows as U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command and how it is to run. All but argv may be left out.

    directory, user: where and as whom, None is the box's default. environment: added to the
    default one. max_run_after_disconnect_seconds: how long it may run on when nobody is
    connected; None is the server's default (10 s, for ever with a terminal), infinity for ever.
    contain: end what it left in the background when it ends by itself.
    """

    argv: Sequence[Argument]
    environment: Environment | None = None
    directory: str | None = None
    user: str | None = None
    tty: bool = False
    rows: int = 24
    cols: int = 80
    stdin: bool = False
    contain: bool = False
    max_run_after_disconnect_seconds: float | None = None

    def query(self) -> list[tuple[str, Argument]]:
        """Return it as the query of `WSS .../exec`."""
        if not self.argv:
            raise Invalid("no_command", "A command needs at least its name.")
        pairs: list[tuple[str, Argument]] = [("cmd", argument) for argument in self.argv]
        pairs.append(("path", self.argv[0]))
        pairs += [
            ("env", raw_bytes(f"{name}=") + raw_bytes(value))
            for name, value in (self.environment or {}).items()
        ]
        if self.directory is not None:
            pairs.append(("dir", self.directory))
        if self.user is not None:
            pairs.append(("user", self.user))
        if self.tty:
            pairs += [("tty", "true"), ("rows", str(self.rows)), ("cols", str(self.cols))]
        pairs.append(("stdin", "true" if self.stdin or self.tty else "false"))
        if self.contain:
            pairs.append(("contain", "true"))
        if self.max_run_after_disconnect_seconds is not None:
            limit = duration_text(self.max_run_after_disconnect_seconds)
            pairs.append(("max_run_after_disconnect", limit))
        return pairs


def raw_bytes(value: Argument) -> bytes:
    """Return value as bytes; text from undecodable bytes becomes those bytes again."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def duration_text(seconds: float) -> str:
    """Return seconds as the protocol writes a duration; infinity is 0."""
    if seconds == float("inf"):
        return _NO_LIMIT
    return f"{max(1, round(seconds * 1000))}ms"
