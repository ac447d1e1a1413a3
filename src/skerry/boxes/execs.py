"""Commands in boxes, and files: what wakes a box because somebody uses it."""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncGenerator, Sequence

from skerry.base import Conflict, SkerryError, new_id
from skerry.boxes import checkpoints, life, store
from skerry.boxes.context import Boxes
from skerry.boxes.model import limit_notice
from skerry.host.seam import ExecSpec, Exit, Output, SessionLink, SessionState


async def execute(boxes: Boxes, name: str, spec: ExecSpec) -> SessionLink:
    """Start a command in a box, which is started first if it is cold.

    The box's own environment applies where spec.env says nothing else. Raises
    NotFound(box_not_found, command_not_found) and what host.seam.Machine.open_session raises.
    """
    box = boxes.find(name)
    own = {key.encode(): value.encode() for key, value in box.environment.items()}
    spec = dataclasses.replace(spec, env={**own, **spec.env})
    session_id = new_id("ses", boxes.entropy(10))
    await life.ensure_running(boxes, box)
    try:
        return await boxes.machine.open_session(box.box_id, session_id, spec)
    except Conflict as error:
        # The box ended by itself since we last looked: its first process was killed, say.
        if error.code != "box_not_running":
            raise
        boxes.running.pop(box.box_id, None)
        await life.ensure_running(boxes, box)
        return await boxes.machine.open_session(box.box_id, session_id, spec)


async def events(boxes: Boxes, link: SessionLink) -> AsyncGenerator[Output | Exit]:
    """Yield what a session prints and its end, which says so where a limit of the box was hit."""
    async for event in link.events():
        if isinstance(event, Exit) and event.code and not event.notice:
            yield await _explained(boxes, link.state.box_id, event)
        else:
            yield event


async def _explained(boxes: Boxes, box_id: str, end: Exit) -> Exit:
    box = boxes.database.read(lambda c: store.box_by_id(c, box_id))
    if box is None:
        return end
    try:
        usage = await boxes.machine.usage(box_id)
    except SkerryError:  # its end is known, only the reason for it is not
        return end
    seen = boxes.processes_hit.get(box_id, 0)
    boxes.processes_hit[box_id] = usage.processes_hit
    return dataclasses.replace(end, notice=limit_notice(box.limits, usage, seen))


async def attach(boxes: Boxes, name: str, session_id: str) -> SessionLink:
    """Join a session. Raises NotFound(box_not_found, session_not_found)."""
    return await boxes.machine.attach_session(boxes.find(name).box_id, session_id)


async def sessions(boxes: Boxes, name: str) -> Sequence[SessionState]:
    """Return the sessions of a box, the oldest first. Raises NotFound(box_not_found)."""
    return await boxes.machine.sessions(boxes.find(name).box_id)


async def end_session(
    boxes: Boxes, name: str, session_id: str, signal: int, grace_ns: int
) -> int | None:
    """Send signal, after grace_ns SIGKILL to all that the session started; return its exit code.

    Raises NotFound(box_not_found, session_not_found).
    """
    return await boxes.machine.end_session(boxes.find(name).box_id, session_id, signal, grace_ns)


async def disk_ended(boxes: Boxes, name: str) -> None:
    """Return when the disk that a box has now is replaced by a restore, or the box destroyed.

    Raises NotFound(box_not_found).
    """
    await boxes.disk_ends.setdefault(boxes.find(name).box_id, asyncio.Event()).wait()


@contextlib.asynccontextmanager
async def open_files(boxes: Boxes, name: str, checkpoint: str | None = None) -> AsyncGenerator[int]:
    """Give the root directory of a box, or of a checkpoint of it, as an O_PATH descriptor.

    Works on a cold box without starting it. Raises NotFound(box_not_found, checkpoint_not_found).
    """
    if checkpoint is not None:
        checkpoints.find_checkpoint(boxes, name, checkpoint)
    descriptor = await boxes.machine.open_disk(boxes.find(name).box_id, checkpoint)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
