"""Streams of progress: lines that tell how a piece of work goes on, the last one how it ended."""

from collections.abc import AsyncGenerator

from skerry import wire
from skerry.client.errors import connection_lost, error_in_stream


async def followed(lines: AsyncGenerator[wire.Progress]) -> AsyncGenerator[wire.Progress]:
    """Yield lines up to the last one, `complete`.

    Raises what the work failed with, and NotAvailable(connection_lost) if its end was not told.
    """
    async for line in lines:
        if line.type == "error":
            raise error_in_stream(line)
        yield line
        if line.type == "complete":
            return
    raise connection_lost("the work went on")


async def result_of(lines: AsyncGenerator[wire.Progress]) -> dict[str, object]:
    """Return what the last line gives. Raises as `followed` does."""
    result: dict[str, object] = {}
    async for line in followed(lines):
        result = line.result or result
    return result
