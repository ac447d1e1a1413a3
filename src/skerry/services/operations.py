"""The verbs of services: put, delete, start, stop, restart, signal, list, logs."""

import asyncio
import contextlib
import dataclasses
import signal as signals
from collections.abc import AsyncIterator

from skerry import boxes as boxes_domain
from skerry.base import Conflict, LimitReached, NotFound
from skerry.services import store
from skerry.services.keepers import Services, keep
from skerry.services.model import (
    SERVICES_MAX,
    Service,
    ServiceSpec,
    ServiceState,
    check_name,
    check_spec,
    in_order,
)


def list_services(services: Services, box: str) -> list[tuple[Service, ServiceState]]:
    """Return the services of a box and what each does. Raises NotFound(box_not_found)."""
    found = services.of_box(services.boxes.find(box).box_id)
    return [(service, services.state_of(service)) for service in found]


def find(services: Services, box: str, name: str) -> tuple[Service, ServiceState]:
    """Return a service. Raises NotFound(box_not_found, service_not_found)."""
    for service, state in list_services(services, box):
        if service.name == name:
            return service, state
    raise NotFound("service_not_found", f"{box} has no service {name[:80]!r}.")


async def put(services: Services, box: str, name: str, spec: ServiceSpec) -> bool:
    """Give a box a service, in place of the one of that name, and start it.

    Returns False where it has that service already and it is to run: nothing is done then. Raises
    NotFound(box_not_found), Invalid(bad_name, bad_service, bad_needs), Conflict(http_port_taken),
    LimitReached(services_limit).
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
        await _end(services, before, _GRACE_NS)
    service = Service(
        box_id=box_id, name=name, spec=spec, wanted=True,
        created_at_ns=services.boxes.clock.now_ns(),
    )  # fmt: skip
    await services.boxes.database.write(lambda c: store.put(c, service))
    services.tell_changed(service.box_id)
    await _start(services, box, name)
    return True


_GRACE_NS = 10 * 10**9


async def delete(services: Services, box: str, name: str) -> None:
    """End a service and forget it; its log stays. Raises NotFound(service_not_found)."""
    service, _ = find(services, box, name)
    await _end(services, service, _GRACE_NS)
    services.keepers.pop((service.box_id, name), None)
    await services.boxes.database.write(lambda c: store.delete(c, service.box_id, name))
    services.tell_changed(service.box_id)


async def start(services: Services, box: str, name: str) -> None:
    """Start a service and what it needs, in a box that is woken; from now on it is to run.

    Raises NotFound(box_not_found, service_not_found), and what waking raises.
    """
    find(services, box, name)
    await _start(services, box, name)


async def _start(services: Services, box: str, name: str) -> None:
    found = {service.name: service for service, _ in list_services(services, box)}
    wanted = _with_needs(found, name)
    await _want(services, [found[each] for each in wanted], wanted=True)
    async with boxes_domain.awake(services.boxes, box, "service"):
        for each in wanted:
            keep(services, find(services, box, each)[0])


def _with_needs(found: dict[str, Service], name: str) -> list[str]:
    needed: set[str] = set()
    pending = [name]
    while pending:
        each = pending.pop()
        if each not in needed and each in found:
            needed.add(each)
            pending += found[each].spec.needs
    order = in_order({each: service.spec for each, service in found.items()})
    return [each for each in order if each in needed]


async def stop(services: Services, box: str, name: str, grace_ns: int = _GRACE_NS) -> None:
    """End a service; it stays ended, whatever happens to its box, until it is started.

    Raises NotFound(box_not_found, service_not_found).
    """
    service, _ = find(services, box, name)
    await _want(services, [service], wanted=False)
    await _end(services, service, grace_ns)


async def restart(services: Services, box: str, name: str, grace_ns: int = _GRACE_NS) -> None:
    """End a service and start it. Raises NotFound(box_not_found, service_not_found)."""
    service, _ = find(services, box, name)
    await _end(services, service, grace_ns)
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


async def _end(services: Services, service: Service, grace_ns: int) -> None:
    """End what a service's keeper keeps, and the keeper with it."""
    keeper = services.keepers.get((service.box_id, service.name))
    if keeper is None or keeper.task is None or keeper.task.done():
        return
    keeper.state.status = "stopping"
    current = next((s for s in services.of_box(service.box_id) if s.name == service.name), service)
    keeper.task.cancel()
    await asyncio.gather(keeper.task, return_exceptions=True)
    if current.session_id is not None:
        with contextlib.suppress(NotFound):
            await boxes_domain.end_session(
                services.boxes, services.boxes.find_id(service.box_id).name, current.session_id,
                signals.SIGTERM, grace_ns,
            )  # fmt: skip
    fresh = dataclasses.replace(keeper.state, status="stopped", pid=None, next_restart_at_ns=None)
    keeper.state = fresh
    keeper.task = None
