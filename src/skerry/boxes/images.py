"""Images: build by a recipe, import, save a box as one, list, delete."""

import dataclasses
import sqlite3
from collections.abc import Awaitable, Callable, Mapping

from skerry.base import Conflict, image_name, new_id
from skerry.boxes import checkpoints, store
from skerry.boxes.context import Boxes, whole
from skerry.boxes.model import Image, fitting_environment
from skerry.host.seam import Progress


def list_images(boxes: Boxes, account: str | None = None) -> list[Image]:
    """Return all images, in the order of names.

    account: it is for somebody whose boxes are all that there are; of where an image came from only
    the kind is told, not the box of another or the path on the host.
    """
    found = boxes.database.read(store.images)
    if account is None:
        return found
    return [dataclasses.replace(each, source=each.source.partition(" ")[0]) for each in found]


async def check_recipe(boxes: Boxes, recipe: str) -> None:
    """Raise NotFound(no_such_recipe) where there is no recipe of that name."""
    await boxes.machine.recipe_parent(recipe)


@whole
async def build_image(boxes: Boxes, name: str, recipe: str, progress: Progress) -> Image:
    """Build an image by a recipe, its parents first where they are missing; replaces the old one.

    Raises NotFound(no_such_recipe), Conflict(parent_not_built), Failed(image_build_failed).
    """
    image_name(name)
    parent = await boxes.machine.recipe_parent(recipe)
    parent_id = None
    if parent is not None:
        if parent not in {image.name for image in list_images(boxes)}:
            await build_image(boxes, parent, parent, progress)
        below = boxes.find_image(parent)
        if below.source != _source_of(parent):
            # A build runs programs of the parent as root of the host, in a chroot that is no jail.
            raise Conflict(
                "parent_not_built",
                f"The image {parent!r} was not built by its own recipe, and building on another's "
                f"would run its programs outside a box. Run `skerry image build {parent}` first, or "
                "work in a box and save that.",
            )
        parent_id = below.image_id

    async def build(image_id: str) -> dict[str, str]:
        await boxes.machine.build_image(recipe, parent_id, image_id, progress)
        return {}

    return await _publish(boxes, name, _source_of(recipe), build)


@whole
async def import_image(boxes: Boxes, name: str, path: str, progress: Progress) -> Image:
    """Make an image of a directory, a rootfs tar, an OCI layout or a `docker save` tar.

    Raises Invalid(bad_image, bad_name), NotFound(no_such_path).
    """

    async def bring_in(image_id: str) -> dict[str, str]:
        return fitting_environment(await boxes.machine.import_image(path, image_id, progress))

    return await _publish(boxes, name, f"import {path}", bring_in)


@whole
async def save_image(boxes: Boxes, name: str, checkpoint: str | None, image: str) -> Image:
    """Keep the disk of a box, or a checkpoint of it, as an image.

    Raises NotFound(box_not_found, checkpoint_not_found), Invalid(bad_name).
    """
    box = boxes.find(name)
    if checkpoint is not None:
        checkpoints.find_checkpoint(boxes, name, checkpoint)

    async def save(image_id: str) -> Mapping[str, str]:
        await boxes.machine.save_image(box.box_id, checkpoint, image_id)
        return box.environment

    return await _publish(boxes, image, f"box {name}", save)


@whole
async def delete_image(boxes: Boxes, name: str) -> None:
    """Delete an image; boxes made from it live on. Raises NotFound(image_not_found)."""
    async with boxes.turns.of(("image", name)):
        image = boxes.find_image(name)
        await boxes.machine.delete_image(image.image_id)
        await boxes.database.write(lambda c: store.delete_image(c, image.image_id))
    boxes.ready_wanted.set()


def _source_of(recipe: str) -> str:
    return f"recipe {recipe}"


async def _publish(
    boxes: Boxes, name: str, source: str, make: Callable[[str], Awaitable[Mapping[str, str]]]
) -> Image:
    """Make an image's data, then let name mean it; what name meant before goes.

    make is given the image's id and returns its variables.
    """
    image_name(name)
    async with boxes.turns.of(("image", name)):
        image = Image(new_id("img", boxes.entropy(10)), name, boxes.clock.now_ns(), source)
        image = dataclasses.replace(image, environment=await make(image.image_id))
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
