"""A client's hold on a session that keeps its box awake, and says which limit a command hit."""

import contextlib
import dataclasses
from collections.abc import AsyncGenerator

from skerry.base import SkerryError
from skerry.boxes import store
from skerry.boxes.context import Boxes
from skerry.boxes.model import disk_notice
from skerry.host.seam import Exit, Output, SessionLink, SessionState


class HeldSession:
    """Implements host.seam.SessionLink on another one; closing it ends the use of the box."""

    def __init__(self, boxes: Boxes, link: SessionLink, use: contextlib.ExitStack) -> None:
        self._boxes = boxes
        self._link = link
        self._use = use

    @property
    def state(self) -> SessionState:
        """What was known of the session when it was joined."""
        return self._link.state

    async def events(self) -> AsyncGenerator[Output | Exit]:
        """Yield what it prints and its end, which says so where a limit of the box was hit."""
        async for event in self._link.events():
            if isinstance(event, Exit) and event.code and not event.notice:
                yield await self._explained(event)
            else:
                yield event

    async def _explained(self, end: Exit) -> Exit:
        boxes, box_id = self._boxes, self.state.box_id
        box = boxes.database.read(lambda c: store.box_by_id(c, box_id))
        if box is None:
            return end
        try:
            usage = await boxes.machine.usage(box_id)
        except SkerryError:  # its end is known, only the reason for it is not
            return end
        return dataclasses.replace(end, notice=disk_notice(box.limits, usage))

    async def write(self, data: bytes) -> None:
        """Send data to its stdin."""
        await self._link.write(data)

    async def write_eof(self) -> None:
        """Close its stdin."""
        await self._link.write_eof()

    async def resize(self, rows: int, cols: int) -> None:
        """Give its terminal a new size."""
        await self._link.resize(rows, cols)

    async def signal(self, number: int) -> None:
        """Send a signal to its process group."""
        await self._link.signal(number)

    async def close(self) -> None:
        """Let go."""
        try:
            await self._link.close()
        finally:
            self._use.close()
