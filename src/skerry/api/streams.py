"""Answers that come piece by piece: bytes, and NDJSON lines that report a longer piece of work.

Each ends when its client hangs up, and lets go of what it holds whatever happens.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TypeAlias

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skerry import wire
from skerry.api.errors import mistake
from skerry.api.race import gone, race
from skerry.base import Clock, SkerryError, rfc3339

Progress: TypeAlias = Callable[[str], None]
Work: TypeAlias = Callable[[Progress], Awaitable[tuple[str, dict[str, object]]]]

NDJSON = "application/x-ndjson"
_LINES_WAITING_MAX = 10_000  # for a client that does not read; then the oldest are dropped
_Lines: TypeAlias = "asyncio.Queue[wire.Progress | None]"


class Streamed(Response):
    """An answer of pieces, sent no faster than the client reads.

    The request's body must have been read. held: what is closed after the last piece.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str,
        held: contextlib.AsyncExitStack | None = None,
    ) -> None:
        self.status_code = status
        self.media_type = media_type
        self.background = None
        self.init_headers(headers)
        self._pieces = pieces
        self._held = held or contextlib.AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._held, contextlib.aclosing(self._pieces):
            is_head = scope["method"] == "HEAD"
            await race(self._send(send, is_head=is_head), gone(receive))

    async def _send(self, send: Send, *, is_head: bool) -> None:
        # What fails before the first piece is still told with a status of its own.
        piece = b"" if is_head else await anext(self._pieces, b"")
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        while piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(self._pieces, b"")
        await send({"type": "http.response.body"})


def progress(clock: Clock, work: Work) -> Response:
    """Return an answer that tells how work goes on, and as its last line how it ended.

    work is given a function for its lines, to be called from any thread, and returns a sentence
    and a result. If it fails before it told a line, the answer is that error and no stream. When
    the client hangs up work is cancelled, which the domain's verbs survive.
    """
    return Streamed(_lines(clock, work), media_type=NDJSON)


async def _lines(clock: Clock, work: Work) -> AsyncGenerator[bytes]:
    lines: _Lines = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        loop.call_soon_threadsafe(_put, lines, _line(clock, "info", text))

    async def finish() -> wire.Progress:
        try:
            sentence, result = await work(tell)
        finally:
            # After what work told from its threads, which is on its way in the same manner.
            loop.call_soon(lines.put_nowait, None)
        return msgspec.structs.replace(_line(clock, "complete", sentence), result=result)

    task = asyncio.create_task(finish())
    told = False
    try:
        while (line := await lines.get()) is not None:
            yield msgspec.json.encode(line) + b"\n"
            told = True
        yield msgspec.json.encode(await _end_of(clock, task, told=told)) + b"\n"
    finally:
        task.cancel()
        await asyncio.wait([task])
        _ = task.cancelled() or task.exception()  # told, or nobody is there any more


async def _end_of(
    clock: Clock, task: "asyncio.Task[wire.Progress]", *, told: bool
) -> wire.Progress:
    try:
        return await task
    except SkerryError as error:
        if not told:
            raise
        failure = error
    except Exception as error:
        if not told:
            raise
        failure = mistake(error)
    line = _line(clock, "error", failure.message)
    return msgspec.structs.replace(line, error=failure.message, code=failure.code)


def _line(clock: Clock, kind: str, text: str) -> wire.Progress:
    return msgspec.convert(
        {"type": kind, "data": text, "time": rfc3339(clock.now_ns())}, wire.Progress
    )


def _put(lines: _Lines, line: wire.Progress) -> None:
    if lines.qsize() >= _LINES_WAITING_MAX:
        lines.get_nowait()
    lines.put_nowait(line)
