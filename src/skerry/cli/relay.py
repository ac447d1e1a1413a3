"""Between a session and this process: bytes both ways unchanged, signals, the terminal's size.

How a session came to be, and what becomes of it after an interruption, its caller decides.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from skerry.base import NotAvailable
from skerry.cli import stdio, tty
from skerry.cli.output import printable
from skerry.cli.stdio import STDERR, STDIN, STDOUT
from skerry.client import Session

_AGAIN_SECONDS = 2.0  # a second Ctrl-C within this time ends the session
_DETACH = b"\x1c"  # Ctrl+\


class Interrupted(Exception):
    """Ctrl-C was pressed a second time soon after the first."""

    exit_code = 128 + signal.SIGINT


async def plain(session: Session, *, with_input: bool) -> int:
    """Pass output on until session ends, and input if with_input; return its exit code.

    Ctrl-C is passed on as SIGINT. Raises Interrupted on a second Ctrl-C soon after,
    BrokenPipeError when nobody takes the output.
    """
    await _Relay(session, with_input=with_input, is_terminal=False).run()
    if session.notice:
        print(f"skerry: {printable(session.notice)}", file=sys.stderr)
    assert session.exit_code is not None, "it was read to its end"
    return session.exit_code


async def terminal(session: Session) -> int | None:
    """Join this process's terminal and session until it ends; return its exit code.

    Returns None after Ctrl and backslash, which detaches. The terminal is put back whatever happens.
    """
    with tty.raw(STDIN):
        try:
            await _Relay(session, with_input=True, is_terminal=True).run()
        finally:
            if session.exit_code is None:
                tty.reset(STDOUT)
    return session.exit_code


class _Relay:
    """The tasks of one relay, and the signals that change its course."""

    def __init__(self, session: Session, *, with_input: bool, is_terminal: bool) -> None:
        self._session = session
        self._with_input = with_input
        self._is_terminal = is_terminal
        self._interrupted_at_seconds = -_AGAIN_SECONDS
        self._interrupted_again = False
        self._wanted: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue()

    async def run(self) -> None:
        """Relay until the session ends or is left. Raises Interrupted."""
        try:
            async with asyncio.TaskGroup() as group:
                output = group.create_task(self._output())
                others = [group.create_task(self._obey())]
                if self._with_input:
                    others.append(group.create_task(self._input()))
                with self._signals(output):
                    await asyncio.wait([output])
                for task in others:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if self._interrupted_again:
            raise Interrupted

    async def _output(self) -> None:
        async for stream, data in self._session:
            await stdio.write_all(STDOUT if stream == "stdout" else STDERR, data)

    async def _input(self) -> None:
        while data := await stdio.read_some(STDIN):
            typed, detach, _ = data.partition(_DETACH) if self._is_terminal else (data, b"", b"")
            try:
                if typed:
                    await self._session.write(typed)
                if detach:
                    await self._session.detach()
                    return
            except NotAvailable:
                return  # it has ended: reading its output tells how
        with contextlib.suppress(NotAvailable):  # as above
            await self._session.write_eof()

    async def _obey(self) -> None:
        """Send what signals ask for, in their order."""
        while True:
            work = await self._wanted.get()
            with contextlib.suppress(NotAvailable):  # it has ended: reading its output tells how
                await work()

    @contextlib.contextmanager
    def _signals(self, output: "asyncio.Task[None]") -> Generator[None]:
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            now_seconds = loop.time()
            if now_seconds - self._interrupted_at_seconds < _AGAIN_SECONDS:
                self._interrupted_again = True
                output.cancel()
            self._interrupted_at_seconds = now_seconds
            self._wanted.put_nowait(lambda: self._session.signal("INT"))

        def resize() -> None:
            rows, cols = tty.size(STDOUT)
            self._wanted.put_nowait(lambda: self._session.resize(rows, cols))

        loop.add_signal_handler(signal.SIGINT, interrupt)
        if self._is_terminal:
            loop.add_signal_handler(signal.SIGWINCH, resize)
            resize()  # it may have changed since, or be another terminal than before
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGWINCH):
                loop.remove_signal_handler(number)
