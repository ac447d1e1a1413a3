"""Answers of NDJSON lines that report a longer piece of work while it goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import msgspec
from starlette.responses import StreamingResponse

from skerry import wire
from skerry.base import Clock, SkerryError, rfc3339

Progress: TypeAlias = Callable[[str], None]
Work: TypeAlias = Callable[[Progress], Awaitable[tuple[str, dict[str, object]]]]

_LINES_WAITING_MAX = 10_000


def ndjson(lines: AsyncIterator[bytes]) -> StreamingResponse:
    """Return a response of NDJSON lines."""
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def progress(clock: Clock, begun: str, work: Work) -> StreamingResponse:
    """Return a response that tells how work goes on, and as its last line how it ended.

    work is given a function for its lines and returns a sentence and a result. It goes on to its
    end even if the client hangs up.
    """
    lines: asyncio.Queue[wire.Progress | None] = asyncio.Queue(_LINES_WAITING_MAX)
    loop = asyncio.get_running_loop()

    def say(line: wire.Progress | None) -> None:
        if not lines.full() or line is None or line.type != "info":
            while lines.full():
                lines.get_nowait()
            lines.put_nowait(line)

    def tell(text: str) -> None:
        line = wire.Progress(type="info", data=text, time=rfc3339(clock.now_ns()))
        loop.call_soon_threadsafe(say, line)

    async def run() -> None:
        try:
            sentence, result = await work(tell)
            end = wire.Progress(type="complete", data=sentence, result=result)
        except SkerryError as error:
            end = wire.Progress(
                type="error", error=error.message, data=error.message, code=error.code
            )
        # After what work told from its threads, which is on its way by call_soon.
        loop.call_soon(say, msgspec.structs.replace(end, time=rfc3339(clock.now_ns())))
        loop.call_soon(say, None)

    async def out() -> AsyncIterator[bytes]:
        task = asyncio.create_task(run())
        if begun:
            tell(begun)
        while (line := await lines.get()) is not None:
            yield msgspec.json.encode(line) + b"\n"
        await task

    return ndjson(out())
