"""The tasks that keep services running while their boxes are awake.

Nothing here is needed to go on: after a restart of the daemon `begin` finds the sessions that run
and joins them. A service that ends is started again after a delay that grows; one whose box was
stopped comes back with the box.
"""

import asyncio
import contextlib
import signal as signals
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from skerry import boxes as boxes_domain
from skerry.base import NotFound, SkerryError, new_id
from skerry.boxes import Box, Boxes, Turns
from skerry.host.seam import ExecSpec, Exit, LogSpec, Running, SessionLink
from skerry.services import store
from skerry.services.model import Service, ServiceState, failures_after, restart_delay_ns

GRACE_NS = 10 * 10**9
_READY_EVERY_NS = 50 * 10**6
_READY_NS_MAX = 30 * 10**9  # then what needs it starts all the same, and it is asked more seldom
_READY_LATE_EVERY_NS = 5 * 10**9
Key = tuple[str, str]


@dataclass(slots=True)
class Keeper:
    """One service that is being kept running, in one run of its box.

    ready: set when it answers, or was waited for enough. hurry: set to end a pause before a restart.
    """

    service: Service
    run: Running
    state: ServiceState = field(default_factory=lambda: ServiceState("starting"))
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] = field(init=False)


@dataclass(slots=True, kw_only=True)
class Services:
    """The context of every verb here. log_bytes_max, log_files_max: of each service.

    turns: of the services of a box, by its id. thaws: set at the next change of a frozen box.
    changed: called with the id of a box whose services are others now.
    """

    boxes: Boxes
    log_bytes_max: int
    log_files_max: int
    keepers: dict[Key, Keeper] = field(default_factory=dict[Key, Keeper])
    turns: Turns = field(default_factory=Turns)
    thaws: dict[Hashable, asyncio.Event] = field(default_factory=dict[Hashable, asyncio.Event])
    endings: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
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

    async def until_awake(self, box_id: str) -> None:
        """Return when a box is not frozen; until somebody else wakes it nothing is done."""
        while self.boxes.status(box_id) == "warm":
            await self.thaws.setdefault(box_id, asyncio.Event()).wait()

    def note_turn(self, box_id: Hashable) -> None:
        """Take note that a box may have changed."""
        changed = self.thaws.pop(box_id, None)
        if changed is not None:
            changed.set()


def begin(services: Services) -> None:
    """Keep the services of the boxes that run, and from now on of those that start."""
    boxes = services.boxes
    boxes.on_start.append(lambda box: settle(services, box.box_id))
    boxes.on_fork.append(lambda source, fork: _copy(services, source, fork))
    boxes.turns.ended.append(services.note_turn)
    for box_id in list(boxes.running):
        settle(services, box_id)
        for service in services.of_box(box_id):
            if not service.wanted and service.session_id is not None:
                task = asyncio.create_task(_finish_stop(services, service))
                services.endings.add(task)
                task.add_done_callback(services.endings.discard)


async def close(services: Services) -> None:
    """Let go of all: the services run on."""
    tasks = [keeper.task for keeper in services.keepers.values()]
    tasks += services.endings
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _finish_stop(services: Services, service: Service) -> None:
    """End what was to be stopped when the former daemon ended."""
    with contextlib.suppress(SkerryError):  # it is told when somebody stops it again
        await end(services, service, GRACE_NS)


async def _copy(services: Services, source: Box, fork: Box) -> None:
    await services.boxes.database.write(lambda c: store.copy(c, source.box_id, fork.box_id))
    services.tell_changed(fork.box_id)
    settle(services, fork.box_id)


def settle(services: Services, box_id: str) -> None:
    """Have a keeper for each service that is to run in a box, if that runs.

    In any order: each keeper waits for what its service needs.
    """
    if box_id in services.boxes.running:
        for service in services.of_box(box_id):
            if service.wanted:
                keep(services, service)


def keep(services: Services, service: Service) -> None:
    """Have a keeper for a service of a running box, which starts it soon."""
    key = (service.box_id, service.name)
    run = services.boxes.running[service.box_id]
    keeper = services.keepers.get(key)
    if keeper is not None and keeper.run == run and not keeper.task.done():
        keeper.hurry.set()
        return
    if keeper is not None:
        # It has not seen yet that its box ended. What needs this service must wait for the new one.
        keeper.task.cancel()
    keeper = services.keepers[key] = Keeper(service, run)
    keeper.task = asyncio.create_task(_keep(services, keeper))


async def end(services: Services, service: Service, grace_ns: int) -> None:
    """End a service's run, and its keeper with it; what was never begun or ended is as well.

    Raises Failed(session_not_ended), and what waking a frozen box raises.
    """
    key = (service.box_id, service.name)
    keeper = services.keepers.get(key)
    if keeper is not None:
        keeper.state.status = "stopping"
        keeper.task.cancel()
        await asyncio.gather(keeper.task, return_exceptions=True)
    try:
        with contextlib.suppress(NotFound):
            await _end_run(services, service, grace_ns)
    finally:
        if services.keepers.get(key) is keeper:
            services.keepers.pop(key, None)


async def _end_run(services: Services, service: Service, grace_ns: int) -> None:
    # Read again: its keeper may have begun another one.
    found = {each.name: each for each in services.of_box(service.box_id)}
    current = found.get(service.name, service)
    link = await _join(services, current)
    if link is not None:
        await link.close()
        box = services.boxes.find_id(service.box_id)
        await boxes_domain.end_session(
            services.boxes, box.name, link.state.session_id, signals.SIGTERM, grace_ns
        )


async def _keep(services: Services, keeper: Keeper) -> None:
    """Run a service again and again, until its box ends or somebody stops it."""
    key = (keeper.service.box_id, keeper.service.name)
    try:
        await _wait_for_needs(services, keeper.service)
        await _keep_running(services, keeper)
    finally:
        keeper.ready.set()
    if services.keepers.get(key) is keeper:
        del services.keepers[key]


async def _keep_running(services: Services, keeper: Keeper) -> None:
    failures = 0
    state, clock = keeper.state, services.boxes.clock
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
        # Nothing starts in a frozen box, and to try would only be one more failure.
        await services.until_awake(keeper.service.box_id)
        state.restart_count += _same_run(services, keeper)


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
    """Wait until what a service needs is ready, was waited for enough, or is not kept any more."""
    for need in service.spec.needs:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_NS_MAX / 1e9):
                while True:
                    keeper = services.keepers.get((service.box_id, need))
                    if keeper is None or keeper.ready.is_set():
                        break
                    await keeper.ready.wait()  # and then look again: another may have its place


async def _become_ready(services: Services, keeper: Keeper) -> None:
    """Say that a service runs once it answers."""
    service, boxes, every_ns = keeper.service, services.boxes, _READY_EVERY_NS
    begun_ns = boxes.clock.monotonic_ns()
    while service.spec.http_port is not None:
        await services.until_awake(service.box_id)
        port, path = service.spec.http_port, service.spec.ready_path
        if await boxes.machine.answers(service.box_id, port, path):
            break
        if boxes.clock.monotonic_ns() - begun_ns > _READY_NS_MAX:
            keeper.state.error = f"nothing answers at its port {port} yet"
            keeper.ready.set()
            every_ns = _READY_LATE_EVERY_NS
        await boxes.clock.sleep_ns(every_ns)
    keeper.state.status, keeper.state.error = "running", None
    keeper.ready.set()
