"""The daemon, put together: machine, domains and edge are built here, and the loops started.

The only place that knows every part. What each part does, it does not know.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
import uvloop

from skerry import accounts, api, boxes, doors, metering, services
from skerry.api import Services
from skerry.base import NANO, SkerryError
from skerry.config import Settings, objects_directory
from skerry.gateway import control
from skerry.host import checks
from skerry.host.clock import SystemClock, entropy
from skerry.host.daemon import hold_directory, hold_instance, prepare_process
from skerry.host.database import Database
from skerry.host.machine import LinuxMachine
from skerry.host.seam import BoxLimits, Machine
from skerry.host.slots import slots_of

DATABASE = "skerry.db"
SOCKET = "admin.sock"
# Where to reach what listens on all addresses.
_NEAREST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound to them here
_SETTLE_NS_MAX = 60 * 10**9  # the unit in packaging/ gives a stop twice that

Wrap = Callable[[Machine], Machine]


def run(settings: Settings, wrap: Wrap = lambda machine: machine) -> None:
    """Run the daemon until SIGTERM or SIGINT; its last loop turn leaves boxes and sessions alone.

    wrap: stands between domain and machine, for tests that end the daemon at a chosen step. Raises
    NotAvailable with what the machine lacks, Invalid(bad_setting).
    """
    prepare_process()
    uvloop.run(_serve(settings, wrap))


async def _serve(settings: Settings, wrap: Wrap) -> None:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.data.chmod(0o700)  # boxes' set-user-id programs lie below
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Its name becomes part of a path only after it was found to be one.
    slots_of(settings.instance, settings.network, settings.network_allow, settings.ids_base)
    with hold_directory(settings.data), hold_instance(settings.instance):
        async with _machine(settings) as machine, _domains(settings, wrap(machine)) as services:
            await _run_parts(settings, services, machine, stop)


async def _run_parts(
    settings: Settings, services: Services, machine: LinuxMachine, stop: asyncio.Event
) -> None:
    """Serve, with the loops beside it, until stop; then finish what has begun."""
    context = services.boxes
    public, private = api.build(services)
    loops = (
        boxes.keep_watch,
        boxes.empty_trash,
        boxes.keep_ready,
        boxes.keep_asleep,
        boxes.keep_metering,
    )
    async with _first_error(), asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop(context)) for loop in loops]
        tasks.append(group.create_task(machine.serve_names()))
        tasks.append(group.create_task(api.InsideDoors(services).run()))
        if settings.gateway_listen:
            tasks.append(await _start_gateway(group, settings, services))
        if settings.ssh_listen:
            tasks.append(await _start_ssh(group, settings))
        if settings.s3_listen:
            tasks.append(await _start_objects(group, settings))
        await api.serve(
            public,
            private,
            listen=settings.listen,
            socket_path=settings.data / SOCKET,
            limits=services.limits,
            ready=lambda url: _say_ready(settings, url),
            stop=stop,
        )
        for task in tasks:
            task.cancel()
    if context.verbs_under_way:
        _say(f"skerry: waiting for {len(context.verbs_under_way)} pieces of work to end")
    if left := await boxes.settled(context, _SETTLE_NS_MAX):
        _say(f"skerry: {left} pieces of work are cut off; the next start repairs what they left")
    await boxes.discard_ready(context)


async def _start_gateway(
    group: asyncio.TaskGroup, settings: Settings, services: Services
) -> asyncio.Task[None]:
    """Return the task that keeps a gateway, once that listens."""
    key = await boxes.signing_key(services.boxes)
    steering = doors.Steering(
        services.boxes, services.services, services.accounts, terms_of(settings), key
    )
    place = doors.Place(
        run=settings.data / "gateway",
        listen=settings.gateway_listen,
        base_domain=settings.base_domain,
        access_log=Path(settings.gateway_log) if settings.gateway_log else None,
    )
    is_ready = asyncio.Event()
    task = group.create_task(doors.keep_gateway(steering, place, is_ready.set, _say))
    await is_ready.wait()
    return task


async def _start_ssh(group: asyncio.TaskGroup, settings: Settings) -> asyncio.Task[None]:
    """Return the task that keeps an SSH door, once that listens."""
    host, _, port = settings.listen.rpartition(":")
    api_url = f"http://{_NEAREST.get(host, host)}:{port}"
    is_ready = asyncio.Event()
    task = group.create_task(
        doors.keep_ssh(settings.data, settings.ssh_listen, api_url, is_ready.set, _say)
    )
    await is_ready.wait()
    return task


async def _start_objects(group: asyncio.TaskGroup, settings: Settings) -> asyncio.Task[None]:
    """Return the task that keeps the object store served, once its port listens."""
    shelf = doors.Shelf(
        run=settings.data / "s3",
        directory=objects_directory(str(settings.data)),
        listen=settings.s3_listen,
        domain=settings.s3_domain,
        region=settings.s3_region,
    )
    is_ready = asyncio.Event()
    task = group.create_task(doors.keep_objects(shelf, is_ready.set, _say))
    await is_ready.wait()
    return task


@contextlib.asynccontextmanager
async def _first_error() -> AsyncGenerator[None]:
    """Raise what a person can do something about by itself, and not as one of a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        told, _ = group.split(SkerryError)
        if told is None:
            raise
        while isinstance(told, BaseExceptionGroup):
            told = told.exceptions[0]
        raise told from None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the log, which stderr is


def _say_ready(settings: Settings, url: str) -> None:
    _say(f"skerry is ready: {url}, {settings.data / SOCKET}")


@contextlib.asynccontextmanager
async def _machine(settings: Settings) -> AsyncGenerator[LinuxMachine]:
    machine = await asyncio.to_thread(
        LinuxMachine.open,
        settings.data,
        instance=settings.instance,
        network=settings.network,
        network_allow=settings.network_allow,
        ids_base=settings.ids_base,
        pool_directory=Path(settings.pool_directory) if settings.pool_directory else None,
        pool_size_bytes=settings.pool_size_bytes or None,
        apt_mirror=settings.apt_mirror or None,
    )
    try:
        await machine.begin()
        yield machine
    finally:
        await machine.close()


@contextlib.asynccontextmanager
async def _domains(settings: Settings, machine: Machine) -> AsyncGenerator[Services]:
    clock = SystemClock()
    database = Database.open(
        settings.data / DATABASE,
        {
            "boxes": boxes.MIGRATIONS,
            "accounts": accounts.MIGRATIONS,
            "metering": metering.MIGRATIONS,
            "services": services.MIGRATIONS,
        },
    )
    meter = metering.Meter(
        database=database,
        clock=clock,
        books=metering.price_books(own_machine_of(settings)),
        interval_ns=settings.meter_interval_ns,
        keep_ns=settings.usage_keep_ns,
    )
    try:
        context = boxes.Boxes(
            machine=machine,
            database=database,
            clock=clock,
            entropy=entropy,
            rules=rules_of(settings),
            meter=meter,
        )
        await boxes.recover(context)
        kept = services.Services(
            boxes=context,
            log_bytes_max=settings.service_log_bytes,
            log_files_max=settings.service_log_files,
        )
        services.begin(kept)
        yield Services(
            boxes=context,
            accounts=accounts.Accounts(database=database, clock=clock, entropy=entropy),
            meter=meter,
            services=kept,
            limits=limits_of(settings),
            instance=settings.instance,
            doctor=lambda: [
                msgspec.to_builtins(check) for check in checks.check_machine(str(settings.data))
            ],
        )
        await services.close(kept)
    finally:
        database.close()


def own_machine_of(settings: Settings) -> metering.OwnMachine:
    """Return what this machine costs its owner, by the settings and by what it has."""
    return metering.OwnMachine(
        price_nanodollars=round(settings.machine_price * NANO),
        years=settings.machine_years,
        watts_idle=settings.machine_watts_idle,
        watts_busy=settings.machine_watts_busy,
        power_price_nanodollars_per_kwh=round(settings.power_price * NANO),
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        disk_bytes=shutil.disk_usage(settings.data).total,
    )


def rules_of(settings: Settings) -> boxes.Rules:
    """Return the rules of boxes that the settings say."""
    return boxes.Rules(
        default_image=settings.default_image,
        default_limits=BoxLimits(
            cpus=settings.default_cpus or float(os.cpu_count() or 1),
            memory_bytes=settings.default_memory_bytes,
            disk_bytes=settings.default_disk_bytes,
            processes=settings.default_processes,
        ),
        boxes_max=settings.boxes_max,
        trash_keep_ns=settings.trash_keep_ns,
        auto_checkpoints_max=settings.auto_checkpoints_max,
        checkpoints_max=settings.checkpoints_max,
        ready_boxes=settings.ready_boxes,
        stop_grace_ns=settings.stop_grace_ns,
        sleep=boxes.SleepRule(settings.warm_after_ns, settings.cold_after_ns),
        hold_max_ns=settings.hold_max_ns,
        memory_low_share=settings.memory_low_percent / 100,
        base_domain=settings.base_domain,
        url_form=url_form_of(settings),
    )


def url_form_of(settings: Settings) -> str | None:
    """Return what the web addresses of boxes look like, with {name} in them; None without."""
    if not settings.gateway_listen or settings.gateway_url:
        return settings.gateway_url or None
    port = settings.gateway_listen.rpartition(":")[2]
    return f"http://{{name}}.{settings.base_domain}" + (f":{port}" if port != "80" else "")


def terms_of(settings: Settings) -> doors.Terms:
    """Return what the settings say of the gateway."""
    return doors.Terms(
        trusted_proxies=settings.trusted_proxies,
        cookie_ns=settings.login_ns,
        limits=control.Limits(
            connections_max=settings.gateway_connections_max,
            wake_wait_ns=settings.wake_wait_ns,
            listen_wait_ns=settings.listen_wait_ns,
            answer_wait_ns=settings.answer_wait_ns,
            failed_logins_per_minute=settings.failed_logins_per_minute,
        ),
    )


def limits_of(settings: Settings) -> api.Limits:
    """Return the limits of the edge that the settings say."""
    return api.Limits(
        json_bytes_max=settings.json_bytes_max,
        file_bytes_max=settings.file_bytes_max,
        output_bytes_max=settings.output_bytes_max,
        header_bytes_max=settings.header_bytes_max,
        header_wait_ns=settings.header_wait_ns,
        idle_wait_ns=settings.idle_wait_ns,
        connections_max=settings.connections_max,
        failed_logins_per_minute=settings.failed_logins_per_minute,
    )
