"""The tasks that keep services running while their boxes are awake.

Nothing here is needed to go on: after a restart of the daemon `begin` finds the sessions that run
and joins them. A service that ends is started again after a delay that grows; one whose box was
stopped comes back with the box.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skerry.base import NotFound, SkerryError, new_id
from skerry.boxes import Box, Boxes
from skerry.host.seam import ExecSpec, Exit, LogSpec, Running, SessionLink
from skerry.services import store
from skerry.services.model import (
    Service,
    ServiceState,
    failures_after,
    in_order,
    restart_delay_ns,
)

_READY_EVERY_NS = 50 * 10**6
_READY_NS_MAX = 30 * 10**9  # then what needs it starts all the same
Key = tuple[str, str]


@dataclass(slots=True)
class Keeper:
    """One service that is being kept running, in one run of its box.

    ready: set when it answers, or was waited for enough. hurry: set to end a pause before a restart.
    """

    service: Service
    run: Running
    state: ServiceState = field(default_factory=ServiceState)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, kw_only=True)
class Services:
    """The context of every verb here. log_bytes_max, log_files_max: of each service.

    changed: called with the id of a box whose services are others now.
    """

    boxes: Boxes
    log_bytes_max: int
    log_files_max: int
    keepers: dict[Key, Keeper] = field(default_factory=dict[Key, Keeper])
    changed: list[Callable[[str], None]] = field(default_factory=list[Callable[[str], None]])

    def http_port(self, box_id: str) -> int | None:
        """Return the port at which a box answers HTTP, if one of its services says so."""
        return next((s.spec.http_port for s in self.of_box(box_id) if s.spec.http_port), None)

    def tell_changed(self, box_id: str) -> None:
        """Tell those who asked that the services of a box are others now."""
        for tell in self.changed:
            tell(box_id)

    def of_box(self, box_id: str) -> list[Service]:
        """Return the services of a box."""
        return self.boxes.database.read(lambda c: store.of_box(c, box_id))

    def state_of(self, service: Service) -> ServiceState:
        """Return what a service does now."""
        keeper = self.keepers.get((service.box_id, service.name))
        return keeper.state if keeper is not None else ServiceState()


def begin(services: Services) -> None:
    """Keep the services of the boxes that run, and from now on of those that start."""
    services.boxes.on_start.append(lambda box: settle(services, box.box_id))
    services.boxes.on_fork.append(lambda source, fork: _copy(services, source, fork))
    for box_id in list(services.boxes.running):
        settle(services, box_id)


async def close(services: Services) -> None:
    """Let go of all: the services run on."""
    tasks = [keeper.task for keeper in services.keepers.values() if keeper.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(services: Services, source: Box, fork: Box) -> None:
    await services.boxes.database.write(lambda c: store.copy(c, source.box_id, fork.box_id))
    services.tell_changed(fork.box_id)
    settle(services, fork.box_id)


def settle(services: Services, box_id: str) -> None:
    """Have a keeper for each service of a running box that is to run and has none."""
    found = {service.name: service for service in services.of_box(box_id)}
    try:
        names = in_order({name: service.spec for name, service in found.items()})
    except SkerryError:  # a need was deleted since: then in the order of names
        names = sorted(found)
    for name in names:
        if found[name].wanted:
            keep(services, found[name])


def keep(services: Services, service: Service) -> Keeper:
    """Return the keeper of a service of a running box, which is begun where there is none."""
    key = (service.box_id, service.name)
    run = services.boxes.running[service.box_id]
    keeper = services.keepers.get(key)
    if keeper is not None and keeper.task is not None and not keeper.task.done():
        if keeper.run == run:
            keeper.hurry.set()
            return keeper
        # It has not seen yet that its box ended. What needs this service must wait for the new one.
        keeper.task.cancel()
    count = keeper.state.restart_count if keeper is not None else 0
    state = ServiceState("starting", restart_count=count)
    keeper = services.keepers[key] = Keeper(service, run, state)
    keeper.task = asyncio.create_task(_keep(services, keeper))
    return keeper


async def _keep(services: Services, keeper: Keeper) -> None:
    """Run a service again and again, until its box ends or somebody stops it."""
    failures = 0
    state = keeper.state
    clock = services.boxes.clock
    await _wait_for_needs(services, keeper.service)
    while _same_run(services, keeper):
        began_ns = clock.monotonic_ns()
        try:
            await _run_once(services, keeper)
        except SkerryError as error:
            state.error = error.message
        keeper.ready.set()
        state.pid = None
        if not _same_run(services, keeper):
            break
        failures = failures_after(failures, clock.monotonic_ns() - began_ns)
        delay_ns = restart_delay_ns(failures)
        state.status, state.next_restart_at_ns = "failed", clock.now_ns() + delay_ns
        keeper.hurry.clear()
        await _pause(services, delay_ns, keeper.hurry)
        state.restart_count += _same_run(services, keeper)
    state.status, state.next_restart_at_ns = "stopped", None


def _same_run(services: Services, keeper: Keeper) -> bool:
    return services.boxes.running.get(keeper.service.box_id) == keeper.run


async def _pause(services: Services, delay_ns: int, hurry: asyncio.Event) -> None:
    waits = [
        asyncio.ensure_future(services.boxes.clock.sleep_ns(delay_ns)),
        asyncio.ensure_future(hurry.wait()),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


async def _run_once(services: Services, keeper: Keeper) -> None:
    """Start a service, or join the run that a former daemon began, and wait for its end."""
    state = keeper.state
    state.status, state.next_restart_at_ns = "starting", None
    link = await _join(services, keeper.service) or await _open(services, keeper)
    state.pid, state.started_at_ns = link.state.pid, link.state.created_at_ns
    state.error = state.exit_code = None
    readiness = asyncio.create_task(_become_ready(services, keeper))
    try:
        async for event in link.events():
            if isinstance(event, Exit):
                state.exit_code = event.code
                state.error = event.notice or f"it ended with exit code {event.code}"
    finally:
        readiness.cancel()
        await link.close()


async def _join(services: Services, service: Service) -> SessionLink | None:
    if service.session_id is None:
        return None
    try:
        link = await services.boxes.machine.attach_session(service.box_id, service.session_id)
    except NotFound:
        return None
    if link.state.exit_code is not None:
        await link.close()
        return None
    return link


async def _open(services: Services, keeper: Keeper) -> SessionLink:
    service, boxes = keeper.service, services.boxes
    session_id = new_id("ses", boxes.entropy(10))
    # First its name, so that a daemon after us finds what we began.
    await boxes.database.write(
        lambda c: store.set_session(c, service.box_id, service.name, session_id)
    )
    return await boxes.machine.open_session(service.box_id, session_id, _exec(services, service))


def _exec(services: Services, service: Service) -> ExecSpec:
    box = services.boxes.find_id(service.box_id)
    variables: Mapping[str, str] = {**box.environment, **service.spec.environment}
    return ExecSpec(
        argv=[_raw(word) for word in service.spec.argv],
        env={_raw(key): _raw(value) for key, value in variables.items()},
        directory=_raw(service.spec.directory) if service.spec.directory else None,
        user=service.spec.user,
        contain=True,
        disconnect_ns_max=None,
        log=LogSpec(service.name, services.log_bytes_max, services.log_files_max),
    )


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


async def _wait_for_needs(services: Services, service: Service) -> None:
    for need in service.spec.needs:
        keeper = services.keepers.get((service.box_id, need))
        if keeper is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_READY_NS_MAX / 1e9):
                    await keeper.ready.wait()


async def _become_ready(services: Services, keeper: Keeper) -> None:
    """Say that a service runs once it answers."""
    spec, boxes = keeper.service.spec, services.boxes
    begun_ns = boxes.clock.monotonic_ns()
    while spec.http_port is not None:
        if await boxes.machine.answers(keeper.service.box_id, spec.http_port, spec.ready_path):
            break
        if boxes.clock.monotonic_ns() - begun_ns > _READY_NS_MAX:
            keeper.state.error = f"nothing answers at its port {spec.http_port} yet"
            keeper.ready.set()
        await boxes.clock.sleep_ns(_READY_EVERY_NS)
    keeper.state.status, keeper.state.error = "running", None
    keeper.ready.set()
