"""Calls about sleep and wake: why a box is awake, and the holds that keep it so."""

from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.routing import Call, Operation, answer
from skerry.base import Invalid, duration_ns, rfc3339, written_duration
from skerry.boxes import Hold, PartialSleepRule

_NEVER = "never"


def sleep_rule(said: wire.Sleep | None) -> PartialSleepRule:
    """Return the rule that a body asks for. Raises Invalid(bad_duration)."""
    if said is None:
        return PartialSleepRule()
    return PartialSleepRule(_after_ns(said.warm_after), _after_ns(said.cold_after))


def _after_ns(text: str | None) -> int | None:
    if text is None:
        return None
    if text == _NEVER:
        return 0
    time_ns = duration_ns(text)
    if time_ns == 0:
        raise Invalid("bad_duration", "A box sleeps after at least a second, or never.")
    return time_ns


def _after(time_ns: int | None) -> str:
    return _NEVER if time_ns is None else written_duration(time_ns)


def sleep_shape(rule: boxes.SleepRule) -> wire.Sleep:
    """Return a rule as the wire has it."""
    return wire.Sleep(_after(rule.warm_after_ns), _after(rule.cold_after_ns))


async def why(call: Call) -> Response:
    """Tell why a box is awake, or when it will sleep."""
    told = await boxes.why(call.boxes, call.path("name"))
    return answer(
        wire.Why(
            status=told.status,
            reasons=list(told.reasons),
            last_sign=told.last_sign,
            budget=told.budget,
            idle_seconds=told.idle_ns / 1e9,
            warm_after=_after(told.rule.warm_after_ns),
            cold_after=_after(told.rule.cold_after_ns),
            next_status=told.next_status,
            change_seconds=None if told.change_in_ns is None else told.change_in_ns / 1e9,
        )
    )


def hold_shape(hold: Hold) -> wire.Hold:
    """Return a hold as the wire has it."""
    return wire.Hold(
        name=hold.name,
        created_at=rfc3339(hold.created_at_ns),
        expires_at=rfc3339(hold.expires_at_ns),
    )


def expire_ns(text: str | int) -> int:
    """Return how long a hold shall last: a duration, or seconds. Raises Invalid(bad_duration)."""
    return text * 10**9 if isinstance(text, int) else duration_ns(text)


async def page(call: Call) -> Response:
    """List the holds of a box."""
    return answer([hold_shape(hold) for hold in boxes.list_holds(call.boxes, call.path("name"))])


async def find(call: Call) -> Response:
    """Tell a hold."""
    return answer(hold_shape(boxes.find_hold(call.boxes, call.path("name"), call.path("hold"))))


async def take(call: Call) -> Response:
    """Keep a box awake for a while."""
    body = await call.body(wire.TakeHold)
    held = await boxes.take_hold(call.boxes, call.path("name"), body.name, expire_ns(body.expire))
    return answer(hold_shape(held), 201)


async def renew(call: Call) -> Response:
    """Give a hold a new end, or take it."""
    body = await call.body(wire.RenewHold)
    held = await boxes.take_hold(
        call.boxes, call.path("name"), call.path("hold"), expire_ns(body.expire), renew=True
    )
    return answer(hold_shape(held))


async def release(call: Call) -> Response:
    """End a hold."""
    await boxes.release_hold(call.boxes, call.path("name"), call.path("hold"))
    return Response(status_code=204)


_HOLDS = "/boxes/{name}/holds"
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path="/boxes/{name}/why", name="why_awake",
        summary="Tell why a box is awake, or when it will sleep", handler=why, scope="read",
        answer=wire.Why, errors=(404,),
    ),
    Operation(
        method="GET", path=_HOLDS, name="list_holds", summary="List the holds of a box",
        handler=page, scope="read", answer=list[wire.Hold], errors=(404,),
    ),
    Operation(
        method="POST", path=_HOLDS, name="take_hold", summary="Keep a box awake for a while",
        handler=take, scope="write", body=wire.TakeHold, answer=wire.Hold, status=201,
        errors=(404, 409, 429),
    ),
    Operation(
        method="GET", path=_HOLDS + "/{hold}", name="find_hold", summary="Tell a hold",
        handler=find, scope="read", answer=wire.Hold, errors=(404,),
    ),
    Operation(
        method="PUT", path=_HOLDS + "/{hold}", name="renew_hold",
        summary="Give a hold a new end, or take it", handler=renew, scope="write",
        body=wire.RenewHold, answer=wire.Hold, errors=(404, 429),
    ),
    Operation(
        method="DELETE", path=_HOLDS + "/{hold}", name="release_hold", summary="End a hold",
        handler=release, scope="write", status=204, errors=(404,),
    ),
)  # fmt: skip
