"""Calls about web addresses of boxes: who may open them, domains, share links."""

from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.base import Conflict, duration_ns, rfc3339
from skerry.base.share_links import PARAMETER
from skerry.boxes import BoxChange


def _shape(call: Call) -> wire.Url:
    view = call.boxes.view(call.boxes.find(call.path("name")))
    domains = boxes.domains_of(call.boxes, view.box.box_id)
    return wire.Url(url=view.url, access=view.box.access, domains=list(domains))


async def find(call: Call) -> Response:
    """Tell a box's web address."""
    return answer(_shape(call))


async def change(call: Call) -> Response:
    """Change who may open a box's web address, or its domains."""
    body, name = await call.body(wire.ChangeUrl), call.path("name")
    if body.domains is not None:
        await boxes.set_domains(call.boxes, name, body.domains)
    if body.access is not None:
        await boxes.update(call.boxes, name, BoxChange(access=body.access))
    return answer(_shape(call))


async def share(call: Call) -> Response:
    """Make a link that opens a private web address until it ends."""
    body, name = await call.body(wire.NewShare), call.path("name")
    lasts_ns = body.expire * 10**9 if isinstance(body.expire, int) else duration_ns(body.expire)
    text, end_at_ns = await boxes.share(call.boxes, name, lasts_ns)
    url = call.boxes.view(call.boxes.find(name)).url
    if url is None:
        raise Conflict("no_gateway", "This daemon has no gateway. Start it with --gateway-listen.")
    return answer(wire.Share(url=f"{url}/?{PARAMETER}={text}", expires_at=rfc3339(end_at_ns)), 201)


async def end_shares(call: Call) -> Response:
    """End all share links of a box."""
    await boxes.end_shares(call.boxes, call.path("name"))
    return Response(status_code=204)


_URL = "/boxes/{name}/url"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path=_URL, name="get_url", summary="Tell a box's web address",
        handler=find, scope="read", answer=wire.Url, errors=(404,),
    ),
    Operation(
        method="PUT", path=_URL, name="change_url",
        summary="Change who may open a box's web address, or its domains",
        handler=change, scope="write", body=wire.ChangeUrl, answer=wire.Url,
        errors=(404, 409, 429),
    ),
    Operation(
        method="POST", path=_URL + "/shares", name="share_url",
        summary="Make a link that opens a private web address until it ends",
        handler=share, scope="write", body=wire.NewShare, answer=wire.Share, status=201,
        errors=(404, 409),
    ),
    Operation(
        method="DELETE", path=_URL + "/shares", name="end_shares",
        summary="End all share links of a box", handler=end_shares, scope="write", status=204,
        errors=(404,),
    ),
)  # fmt: skip
