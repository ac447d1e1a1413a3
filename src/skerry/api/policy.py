"""Calls about network policies."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.base import rfc3339
from skerry.host.policy_rules import encode, parse


class Since(Struct):
    """since: nanoseconds since 1970, of which only later refusals are told."""

    since: Annotated[int, Meta(ge=0, le=1 << 62)] = 0


async def find(call: Call) -> Response:
    """Tell the network policy of a box."""
    return answer(encode(boxes.find_policy(call.boxes, call.path("name"))))


async def replace(call: Call) -> Response:
    """Replace the network policy of a box, at once."""
    body = await call.body(wire.Policy)
    await boxes.set_policy(call.boxes, call.path("name"), parse(msgspec.to_builtins(body)))
    return Response(status_code=204)


async def log(call: Call) -> Response:
    """Tell what the network policy of a box refused, the oldest first."""
    found = await boxes.refusals(call.boxes, call.path("name"), call.query(Since).since)
    return answer(
        [
            wire.RefusalShape(
                kind=each.kind,
                name=each.name,
                address=each.address,
                protocol=each.protocol,
                port=each.port,
                rule=each.rule,
                why=each.rule_text,
                count=each.count,
                first_at=rfc3339(each.first_at_ns),
                last_at=rfc3339(each.last_at_ns),
            )
            for each in found
        ]
    )


_PATH = "/boxes/{name}/policy/network"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path=_PATH, name="find_policy", summary="Tell the network policy of a box",
        handler=find, scope="read", answer=wire.Policy, errors=(404,),
    ),
    Operation(
        method="POST", path=_PATH, name="set_policy", summary="Replace the network policy of a box",
        handler=replace, scope="write", body=wire.Policy, status=204, errors=(404, 503),
    ),
    Operation(
        method="GET", path=_PATH + "/log", name="policy_log",
        summary="Tell what the network policy of a box refused", handler=log, scope="read",
        query=Since, answer=list[wire.RefusalShape], errors=(404,),
    ),
)  # fmt: skip
