"""What the store does while nobody asks it anything.

Rules end what they end, room is made, rot is looked for, webhooks are told.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.base import SkerryError
from skerry.objects import compaction, lifecycle, scrubbing
from skerry.s3.webhooks import keep_telling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from skerry.base import Failed
    from skerry.objects import Objects
    from skerry.objects.model import Version
    from skerry.objects.scrubbing import Scrubbed
    from skerry.s3.startup import Webhook

_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Telling:
    """Whom to tell what happens, by their names, and in which region it does."""

    webhooks: Mapping[str, Webhook]
    region: str


@asynccontextmanager
async def background(
    objects: Objects, scrubbed: Scrubbed, telling: Telling, say: Callable[[str], None]
) -> AsyncGenerator[None]:
    """Do it while the block lasts. scrubbed: counts what was looked at. say: writes a line."""
    objects.targets = telling.webhooks

    def tell(bucket: str, version: Version, error: Failed) -> None:
        place = f"{bucket}/{version.key} ({version.version_id})"
        say(f"{error.code}: {place!a} cannot be given out. {error.message}")

    async with asyncio.TaskGroup() as group:
        jobs = [
            group.create_task(_again(lambda: lifecycle.keep_rules(objects), say)),
            group.create_task(_again(lambda: compaction.keep_room(objects), say)),
            group.create_task(_again(lambda: scrubbing.keep_looking(objects, scrubbed, tell), say)),
        ]
        jobs += [
            group.create_task(
                _again(functools.partial(keep_telling, objects, telling.region, *each, say), say)
            )
            for each in telling.webhooks.items()
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
