"""Images: build by a recipe, import, save a box as one, list, delete."""

import sqlite3
from collections.abc import Awaitable, Callable

from skerry.base import NotFound, image_name, new_id
from skerry.boxes import checkpoints, store
from skerry.boxes.context import Boxes, whole
from skerry.boxes.model import Image
from skerry.host.seam import Progress


def list_images(boxes: Boxes) -> list[Image]:
    """Return all images, in the order of names."""
    return boxes.database.read(store.images)


def find(boxes: Boxes, name: str) -> Image:
    """Return the image of that name. Raises NotFound(image_not_found)."""
    for image in list_images(boxes):
        if image.name == name:
            return image
    raise NotFound(
        "image_not_found",
        f"There is no image called {name[:80]!r}. `skerry image list` shows those there are; "
        f"`skerry image build {name[:80]}` builds one by a recipe.",
    )


@whole
async def build_image(boxes: Boxes, name: str, recipe: str, progress: Progress) -> Image:
    """Build an image by a recipe, its parents first where they are missing; replaces the old one.

    Raises NotFound(no_such_recipe), Failed(image_build_failed).
    """
    image_name(name)
    parent = await boxes.machine.recipe_parent(recipe)
    parent_id = None
    if parent is not None:
        if parent not in {image.name for image in list_images(boxes)}:
            await build_image(boxes, parent, parent, progress)
        parent_id = find(boxes, parent).image_id

    async def build(image_id: str) -> None:
        await boxes.machine.build_image(recipe, parent_id, image_id, progress)

    return await _publish(boxes, name, f"recipe {recipe}", build)


@whole
async def import_image(boxes: Boxes, name: str, path: str, progress: Progress) -> Image:
    """Make an image of a directory, a rootfs tar, an OCI layout or a `docker save` tar.

    Raises Invalid(bad_image, bad_name), NotFound(no_such_path).
    """

    async def bring_in(image_id: str) -> None:
        await boxes.machine.import_image(path, image_id, progress)

    return await _publish(boxes, name, f"import {path}", bring_in)


@whole
async def save_image(boxes: Boxes, name: str, checkpoint: str | None, image: str) -> Image:
    """Keep the disk of a box, or a checkpoint of it, as an image.

    Raises NotFound(box_not_found, checkpoint_not_found), Invalid(bad_name).
    """
    box = boxes.find(name)
    if checkpoint is not None:
        checkpoints.find_checkpoint(boxes, name, checkpoint)

    async def save(image_id: str) -> None:
        await boxes.machine.save_image(box.box_id, checkpoint, image_id)

    return await _publish(boxes, image, f"box {name}", save)


@whole
async def delete_image(boxes: Boxes, name: str) -> None:
    """Delete an image; boxes made from it live on. Raises NotFound(image_not_found)."""
    async with boxes.turns.of(("image", name)):
        image = find(boxes, name)
        await boxes.machine.delete_image(image.image_id)
        await boxes.database.write(lambda c: store.delete_image(c, image.image_id))
    boxes.ready_wanted.set()


async def _publish(
    boxes: Boxes, name: str, source: str, make: Callable[[str], Awaitable[None]]
) -> Image:
    """Make an image's data, then let name mean it; what name meant before goes."""
    image_name(name)
    async with boxes.turns.of(("image", name)):
        image = Image(new_id("img", boxes.entropy(10)), name, boxes.clock.now_ns(), source)
        await make(image.image_id)
        old = [each for each in list_images(boxes) if each.name == name]

        def put_in_place(connection: sqlite3.Connection) -> None:
            for each in old:
                store.delete_image(connection, each.image_id)
            store.insert_image(connection, image)

        await boxes.database.write(put_in_place)
        for each in old:
            await boxes.machine.delete_image(each.image_id)
    boxes.ready_wanted.set()
    return image
