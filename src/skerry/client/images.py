"""Images that boxes start from: listed, built, imported, saved, deleted."""

from collections.abc import AsyncGenerator

import msgspec

from skerry import wire
from skerry.client.calls import Calls, path_of
from skerry.client.progress import followed


class _Build(msgspec.Struct, omit_defaults=True):
    """The body of `POST /v1/images/{name}/build`."""

    recipe: str | None = None


async def list_all(calls: Calls) -> list[wire.Image]:
    """Return the images."""
    return await calls.ask(list[wire.Image], "GET", path_of("images"))


def build(calls: Calls, name: str, recipe: str | None) -> AsyncGenerator[wire.Progress]:
    """Build an image; yield how it goes on, `complete` last."""
    path = path_of("images", name, "build")
    return followed(calls.lines(wire.Progress, "POST", path, body=_Build(recipe)))


def bring_in(calls: Calls, name: str, host_path: str) -> AsyncGenerator[wire.Progress]:
    """Import an image from a path on the host; yield how it goes on, `complete` last."""
    path = path_of("images", name, "import")
    return followed(calls.lines(wire.Progress, "POST", path, body=wire.ImportImage(host_path)))


async def save(calls: Calls, box: str, image: str, checkpoint: str | None) -> wire.Image:
    """Keep the disk of a box, or a checkpoint of it, as an image."""
    body = wire.SaveImage(image=image, checkpoint=checkpoint)
    return await calls.ask(wire.Image, "POST", path_of("boxes", box, "save"), body=body)


async def delete(calls: Calls, name: str) -> None:
    """Delete an image."""
    await calls.tell("DELETE", path_of("images", name))
