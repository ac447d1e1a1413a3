"""Puts the tables of all nouns together into the two edges: strangers' and the administrator's."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from skerry.api import (
    boxes,
    checkpoints,
    control,
    execs,
    files,
    images,
    keys,
    metering,
    policy,
    ports,
    proxying,
    published,
    resources,
    services,
    sleeping,
    terminals,
    urls,
    watching,
)
from skerry.api.edge import Edge
from skerry.api.logins import FailedLogins
from skerry.api.openapi import document
from skerry.api.routing import Call, Operation, Services

# The most frequent first: the router tries them in order.
_OPERATIONS = (
    *execs.OPERATIONS,
    *boxes.OPERATIONS,
    *files.OPERATIONS,
    *checkpoints.OPERATIONS,
    *images.OPERATIONS,
    *services.OPERATIONS,
    *sleeping.OPERATIONS,
    *urls.OPERATIONS,
    *published.OPERATIONS,
    *resources.OPERATIONS,
    *policy.OPERATIONS,
    *metering.OPERATIONS,
    *keys.OPERATIONS,
    *control.OPERATIONS,
)
SOCKETS = (*terminals.SOCKETS, *watching.SOCKETS, *proxying.SOCKETS, *ports.SOCKETS)


def operations() -> Sequence[Operation]:
    """Return all operations, the OpenAPI document's own among them."""
    text = msgspec.json.encode(document(_OPERATIONS))

    async def openapi(_call: Call) -> Response:
        return Response(text, media_type="application/json")

    own = Operation(
        method="GET", path="/openapi.json", name="get_openapi",
        summary="This document", handler=openapi, scope=None,
    )  # fmt: skip
    return (*_OPERATIONS, own)


def build(known: Services) -> tuple[Edge, Edge]:
    """Return the edge that asks for tokens, and the one whose every caller is the administrator."""
    table = operations()
    per_minute = known.limits.failed_logins_per_minute
    logins = FailedLogins(known.boxes.clock, per_minute)
    return (
        Edge(known, table, SOCKETS, logins, trusted=False),
        Edge(known, table, SOCKETS, logins, trusted=True),
    )
