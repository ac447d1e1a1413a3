"""Commands in boxes, and files: what wakes a box because somebody uses it."""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from skerry.base import ID_PATTERN, NotFound, SkerryError, new_id
from skerry.boxes import checkpoints, life
from skerry.boxes.context import Boxes
from skerry.boxes.held_session import HeldSession
from skerry.boxes.model import Box
from skerry.host.seam import ExecSpec, Running, SessionLink, SessionState

_TRIES = 4  # of an exec whose box is being stopped and started by others


async def execute(boxes: Boxes, name: str, spec: ExecSpec) -> SessionLink:
    """Start a command in a box, which is woken first if it sleeps.

    The box's own environment applies where spec.env says nothing else. Raises
    NotFound(box_not_found, command_not_found) and what host.seam.Machine.open_session raises.
    """
    box = boxes.find(name)
    own = {key.encode(): value.encode() for key, value in box.environment.items()}
    spec = dataclasses.replace(spec, env={**own, **spec.env})
    session_id = new_id("ses", boxes.entropy(10))

    async def begin() -> SessionLink:
        return await boxes.machine.open_session(box.box_id, session_id, spec)

    return await _held(boxes, box, begin)


async def attach(boxes: Boxes, name: str, session_id: str) -> SessionLink:
    """Join a session. Raises NotFound(box_not_found, session_not_found)."""
    box = boxes.find(name)
    _check_id(session_id)
    if box.box_id not in boxes.running:  # to start it would bring no session back
        return await boxes.machine.attach_session(box.box_id, session_id)
    return await _held(boxes, box, lambda: boxes.machine.attach_session(box.box_id, session_id))


async def _held(boxes: Boxes, box: Box, begin: Callable[[], Awaitable[SessionLink]]) -> SessionLink:
    """Begin something in a box that is awake, and keep it so until the link is closed."""
    with contextlib.ExitStack() as use:
        use.enter_context(boxes.using(box.box_id, "session"))
        for _ in range(_TRIES - 1):
            await life.wake(boxes, box)
            found = boxes.running.get(box.box_id)
            try:
                return HeldSession(boxes, await begin(), use.pop_all())
            except SkerryError as error:
                if not await _is_another_now(boxes, box, found, error.code):
                    raise
        await life.wake(boxes, box)
        return HeldSession(boxes, await begin(), use.pop_all())


async def _is_another_now(boxes: Boxes, box: Box, found: Running | None, code: str) -> bool:
    """Tell whether an exec failed because its box was stopped, restarted or frozen meanwhile."""
    if code == "box_frozen":  # by somebody else: Skerry freezes nothing that is in use
        boxes.signs_of(box.box_id).frozen_at_ns = boxes.clock.monotonic_ns()
        return True
    if code == "box_not_running" and boxes.running.get(box.box_id) == found:
        boxes.running.pop(box.box_id, None)  # it ended by itself since we last looked
        return True
    return code in ("box_not_running", "exec_failed") and boxes.running.get(box.box_id) != found


def _check_id(session_id: str) -> None:
    if ID_PATTERN.fullmatch(session_id) is None:
        raise NotFound("session_not_found", "A session is named by an id such as `ses_...`.")


async def sessions(boxes: Boxes, name: str) -> Sequence[SessionState]:
    """Return the sessions of a box, the oldest first. Raises NotFound(box_not_found)."""
    return await boxes.machine.sessions(boxes.find(name).box_id)


async def end_session(
    boxes: Boxes, name: str, session_id: str, signal: int, grace_ns: int
) -> int | None:
    """Send signal, after grace_ns SIGKILL to all that the session started; return its exit code.

    Raises NotFound(box_not_found, session_not_found).
    """
    box = boxes.find(name)
    _check_id(session_id)
    with boxes.using(box.box_id, "session"):
        if boxes.status(box.box_id) == "warm":  # who is frozen hears no signal
            await life.wake(boxes, box)
        return await boxes.machine.end_session(box.box_id, session_id, signal, grace_ns)


def disk_end(boxes: Boxes, name: str) -> asyncio.Event:
    """Return what is set when the disk that a box has now is replaced, or the box destroyed.

    Raises NotFound(box_not_found).
    """
    return boxes.disk_ends.setdefault(boxes.find(name).box_id, asyncio.Event())


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
