"""Checkpoints of a box: made, listed, compared, restored, read from."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from skerry import wire
from skerry.base import Failed
from skerry.client.calls import Calls, path_of
from skerry.client.progress import result_of

_WORK_SECONDS_MAX = 600.0  # making or restoring one on a pool with very much to write back
_FILE_SECONDS_MAX = 60.0  # in which not a byte comes


async def create(calls: Calls, box: str, comment: str) -> wire.Checkpoint:
    """Keep the disk of a box as it is now; the box runs on."""
    path = path_of("boxes", box, "checkpoint")
    body = wire.CreateCheckpoint(comment=comment)
    lines = calls.lines(wire.Progress, "POST", path, body=body, limit_seconds=_WORK_SECONDS_MAX)
    return await find(calls, box, await _named(lines, "id"))


async def find(calls: Calls, box: str, checkpoint: str) -> wire.Checkpoint:
    """Return one checkpoint."""
    path = path_of("boxes", box, "checkpoints", checkpoint)
    return await calls.ask(wire.Checkpoint, "GET", path)


async def list_all(calls: Calls, box: str, *, automatic: bool) -> list[wire.Checkpoint]:
    """Return the checkpoints of a box, the oldest first."""
    query = [("includeAuto", str(automatic).lower())]
    return await calls.ask(
        list[wire.Checkpoint], "GET", path_of("boxes", box, "checkpoints"), query=query
    )


async def diff(calls: Calls, box: str, old: str, new: str | None) -> list[wire.Change]:
    """Return what differs from checkpoint old to new, or to the disk as it is."""
    path = path_of("boxes", box, "checkpoints", old, "diff")
    query = [] if new is None else [("to", new)]
    return await calls.ask(list[wire.Change], "GET", path, query=query)


async def restore(calls: Calls, box: str, checkpoint: str) -> str:
    """Put a box back to a checkpoint; return the one that keeps the state that was replaced."""
    path = path_of("boxes", box, "checkpoints", checkpoint, "restore")
    lines = calls.lines(wire.Progress, "POST", path, limit_seconds=_WORK_SECONDS_MAX)
    return await _named(lines, "kept")


async def delete(calls: Calls, box: str, checkpoint: str) -> None:
    """Delete a checkpoint."""
    await calls.tell("DELETE", path_of("boxes", box, "checkpoints", checkpoint))


@contextlib.asynccontextmanager
async def open_file(
    calls: Calls, box: str, checkpoint: str, path: str
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Give the block the pieces of a file of a checkpoint, as they come."""
    where = path_of("boxes", box, "checkpoints", checkpoint, "files")
    query = [("path", path)]
    async with calls.open("GET", where, query=query, limit_seconds=_FILE_SECONDS_MAX) as response:
        yield response.pieces()


async def _named(lines: AsyncGenerator[wire.Progress], key: str) -> str:
    name = (await result_of(lines)).get(key)
    if not isinstance(name, str):
        raise Failed("bad_answer", f"The server did not say {key!r}. Its version may not fit.")
    return name
