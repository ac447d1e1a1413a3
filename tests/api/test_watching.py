"""Watching files over a WebSocket: what is told, and when it ends."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from skerry import boxes
from tests.api.site import Site, tell

pytestmark = pytest.mark.machine  # a user's permissions are checked by the kernel

WATCH = "/v1/sprites/dev/fs/watch"


async def restore(site: Site) -> None:
    await boxes.checkpoint(site.context, "dev", "")
    await boxes.restore(site.context, "dev", "v1")


async def destroy(site: Site) -> None:
    await boxes.destroy(site.context, "dev")


@pytest.mark.parametrize("end", [restore, destroy])
def test_a_watch_ends_with_the_disk_that_it_looks_at(
    tmp_path: Path, end: Callable[[Site], Awaitable[None]]
) -> None:
    async def story(site: Site) -> None:
        async with connect(site.websocket_url(WATCH), additional_headers=site.headers) as socket:
            await socket.send(json.dumps({"type": "subscribe", "paths": ["/"]}))
            subscribed: Any = json.loads(await socket.recv())
            await end(site)
            ended: Any = json.loads(await socket.recv())
            await socket.wait_closed()

        assert subscribed["type"] == "subscribed"
        assert (ended["type"], ended["code"]) == ("error", "disk_replaced")

    tell(tmp_path, story)
