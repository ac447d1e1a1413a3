"""Calls about images: list, build, import, save a box as one, delete."""

from msgspec import Struct
from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.api.streams import NDJSON, Progress, progress
from skerry.base import image_name, rfc3339
from skerry.boxes import Image


class Build(Struct):
    """recipe: its name; left out, the recipe of the image's own name."""

    recipe: wire.ImageName | None = None


def image_shape(image: Image) -> wire.Image:
    """Return an image as the wire has it."""
    return wire.Image(
        id=image.image_id,
        name=image.name,
        created_at=rfc3339(image.created_at_ns),
        source=image.source,
    )


async def page(call: Call) -> Response:
    """List images."""
    found = boxes.list_images(call.boxes, call.confined_to)
    return answer([image_shape(image) for image in found])


async def build(call: Call) -> Response:
    """Build an image by a recipe."""
    body = await call.body(Build)
    name = image_name(call.path("image"))
    recipe = body.recipe or name
    await boxes.check_recipe(call.boxes, recipe)

    async def work(tell: Progress) -> tuple[str, dict[str, object]]:
        made = await boxes.build_image(call.boxes, name, recipe, tell)
        return f"Image {name} built", {"id": made.image_id}

    return progress(call.boxes.clock, work)


async def bring_in(call: Call) -> Response:
    """Import an image from a path on the host."""
    body = await call.body(wire.ImportImage)
    name = image_name(call.path("image"))

    async def work(tell: Progress) -> tuple[str, dict[str, object]]:
        made = await boxes.import_image(call.boxes, name, body.path, tell)
        return f"Image {name} imported", {"id": made.image_id}

    return progress(call.boxes.clock, work)


async def save(call: Call) -> Response:
    """Keep the disk of a box as an image."""
    body = await call.body(wire.SaveImage)
    made = await boxes.save_image(call.boxes, call.path("name"), body.checkpoint, body.image)
    return answer(image_shape(made), 201)


async def delete(call: Call) -> Response:
    """Delete an image."""
    await boxes.delete_image(call.boxes, call.path("image"))
    return Response(status_code=204)


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path="/images", name="list_images", summary="List images",
        handler=page, scope="read", answer=list[wire.Image], heeds_account=True,
    ),
    Operation(
        method="POST", path="/images/{image}/build", name="build_image",
        summary="Build an image by a recipe",
        handler=build, scope="admin", body=Build, answer=wire.Progress,
        content=NDJSON, errors=(404,),
    ),
    Operation(
        method="POST", path="/images/{image}/import", name="import_image",
        summary="Import an image from a path on the host",
        handler=bring_in, scope="admin", body=wire.ImportImage, answer=wire.Progress,
        content=NDJSON,
    ),
    Operation(
        method="POST", path="/boxes/{name}/save", name="save_image",
        summary="Keep the disk of a box, or a checkpoint, as an image",
        handler=save, scope="admin", body=wire.SaveImage, answer=wire.Image, status=201,
        errors=(404, 409, 507),
    ),
    Operation(
        method="DELETE", path="/images/{image}", name="delete_image", summary="Delete an image",
        handler=delete, scope="admin", status=204, errors=(404,),
    ),
)  # fmt: skip
