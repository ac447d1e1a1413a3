"""A session channel: a shell, a command or a subsystem, until something serves it.

What serves it is not known here. asyncssh calls the methods after `exit`.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import asyncssh
from asyncssh.constants import EXTENDED_DATA_STDERR

from skerry.ssh.pipe import Lost, Pipe, Resize, Room, Signal

_ROWS, _COLUMNS, _SIZE_MAX = 24, 80, 10_000
# Of what is taken of the guest's environment: there are a dozen such variables, all short.
VARIABLES_MAX, _NAME_BYTES_MAX, _VALUE_BYTES_MAX = 32, 64, 256
# Those of RFC 4254, section 6.10, and of OpenSSH, that mean something here. Others are let be.
_SIGNALS = frozenset(("INT", "TERM", "HUP", "KILL", "QUIT", "USR1", "USR2"))
COMMAND_BYTES_MAX = 131_071  # what the kernel lets a program have as one argument
FAILED = 255  # as ssh itself says that it was not the command that failed


@dataclass(frozen=True, slots=True)
class Shell:
    """The guest asks for a shell."""


@dataclass(frozen=True, slots=True)
class Command:
    """The guest asks for a command: one string, for a shell to read."""

    text: str


@dataclass(frozen=True, slots=True)
class Subsystem:
    """The guest asks for a subsystem, which has a name."""

    name: str


Wish: TypeAlias = Shell | Command | Subsystem


@dataclass(frozen=True, slots=True)
class Terminal:
    """The guest's terminal: its type, such as `xterm`, and its size."""

    kind: str
    rows: int
    cols: int


class Channel(Pipe, asyncssh.SSHServerSession[bytes]):
    """One session channel."""

    def __init__(self, room: Room, subsystems: tuple[str, ...]) -> None:
        super().__init__(room)
        self._subsystems = subsystems
        self._begun = asyncio.Event()
        self.wish: Wish = Shell()
        self.terminal: Terminal | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What the guest set of LANG and LC_*, and TERM if there is a terminal; nothing else."""
        given: Mapping[bytes, bytes] = self.channel.get_environment_bytes()
        taken = [(name, value) for name, value in given.items() if is_taken(name, value)]
        found = {name.decode(): value.decode() for name, value in taken[:VARIABLES_MAX]}
        if self.terminal is not None and self.terminal.kind.isprintable() and self.terminal.kind:
            found["TERM"] = self.terminal.kind[:64]
        return found

    async def has_begun(self) -> bool:
        """Wait until it is known what is wished for; False if the channel is lost first."""
        await self._begun.wait()
        return not self.lost.is_set()

    async def complain(self, message: str) -> None:
        """Say something about it on stderr. Raises Lost."""
        end = "\r\n" if self.terminal is not None else "\n"
        shown = "".join(c if c.isprintable() else "?" for c in message)
        # A terminal has one stream, and shows what comes by the other too.
        await self.write(f"skerry: {shown}{end}".encode(), EXTENDED_DATA_STDERR)

    async def refuse(self, message: str, status: int = FAILED) -> None:
        """Say why not, and end it; if somebody is still there."""
        with contextlib.suppress(Lost):
            await self.complain(message)
        self.exit(status)

    async def write_error(self, data: bytes) -> None:
        """Send what a command wrote to stderr; wait while the client does not read. Raises Lost."""
        await self.write(data, EXTENDED_DATA_STDERR)

    def exit(self, status: int) -> None:
        """Tell the exit status and close."""
        if not self.lost.is_set() and not self.channel.is_closing():
            self.channel.exit(status & 0xFF)

    def pty_requested(
        self,
        term_type: str,
        term_size: tuple[int, int, int, int],
        term_modes: Mapping[int, int],  # noqa: ARG002 - its signature; the box's terminal has its own
    ) -> bool:
        """Note the terminal."""
        cols, rows = term_size[:2]
        self.terminal = Terminal(term_type, _bounded(rows, _ROWS), _bounded(cols, _COLUMNS))
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:  # noqa: ARG002 - its signature
        """Pass it on."""
        if self.terminal is not None:
            self.put(Resize(_bounded(height, _ROWS), _bounded(width, _COLUMNS)))

    def signal_received(self, signal: str) -> None:
        """Pass it on, if there is such a one."""
        if signal in _SIGNALS:
            self.put(Signal(signal))

    def shell_requested(self) -> bool:
        """Agree."""
        self.wish = Shell()
        return True

    def exec_requested(self, command: str) -> bool:
        """Agree, unless no program could be given it."""
        self.wish = Command(command)
        return "\0" not in command

    def subsystem_requested(self, subsystem: str) -> bool:
        """Agree to those that there are."""
        self.wish = Subsystem(subsystem)
        return subsystem in self._subsystems

    def session_started(self) -> None:
        """Begin."""
        self._begun.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        super().connection_lost(exc)
        self._begun.set()


def is_taken(name: bytes, value: bytes) -> bool:
    """Return whether a variable of the guest's environment says how to show text, and is short."""
    return (
        (name == b"LANG" or name.startswith(b"LC_"))
        and len(name) <= _NAME_BYTES_MAX
        and len(value) <= _VALUE_BYTES_MAX
        and name.isascii()
        and value.isascii()
        and (name + value).decode().isprintable()
    )


def _bounded(value: int, default: int) -> int:
    """Return a size that a terminal can have; clients say 0 where they do not know."""
    return min(value, _SIZE_MAX) if value > 0 else default
