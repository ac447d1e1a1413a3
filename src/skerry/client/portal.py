"""One event loop in a thread of its own, and a way into it for code that waits.

Knows nothing of Skerry.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

_R = TypeVar("_R")


class Portal:
    """A thread that runs an event loop until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="skerry", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()

    def wait_for(self, work: Coroutine[Any, Any, _R]) -> _R:
        """Return what work returns. An interruption here (Ctrl-C) cancels it and waits for its end.

        Raises what work raises, RuntimeError after `close`.
        """
        if not self._thread.is_alive():
            work.close()
            raise _closed()
        ended = concurrent.futures.Future[_R]()
        cancel = self._begin(_told(work, ended))
        try:
            return ended.result()
        except BaseException:
            if not ended.done():
                self._loop.call_soon_threadsafe(cancel)
                ended.exception()
            raise

    def _begin(self, work: Coroutine[Any, Any, None]) -> "_Cancel":
        cancel = _Cancel()
        self._loop.call_soon_threadsafe(cancel.begin, work)
        return cancel

    @contextmanager
    def inside(self, manager: AbstractAsyncContextManager[_R]) -> Generator[_R]:
        """Hold manager open while the block runs; the whole of it lives in one task.

        A block that ends by an error cancels it. Raises what manager raises, rather than the
        block's own error, which then came of it.
        """
        if not self._thread.is_alive():
            raise _closed()
        entered = concurrent.futures.Future[_R]()
        ended = concurrent.futures.Future[None]()
        leaving = asyncio.Event()
        cancel = self._begin(_told(_held(manager, entered, leaving), ended, entered))
        try:
            yield entered.result()
            self._loop.call_soon_threadsafe(leaving.set)
            ended.result()
        except BaseException:
            self._loop.call_soon_threadsafe(cancel)
            error = ended.exception()
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error from None
            raise

    def iterate(self, items: AsyncIterator[_R]) -> Iterator[_R]:
        """Yield items, each waited for."""
        while True:
            try:
                yield self.wait_for(_next(items))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        """End the loop and the thread; what still runs in it is cancelled."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


def _closed() -> RuntimeError:
    return RuntimeError("this client is closed")


class _Cancel:
    """Cancels a task that begins in the loop's own time."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    def __call__(self) -> None:
        assert self._task is not None, "the loop begins a task before it is told to cancel it"
        self._task.cancel()


async def _told(
    work: Coroutine[Any, Any, _R],
    ended: "concurrent.futures.Future[_R]",
    entered: "concurrent.futures.Future[Any] | None" = None,
) -> None:
    """Do work and tell, whatever comes of it, those who wait in another thread."""
    try:
        result = await work
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
        ended.set_exception(error)
        if entered is not None and not entered.done():
            entered.set_exception(error)
    else:
        ended.set_result(result)


async def _held(
    manager: AbstractAsyncContextManager[_R],
    entered: "concurrent.futures.Future[_R]",
    leaving: asyncio.Event,
) -> None:
    async with manager as value:
        entered.set_result(value)
        # However long the block in the other thread takes.
        await leaving.wait()


async def _next(items: AsyncIterator[_R]) -> _R:
    return await anext(items)
