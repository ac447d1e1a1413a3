"""Runs a command so that whatever ends it, what it began is undone: files, sessions, the terminal."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, NoReturn


def run_to_end(work: Coroutine[Any, Any, int]) -> int:
    """Return what work returns; on SIGTERM and SIGHUP cancel it and return 128 + n.

    Ctrl-C cancels it too and raises KeyboardInterrupt.
    """
    return asyncio.run(_unwound(work))


async def _unwound(work: Coroutine[Any, Any, int]) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None, "it is run as a task"
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    try:
        return await work
    except asyncio.CancelledError:
        if not ended_by:
            raise
        return 128 + ended_by[0]


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, where work unwinds as it does at Ctrl-C. number: of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def run_interruptible(work: Callable[[], int]) -> int:
    """Return what work returns, which waits in this thread; on SIGTERM and SIGHUP raise Terminated.

    For what is built on threads of others, which know Ctrl-C alone.
    """

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise Terminated(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        return work()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
