"""The gateway as a door: what it is started with, and how it is told what it must know."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skerry import __version__
from skerry.base import NotAvailable
from skerry.doors.keeping import Door, Watcher, keep
from skerry.doors.steering import Steering
from skerry.host.companion import Companion
from skerry.host.listener import forget_unix, listen_unix

_ARRIVAL_S_MAX = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a gateway lives. run: a directory of its own, for its socket and lock.

    listen: ADDRESS:PORT. access_log: a file, or None for no log.
    """

    run: Path
    listen: str
    base_domain: str
    access_log: Path | None


async def keep_gateway(
    steering: Steering, place: Place, ready: Callable[[], None], say: Callable[[str], None]
) -> None:
    """Have a gateway running until cancelled, then end it. ready and say: see `Watcher`.

    Raises Invalid(bad_setting), NotAvailable(address_in_use, door_failed).
    """
    place.run.mkdir(mode=0o700, exist_ok=True)
    control = place.run / "sock"
    # It knows what it is to know by the control socket; these are what it cannot change.
    options = ["--control", str(control), "--base-domain", place.base_domain]
    options += ["--version", __version__]
    if place.access_log is not None:
        options += ["--access-log", str(place.access_log)]
    door = Door(
        name="the gateway",
        module="skerry.gateway",
        flag="--gateway-listen",
        run=place.run,
        listen=place.listen,
        options=options,
    )

    async def arrival(running: Companion) -> None:
        await _arrival(steering, running)

    watcher = Watcher(arrival=arrival, ready=ready, lost=steering.lost, say=say)
    listener = listen_unix(control)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(steering.serve(listener))
            try:
                await keep(door, watcher)
            finally:
                serving.cancel()
    finally:
        forget_unix(control)


async def _arrival(steering: Steering, running: Companion) -> None:
    """Wait until a gateway that runs is connected. Raises NotAvailable(door_failed)."""
    steering.is_alone = False
    arrived = asyncio.ensure_future(steering.arrived.wait())
    ended = asyncio.ensure_future(running.ended())
    try:
        done, _ = await asyncio.wait(
            (arrived, ended), timeout=_ARRIVAL_S_MAX, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for each in (arrived, ended):
            each.cancel()
        await asyncio.gather(arrived, ended, return_exceptions=True)
    if arrived not in done:
        words = ended.result() if ended in done else "it does not answer"
        raise NotAvailable("door_failed", f"The gateway does not start: {words}.")
