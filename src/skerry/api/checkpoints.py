"""Calls about checkpoints: create, list, tell, diff, delete, restore, one file out of one."""

from msgspec import Struct
from starlette.responses import Response

from skerry import boxes, wire
from skerry.api import files
from skerry.api.errors import shown
from skerry.api.routing import Call, Operation, answer
from skerry.api.streams import NDJSON, progress
from skerry.base import rfc3339
from skerry.boxes import Checkpoint
from skerry.host.seam import DiskChange


class Listing(Struct, rename="camel"):
    """Which checkpoints to list."""

    include_auto: bool = False
    history: str | None = None


class Since(Struct):
    """to: the later checkpoint; left out, the disk as it is now."""

    to: wire.CheckpointName | None = None


def checkpoint_shape(checkpoint: Checkpoint) -> wire.Checkpoint:
    """Return a checkpoint as the wire has it."""
    return wire.Checkpoint(
        id=checkpoint.name,
        create_time=rfc3339(checkpoint.created_at_ns),
        comment=checkpoint.comment,
        is_auto=checkpoint.is_auto,
    )


async def create(call: Call) -> Response:
    """Make a checkpoint."""
    body = await call.body(wire.CreateCheckpoint)
    name = call.path("name")
    call.boxes.find(name)

    async def work(_tell: object) -> tuple[str, dict[str, object]]:
        made = await boxes.checkpoint(call.boxes, name, body.comment)
        return f"Checkpoint {made.name} created", {"id": made.name}

    return progress(call.boxes.clock, work)


async def page(call: Call) -> Response:
    """List the checkpoints of a box, the oldest first."""
    asked = call.query(Listing)
    kept = boxes.list_checkpoints(call.boxes, call.path("name"))
    shapes = [checkpoint_shape(c) for c in kept if asked.include_auto or not c.is_auto]
    return answer(shapes)


async def find(call: Call) -> Response:
    """Tell one checkpoint."""
    return answer(checkpoint_shape(_find(call)))


async def delete(call: Call) -> Response:
    """Delete a checkpoint."""
    _find(call)
    await boxes.delete_checkpoint(call.boxes, call.path("name"), call.path("checkpoint"))
    return Response(status_code=204)


async def restore(call: Call) -> Response:
    """Put a box back to a checkpoint."""
    _find(call)
    name, which = call.path("name"), call.path("checkpoint")

    async def work(_tell: object) -> tuple[str, dict[str, object]]:
        kept = await boxes.restore(call.boxes, name, which)
        return f"Restored {which}; what it replaced is {kept.name}", {"kept": kept.name}

    return progress(call.boxes.clock, work)


async def diff(call: Call) -> Response:
    """Tell which files changed from a checkpoint to another, or since."""
    later = call.query(Since).to
    changes = await boxes.changes(call.boxes, call.path("name"), call.path("checkpoint"), later)
    return answer([_change_shape(change) for change in changes])


def _change_shape(change: DiskChange) -> wire.Change:
    came_from = shown(change.from_path) if change.from_path is not None else None
    return wire.Change(path=shown(change.path), kind=change.kind, from_path=came_from)


async def read_file(call: Call) -> Response:
    """Read one file out of a checkpoint."""
    return await files.read_from(call, call.path("checkpoint"))


def _find(call: Call) -> Checkpoint:
    return boxes.find_checkpoint(call.boxes, call.path("name"), call.path("checkpoint"))


_ONE = "/boxes/{name}/checkpoints/{checkpoint}"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST", path="/boxes/{name}/checkpoint", name="create_checkpoint",
        summary="Keep the disk of a box as it is now",
        handler=create, scope="write", body=wire.CreateCheckpoint, answer=wire.Progress,
        content=NDJSON, errors=(404,),
    ),
    Operation(
        method="GET", path="/boxes/{name}/checkpoints", name="list_checkpoints",
        summary="List the checkpoints of a box",
        handler=page, scope="read", query=Listing, answer=list[wire.Checkpoint], errors=(404,),
    ),
    Operation(
        method="GET", path=_ONE, name="get_checkpoint", summary="Tell a checkpoint",
        handler=find, scope="read", answer=wire.Checkpoint, errors=(404,),
    ),
    Operation(
        method="DELETE", path=_ONE, name="delete_checkpoint", summary="Delete a checkpoint",
        handler=delete, scope="write", status=204, errors=(404, 409),
    ),
    Operation(
        method="POST", path=_ONE + "/restore", name="restore_checkpoint",
        summary="Put a box back to a checkpoint; what it replaces is kept",
        handler=restore, scope="write", answer=wire.Progress, content=NDJSON,
        errors=(404,),
    ),
    Operation(
        method="GET", path=_ONE + "/diff", name="diff_checkpoint",
        summary="Tell which files changed since, or up to another checkpoint",
        handler=diff, scope="read", query=Since, answer=list[wire.Change],
        errors=(404, 429, 503),
    ),
    Operation(
        method="GET", path=_ONE + "/files", name="read_checkpoint_file",
        summary="Read one file out of a checkpoint",
        handler=read_file, scope="read", query=files.Reading, content="application/octet-stream",
        errors=(403, 404, 409, 416),
    ),
)  # fmt: skip
