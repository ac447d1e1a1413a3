"""Calls about published ports: raw TCP from wherever to a port of a box.

They open the machine itself, so they are for its administrators.
"""

from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.boxes import Publication


def _shape(publication: Publication) -> wire.Publication:
    return wire.Publication(listen=publication.listen, port=publication.port)


async def page(call: Call) -> Response:
    """List the published ports of a box."""
    return answer([_shape(each) for each in boxes.list_published(call.boxes, call.path("name"))])


async def publish(call: Call) -> Response:
    """Make a port of this machine one of a box."""
    body = await call.body(wire.Publication)
    made = await boxes.publish(call.boxes, call.path("name"), body.listen, body.port)
    return answer(_shape(made))


async def unpublish(call: Call) -> Response:
    """Take a port of this machine from a box."""
    await boxes.unpublish(call.boxes, call.path("name"), call.query(wire.Unpublish).listen)
    return Response(status_code=204)


_PATH = "/boxes/{name}/published"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path=_PATH, name="list_published", summary="List the published ports of a box",
        handler=page, scope="read", answer=list[wire.Publication], errors=(404,),
    ),
    Operation(
        method="PUT", path=_PATH, name="publish_port",
        summary="Make a port of this machine one of a box", handler=publish, scope="admin",
        body=wire.Publication, answer=wire.Publication, errors=(404, 409, 429),
    ),
    Operation(
        method="DELETE", path=_PATH, name="unpublish_port",
        summary="Take a port of this machine from a box", handler=unpublish, scope="admin",
        query=wire.Unpublish, status=204, errors=(404,),
    ),
)  # fmt: skip
