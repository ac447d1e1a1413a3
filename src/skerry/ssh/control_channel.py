"""`ssh skerry@host ...`: the command line itself, in a process that can reach nothing but the API.

It is started as root, imports what it needs, and gives up everything (see `cli/confined.py`). What
it may do there is what the guest's pass may.
"""

import asyncio
import contextlib
import functools
import shlex
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skerry.base import LimitReached, SkerryError
from skerry.ssh.channel import Channel, Command, Subsystem
from skerry.ssh.pipe import Eof, Lost, Signal
from skerry.ssh.rights import Keys
from skerry.ssh.screen import Screen

_MODULE = "skerry.cli.confined"
_WORDS_MAX, _WORDS_BYTES_MAX = 200, 64 * 1024
_READ_BYTES = 64 * 1024
_END_S_MAX = 2.0
_USAGE = 2
_AT_ONCE_MAX, _AT_ONCE_OF_ONE_MAX = 32, 8
_SIGNALS = {"INT": 2, "QUIT": 3, "KILL": 9, "TERM": 15, "HUP": 1}


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """Where commands run and how many do. empty: a directory with nothing in it, their root."""

    empty: Path
    url: str
    running: Counter[str] = field(default_factory=Counter[str])

    @contextlib.contextmanager
    def taking(self, account: str) -> Generator[None]:
        """Count one of an account while the block runs. Raises LimitReached(commands_limit)."""
        if self.running.total() >= _AT_ONCE_MAX or self.running[account] >= _AT_ONCE_OF_ONE_MAX:
            raise LimitReached(
                "commands_limit", "Too many commands run here at once. Try again in a moment."
            )
        self.running[account] += 1
        try:
            yield
        finally:
            self.running[account] -= 1
            if not self.running[account]:
                del self.running[account]


async def serve(
    plane: ControlPlane, keys: Keys, public_key: str, account: str, channel: Channel
) -> None:
    """Run the command line that channel wishes for, to its end."""
    try:
        words = words_of(channel)
    except ValueError as error:
        await channel.refuse(f"That is no command line: {error}.", _USAGE)
        return
    try:
        with plane.taking(account):
            text = await keys.fresh_pass(public_key)
            code = await _run(channel, _argv(plane, words), _environment(plane, text, channel))
    except SkerryError as error:
        await channel.refuse(error.message)
        return
    channel.exit(code)


def words_of(channel: Channel) -> list[str]:
    """Return the words of the command line that channel wishes for. Raises ValueError."""
    match channel.wish:
        case Command(text=text):
            if len(text.encode()) > _WORDS_BYTES_MAX:
                raise ValueError("it is too long")
            words = shlex.split(text)
        case Subsystem(name=name):
            raise ValueError(f"there is no {name} here; files are in boxes: {name} BOX@...")
        case _:
            words = []
    if len(words) > _WORDS_MAX:
        raise ValueError("it has too many words")
    return words or ["--help"]


def _argv(plane: ControlPlane, words: list[str]) -> list[str]:
    # -P: what lies in the current directory is never imported.
    return [sys.executable, "-P", "-m", _MODULE, str(plane.empty), *words]


def _environment(plane: ControlPlane, text: str, channel: Channel) -> Mapping[str, str]:
    own = {"SKERRY_URL": plane.url, "SKERRY_TOKEN": text, "PYTHONUTF8": "1"}
    return {**channel.environment, **own}


async def _run(channel: Channel, argv: list[str], environment: Mapping[str, str]) -> int:
    """Run argv on channel, ended when that is lost; return its exit code as shells have it."""
    if channel.terminal is None:
        process = await asyncio.create_subprocess_exec(
            *argv, env=environment, cwd="/", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True, limit=_READ_BYTES,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        work = [
            _pass_on(process.stdout, channel, is_error=False),
            _pass_on(process.stderr, channel, is_error=True),
        ]
        async with _ended(process):
            await _until_over(channel, process, _feed(channel, process, process.stdin), *work)
    else:
        async with Screen.open(channel.terminal) as screen:
            process = await asyncio.create_subprocess_exec(
                *argv, env=environment, cwd="/", stdin=screen.theirs, stdout=screen.theirs,
                stderr=screen.theirs, start_new_session=True,
            )  # fmt: skip
            screen.hand_over()
            async with _ended(process):
                feeding = screen.feed(channel, functools.partial(_signal, process))
                await _until_over(channel, process, feeding, screen.pass_on(channel))
    code = process.returncode
    assert code is not None, "it was waited for"
    return code if code >= 0 else 128 - code


async def _until_over(
    channel: Channel,
    process: asyncio.subprocess.Process,
    feeding: Coroutine[Any, Any, None],
    *passing: Coroutine[Any, Any, None],
) -> None:
    """Return when all that the process wrote was passed on, or the channel is lost."""
    passed = asyncio.gather(*passing)
    lost = asyncio.ensure_future(channel.lost.wait())
    feeder = asyncio.ensure_future(feeding)
    try:
        await asyncio.wait([passed, lost], return_when=asyncio.FIRST_COMPLETED)
        if passed.done():
            await process.wait()
    finally:
        for task in (passed, lost, feeder):
            task.cancel()
        await asyncio.gather(passed, lost, feeder, return_exceptions=True)


def _signal(process: asyncio.subprocess.Process, name: str) -> None:
    if name in _SIGNALS:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            process.send_signal(_SIGNALS[name])


@contextlib.asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncGenerator[None]:
    """However the block is left, the process has ended then."""
    try:
        yield
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_END_S_MAX):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _pass_on(reader: asyncio.StreamReader, channel: Channel, *, is_error: bool) -> None:
    with contextlib.suppress(Lost):
        while data := await reader.read(_READ_BYTES):
            await (channel.write_error(data) if is_error else channel.write(data))


async def _feed(
    channel: Channel, process: asyncio.subprocess.Process, stdin: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError):
        while (event := await channel.next_event()) is not None:
            match event:
                case bytes():
                    stdin.write(event)
                    await stdin.drain()
                case Eof():
                    stdin.close()
                case Signal(name=name):
                    _signal(process, name)
                case _:
                    pass
