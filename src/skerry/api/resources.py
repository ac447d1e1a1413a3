"""The Sprites protocol's resource policy, which is a box's limit of memory."""

from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.boxes import BoxChange, PartialLimits


async def find(call: Call) -> Response:
    """Tell a box's limit of memory."""
    limits = call.boxes.find(call.path("name")).limits
    return answer(wire.Resources(memory=wire.MemoryPolicy(limit_mb=limits.memory_bytes >> 20)))


async def change(call: Call) -> Response:
    """Change a box's limit of memory."""
    body = await call.body(wire.Resources)
    call.boxes.find(call.path("name"))
    if body.memory is not None:
        await _limit(call, body.memory.limit_mb << 20)
    return Response(status_code=204)


async def forget(call: Call) -> Response:
    """Give a box the limit of memory that boxes have by themselves."""
    await _limit(call, call.boxes.rules.default_limits.memory_bytes)
    return Response(status_code=204)


async def _limit(call: Call, memory_bytes: int) -> None:
    change = BoxChange(limits=PartialLimits(memory_bytes=memory_bytes))
    await boxes.update(call.boxes, call.path("name"), change)


_PATH = "/boxes/{name}/policy/resources"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path=_PATH, name="get_resources", summary="Tell a box's limit of memory",
        handler=find, scope="read", answer=wire.Resources, errors=(404,),
    ),
    Operation(
        method="POST", path=_PATH, name="set_resources", summary="Change a box's limit of memory",
        handler=change, scope="write", body=wire.Resources, status=204, errors=(404, 409, 503),
    ),
    Operation(
        method="DELETE", path=_PATH, name="reset_resources",
        summary="Give a box the default limit of memory", handler=forget, scope="write", status=204,
        errors=(404, 409, 503),
    ),
)  # fmt: skip
