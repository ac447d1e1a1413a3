"""What the store does while nobody asks: rules end what they end, room is made, rot is looked for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from skerry.base import SkerryError
from skerry.objects import compaction, lifecycle, scrubbing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from skerry.base import Failed
    from skerry.objects import Objects
    from skerry.objects.model import Version
    from skerry.objects.scrubbing import Scrubbed

_AGAIN_S = 10.0


@asynccontextmanager
async def background(
    objects: Objects, scrubbed: Scrubbed, say: Callable[[str], None]
) -> AsyncGenerator[None]:
    """Do it while the block lasts. scrubbed: counts what was looked at. say: writes a line."""

    def tell(bucket: str, version: Version, error: Failed) -> None:
        place = f"{bucket}/{version.key} ({version.version_id})"
        say(f"{error.code}: {place!a} cannot be given out. {error.message}")

    async with asyncio.TaskGroup() as group:
        jobs = [
            group.create_task(_again(lambda: lifecycle.keep_rules(objects), say)),
            group.create_task(_again(lambda: compaction.keep_room(objects), say)),
            group.create_task(_again(lambda: scrubbing.keep_looking(objects, scrubbed, tell), say)),
        ]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()


async def _again(job: Callable[[], Awaitable[None]], say: Callable[[str], None]) -> None:
    """Do a job for ever; what a disk does to it is told, and it begins anew later."""
    while True:
        try:
            await job()
        except SkerryError as error:
            say(f"{error.code}: {error.message}")
        await asyncio.sleep(_AGAIN_S)
