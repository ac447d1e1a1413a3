"""What a box may ask of us, over the socket that it alone can reach: of itself, and no more.

The table below is the whole of it. A call is answered by the function that answers the same call
from outside, and which box it is about is said by the socket and by nothing that is sent. Boxes go
by their ids here, which name none of those that come after them. What there is on purpose not:
changing the policy, deleting checkpoints, commands, files, and all that is about other boxes.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

import skerry
from skerry import boxes, wire
from skerry.accounts import Token
from skerry.api import checkpoints, policy, services, sleeping
from skerry.api.edge import answered
from skerry.api.errors import bad_method
from skerry.api.routing import Call, Handler, Services, answer
from skerry.api.streams import Progress, progress
from skerry.base import Invalid, NotFound, rfc3339

BOX = "skerry.box_id"
"""The key of a request's scope under which the listener says whose it is."""

# Longer than that a box is kept awake by those outside: what runs in it may be anything.
_HOLD_NS_MAX = 3600 * 10**9
_LOG_LINES_MAX = 1000
# Whoever is in the box: somebody without rights, should a call ask for any.
_SOMEBODY = Token("", "inside", (), b"", 0)


async def info(call: Call) -> Response:
    """Tell a box who it is."""
    view = call.boxes.view(call.boxes.find(call.path("name")))
    box = view.box
    limits = wire.Limits(
        box.limits.cpus, box.limits.memory_bytes, box.limits.disk_bytes, box.limits.processes
    )
    return answer(
        wire.InsideInfo(
            version=skerry.__version__,
            id=box.box_id,
            name=box.name,
            image=box.image,
            created_at=rfc3339(box.created_at_ns),
            url=view.url,
            access=box.access,
            limits=limits,
            sleep=sleeping.sleep_shape(view.sleep),
            sprite_name=box.name,
            sprite_id=box.box_id,
            sprite_url=view.url,
        )
    )


async def restore(call: Call) -> Response:
    """Put the box back to a checkpoint: it is told that it ends, and the rest happens without it."""
    name, which = call.path("name"), call.path("checkpoint")
    boxes.find_checkpoint(call.boxes, name, which)

    async def work(tell: Progress) -> tuple[str, dict[str, object]]:
        tell(f"Restoring {which}: this box is stopped now, and started again")
        kept = await boxes.restore(call.boxes, name, which)
        return f"Restored {which}; what it replaced is {kept.name}", {"kept": kept.name}

    response = progress(call.boxes.clock, work)
    response.status_code = 202  # the Sprites' own in-box socket says so
    return response


async def logs(call: Call) -> Response:
    """Tell the last lines of a service's log, and what comes; the whole of it the box sees as files.

    Raises Invalid(bad_query).
    """
    if call.query(services.Logs).lines > _LOG_LINES_MAX:
        raise Invalid(
            "bad_query",
            f"From inside, the last {_LOG_LINES_MAX} lines are told at most. Read "
            "/.skerry/logs/services/NAME.log for more.",
        )
    return await services.logs(call)


async def take(call: Call) -> Response:
    """Keep the box awake for a while."""
    body = await call.body(wire.TakeHold)
    held = await boxes.take_hold(call.boxes, call.path("name"), body.name, _hold_ns(body.expire))
    return answer(sleeping.hold_shape(held), 201)


async def renew(call: Call) -> Response:
    """Give a hold of the box a new end, or take it."""
    body = await call.body(wire.RenewHold)
    held = await boxes.take_hold(
        call.boxes, call.path("name"), call.path("hold"), _hold_ns(body.expire), renew=True
    )
    return answer(sleeping.hold_shape(held))


def _hold_ns(expire: str | int) -> int:
    asked_ns = sleeping.expire_ns(expire)
    if asked_ns > _HOLD_NS_MAX:
        raise Invalid(
            "bad_hold", "From inside, a box is held for 1h at most. Renew the hold while you work."
        )
    return asked_ns


_ONE_SERVICE = "/v1/services/{service}"
_ONE_CHECKPOINT = "/v1/checkpoints/{checkpoint}"
_ONE_TASK = "/v1/tasks/{hold}"
CALLS: Mapping[tuple[str, str], Handler] = {
    ("GET", "/info"): info,
    ("GET", "/v1/info"): info,
    ("GET", "/v1/why"): sleeping.why,
    ("GET", "/v1/services"): services.page,
    ("POST", "/v1/services/signal"): services.signal,
    ("GET", _ONE_SERVICE): services.find,
    ("PUT", _ONE_SERVICE): services.put,
    ("DELETE", _ONE_SERVICE): services.delete,
    ("POST", _ONE_SERVICE + "/start"): services.start,
    ("POST", _ONE_SERVICE + "/stop"): services.stop,
    ("POST", _ONE_SERVICE + "/restart"): services.restart,
    ("GET", _ONE_SERVICE + "/logs"): logs,
    ("POST", "/v1/checkpoint"): checkpoints.create,
    ("GET", "/v1/checkpoints"): checkpoints.page,
    ("GET", _ONE_CHECKPOINT): checkpoints.find,
    ("POST", _ONE_CHECKPOINT + "/restore"): restore,
    ("GET", "/policy/network"): policy.find,
    ("GET", "/v1/policy/network"): policy.find,
    ("GET", "/v1/policy/network/log"): policy.log,
    ("GET", "/v1/tasks"): sleeping.page,
    ("POST", "/v1/tasks"): take,
    ("GET", _ONE_TASK): sleeping.find,
    ("PUT", _ONE_TASK): renew,
    ("DELETE", _ONE_TASK): sleeping.release,
}


class Inside:
    """The application behind the sockets in all boxes."""

    def __init__(self, known: Services) -> None:
        by_path: dict[str, dict[str, Handler]] = {}
        for (method, path), handler in CALLS.items():
            by_path.setdefault(path, {})[method] = handler
        routes = [Route(path, _OnePath(known, handlers)) for path, handlers in by_path.items()]
        self._router = Router(routes, redirect_slashes=False, default=_unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; scope[BOX] says whose it is."""
        await answered(self._router, scope, receive, send)


class _OnePath:
    """All calls at one path."""

    def __init__(self, known: Services, handlers: Mapping[str, Handler]) -> None:
        self._known = known
        self._handlers = handlers
        self._methods = [*handlers, "HEAD"] if "GET" in handlers else [*handlers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the call of the request's method."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in self._handlers:
            raise bad_method(scope["method"], self._methods)
        scope["path_params"] = {**scope["path_params"], "name": scope[BOX]}
        call = Call(Request(scope, receive), self._known, _SOMEBODY)
        response = await self._handlers[method](call)
        await response(scope, receive, send)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    raise NotFound(
        "no_such_call", "There is no such call inside a box. /.skerry/docs/api.md lists them."
    )
