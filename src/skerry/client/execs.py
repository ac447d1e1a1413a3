"""Commands that run to their end: all their output at once, or piece by piece.

One request where that can hold the command, else a session. Knows no message of either.
"""

import asyncio
import base64
import binascii
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator

from skerry import wire
from skerry.base import Failed, Invalid, NotAvailable
from skerry.client.calls import Calls, path_of
from skerry.client.command import (
    Argument,
    Command,
    Input,
    Result,
    Stream,
    raw_bytes,
)
from skerry.client.errors import CommandFailed, CommandTimedOut
from skerry.client.session import Session, open_session

# Input up to this goes along with the request; more is streamed while the command runs.
_INPUT_AT_ONCE_BYTES_MAX = 256 * 1024


async def run(
    calls: Calls, box: str, command: Command, stdin: Input | None, timeout_seconds: float | None
) -> Result:
    """Run command to its end. One request where it can be, else a session.

    A time-out needs a session, so that all is ended when it is told. Raises what open_session
    raises, CommandTimedOut(command_timed_out), and what reading stdin raises.
    """
    request = _as_request(command, stdin) if timeout_seconds is None else None
    if request is None:
        return await _run_session(calls, box, command, stdin, timeout_seconds)
    # No limit: how long a command runs is its own business. A peer that is gone is found by the
    # connection's own probes.
    answer = await calls.ask(
        wire.ExecResult, "POST", path_of("boxes", box, "run"), body=request, limit_seconds=None
    )
    return Result(
        exit_code=answer.exit_code,
        stdout_bytes=_output(answer.stdout, answer.encoding),
        stderr_bytes=_output(answer.stderr, answer.encoding),
        notice=answer.notice,
        truncated=answer.truncated,
    )


def _as_request(command: Command, stdin: Input | None) -> wire.ExecRequest | None:
    """Return command as one request, None if JSON text cannot hold it."""
    if not command.argv:
        raise Invalid("no_command", "A command needs at least its name.")
    environment = command.environment or {}
    try:
        return wire.ExecRequest(
            cmd=[_text(argument) for argument in command.argv],
            env={_text(name): _text(value) for name, value in environment.items()} or None,
            dir=command.directory,
            user=command.user,
            stdin=None if stdin is None else _short_text(stdin),
            contain=command.contain,
        )
    except UnicodeError:
        return None


def _text(value: Argument) -> str:
    """Return value as text. Raises UnicodeError if it is none."""
    if isinstance(value, bytes):
        return value.decode()
    value.encode()  # what came from undecodable bytes is no text
    return value


def _short_text(stdin: Input) -> str:
    """Return stdin as text. Raises UnicodeError if it is none, or too long for one request."""
    if not isinstance(stdin, str | bytes) or len(stdin) > _INPUT_AT_ONCE_BYTES_MAX:
        raise UnicodeError
    return _text(stdin)


def _output(text: str, encoding: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode()
    except binascii.Error as error:
        raise Failed("bad_answer", f"The output of a command cannot be read: {error}") from error


async def _run_session(
    calls: Calls, box: str, command: Command, stdin: Input | None, timeout_seconds: float | None
) -> Result:
    parts: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
    async with stream(calls, box, command, stdin, timeout_seconds) as session:
        async for name, data in session:
            parts[name].append(data)
    assert session.exit_code is not None, "its end was read"
    return Result(
        exit_code=session.exit_code,
        stdout_bytes=b"".join(parts["stdout"]),
        stderr_bytes=b"".join(parts["stderr"]),
        notice=session.notice,
    )


@contextlib.asynccontextmanager
async def stream(
    calls: Calls, box: str, command: Command, stdin: Input | None, timeout_seconds: float | None
) -> AsyncGenerator[Session]:
    """Start command and feed it stdin while the block reads its session.

    A block that ends before the command ends it. Raises what open_session raises,
    CommandTimedOut(command_timed_out), and what reading stdin raises.
    """
    with_input = dataclasses.replace(command, stdin=stdin is not None)
    limit = asyncio.timeout(timeout_seconds)
    try:
        async with (
            limit,
            open_session(calls, box, with_input) as session,
            _feeding(session, stdin),
        ):
            yield session
    except TimeoutError as error:
        if not limit.expired() or timeout_seconds is None:
            raise
        raise CommandTimedOut(timeout_seconds) from error


@contextlib.asynccontextmanager
async def _feeding(session: Session, stdin: Input | None) -> AsyncGenerator[None]:
    """Write stdin to session while the block reads it; what the command does not take is dropped.

    Raises what reading stdin raises.
    """
    if stdin is None:
        yield
        return
    try:
        async with asyncio.TaskGroup() as group:
            feeder = group.create_task(_feed(session, stdin))
            yield
            feeder.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _feed(session: Session, stdin: Input) -> None:
    """Write all of stdin, then its end."""
    async for piece in _pieces(stdin):
        try:
            await session.write(piece)
        except NotAvailable:
            return  # the command has ended, or the connection: reading the session tells which
    with contextlib.suppress(NotAvailable):  # as above
        await session.write_eof()


async def _pieces(stdin: Input) -> AsyncIterator[bytes]:
    if isinstance(stdin, str | bytes):
        yield raw_bytes(stdin)
        return
    async for piece in stdin:
        yield piece


def checked(result: Result) -> Result:
    """Return result if the command succeeded. Raises CommandFailed(command_failed)."""
    if result.exit_code != 0:
        raise CommandFailed(result)
    return result
