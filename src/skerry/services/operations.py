"""The verbs of services: put, delete, start, stop, restart, signal, list, logs."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from skerry import boxes as boxes_domain
from skerry.base import Conflict, LimitReached, NotFound
from skerry.boxes import Boxes
from skerry.services import store
from skerry.services.keepers import GRACE_NS, Services, end, keep, settle
from skerry.services.model import (
    SERVICES_MAX,
    Service,
    ServiceSpec,
    ServiceState,
    check_name,
    check_spec,
    with_needs,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Verb = Callable[Concatenate[Services, str, _P], Awaitable[_T]]


def _in_turn(verb: _Verb[_P, _T]) -> _Verb[_P, _T]:
    """Make verb one at a time for a box, and go on to its end although its caller hangs up."""

    @functools.wraps(verb)
    async def run(services: Services, box: str, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        @boxes_domain.whole
        async def work(boxes: Boxes) -> _T:
            async with services.turns.of(boxes.find(box).box_id):
                return await verb(services, box, *args, **kwargs)

        return await work(services.boxes)

    return run


def list_services(services: Services, box: str) -> list[tuple[Service, ServiceState]]:
    """Return the services of a box and what each does. Raises NotFound(box_not_found)."""
    found = services.of_box(services.boxes.find(box).box_id)
    return [(service, services.state_of(service)) for service in found]


def find(services: Services, box: str, name: str) -> tuple[Service, ServiceState]:
    """Return a service. Raises NotFound(box_not_found, service_not_found)."""
    for service, state in list_services(services, box):
        if service.name == name:
            return service, state
    box = services.boxes.find(box).name  # which may have been said by its id
    raise NotFound("service_not_found", f"{box} has no service {name[:80]!r}.")


@_in_turn
async def put(services: Services, box: str, name: str, spec: ServiceSpec) -> bool:
    """Give a box a service, in place of the one of that name, and start it.

    Returns False where it has that service already and it is to run: then it is started if it
    waits to be, and no more is done. Raises NotFound(box_not_found), Invalid(bad_name, bad_service,
    bad_needs), Conflict(http_port_taken), LimitReached(services_limit), and what waking raises.
    """
    box_id = services.boxes.find(box).box_id
    check_name(name)
    there = {service.name: service for service in services.of_box(box_id)}
    before = there.pop(name, None)
    check_spec(spec, name, {other: service.spec for other, service in there.items()})
    if before is not None and before.spec == spec and before.wanted:
        await _start(services, box, name)
        return False
    if len(there) >= SERVICES_MAX:
        raise LimitReached("services_limit", f"A box has at most {SERVICES_MAX} services.")
    if before is not None:
        await end(services, before, GRACE_NS)
    service = Service(
        box_id=box_id, name=name, spec=spec, wanted=True,
        created_at_ns=services.boxes.clock.now_ns(),
    )  # fmt: skip
    try:
        await services.boxes.database.write(lambda c: store.put(c, service))
    except BaseException:
        settle(services, box_id)  # the former one, which is what stays
        raise
    services.tell_changed(box_id)
    await _start(services, box, name)
    return True


@_in_turn
async def delete(services: Services, box: str, name: str) -> None:
    """End a service and forget it, its log too. Raises NotFound(box_not_found, service_not_found)."""
    service, _ = find(services, box, name)
    await _want(services, [service], wanted=False)
    await end(services, service, GRACE_NS)
    await services.boxes.machine.delete_service_log(service.box_id, name)
    await services.boxes.database.write(lambda c: store.delete(c, service.box_id, name))
    services.tell_changed(service.box_id)


@_in_turn
async def start(services: Services, box: str, name: str) -> None:
    """Start a service and what it needs, in a box that is woken; from now on it is to run.

    Raises NotFound(box_not_found, service_not_found), Invalid(bad_needs), and what waking raises.
    """
    await _start(services, box, name)


async def _start(services: Services, box: str, name: str) -> None:
    box_id = find(services, box, name)[0].box_id
    found = {service.name: service for service in services.of_box(box_id)}
    needed = with_needs({each: service.spec for each, service in found.items()}, name)
    wanted = [found[each] for each in needed]
    await _want(services, wanted, wanted=True)
    async with boxes_domain.awake(services.boxes, box, "service"):
        for each in wanted:
            keep(services, each)


@_in_turn
async def stop(services: Services, box: str, name: str, grace_ns: int = GRACE_NS) -> None:
    """End a service; it stays ended, whatever happens to its box, until it is started.

    Raises NotFound(box_not_found, service_not_found).
    """
    service, _ = find(services, box, name)
    await _want(services, [service], wanted=False)
    await end(services, service, grace_ns)


@_in_turn
async def restart(services: Services, box: str, name: str, grace_ns: int = GRACE_NS) -> None:
    """End a service and start it. Raises NotFound(box_not_found, service_not_found)."""
    service, _ = find(services, box, name)
    await end(services, service, grace_ns)
    await _start(services, box, name)


async def signal(services: Services, box: str, name: str, number: int) -> None:
    """Send a signal to a service's processes. Raises Conflict(service_not_running)."""
    service, state = find(services, box, name)
    if state.pid is None or service.session_id is None:
        raise Conflict("service_not_running", f"{name} is not running. Start it first.")
    link = await services.boxes.machine.attach_session(service.box_id, service.session_id)
    try:
        await link.signal(number)
    finally:
        await link.close()


def log(
    services: Services, box: str, name: str, *, lines: int, follow: bool
) -> AsyncIterator[bytes]:
    """Yield the last lines of a service's log, in pieces of whole lines; follow: and what comes.

    Raises NotFound(box_not_found).
    """
    box_id = services.boxes.find(box).box_id
    return services.boxes.machine.service_log(box_id, check_name(name), lines=lines, follow=follow)


async def _want(services: Services, which: list[Service], *, wanted: bool) -> None:
    for service in which:
        if service.wanted != wanted:
            await services.boxes.database.write(
                lambda c, s=service: store.set_wanted(c, s.box_id, s.name, wanted=wanted)
            )
