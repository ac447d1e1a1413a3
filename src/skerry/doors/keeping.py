"""Keeps a gateway running: starts one, takes over that of a former daemon, ends it with its own.

A gateway is not this daemon's child for long: when the daemon dies, it serves on, and the next
daemon finds it by its lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skerry import __version__
from skerry.base import NotAvailable
from skerry.doors.steering import Steering
from skerry.host import companion
from skerry.host.companion import Companion
from skerry.host.listener import forget_unix, listen_tcp, listen_unix

FLAG = "--gateway-listen"
_MODULE = "skerry.gateway"
_ARRIVAL_S_MAX = 10.0
_END_S_MAX = 12.0  # a little more than it gives to requests that are under way
_RESTART_S = (0.05, 5.0)
# A peer that is gone without a word is found within three minutes.
_TCP_OPTIONS = (
    (socket.TCP_KEEPIDLE, 60),
    (socket.TCP_KEEPINTVL, 20),
    (socket.TCP_KEEPCNT, 4),
    (socket.TCP_USER_TIMEOUT, 120_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a gateway lives. run: a directory of its own, for its socket and lock.

    listen: ADDRESS:PORT, of which no other process may be on the port. access_log: a file, or None for no log.
    """

    run: Path
    listen: str
    base_domain: str
    access_log: Path | None

    @property
    def lock(self) -> Path:
        """The file that a gateway that lives has locked."""
        return self.run / "gateway.lock"

    @property
    def words(self) -> Path:
        """The file that it writes its last words to."""
        return self.run / "gateway.err"


async def keep(
    steering: Steering, place: Place, ready: Callable[[], None], say: Callable[[str], None]
) -> None:
    """Have a gateway running until cancelled, then end it.

    ready: called once it listens for the first time. say: told what people should know.
    Raises Invalid(bad_setting), NotAvailable(address_in_use, gateway_failed).
    """
    place.run.mkdir(mode=0o700, exist_ok=True)
    control = place.run / "gateway.sock"
    listener = listen_unix(control)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(steering.serve(listener))
            try:
                await _keep_one(steering, place, control, ready, say)
            finally:
                serving.cancel()
    finally:
        forget_unix(control)


async def _keep_one(
    steering: Steering,
    place: Place,
    control: Path,
    ready: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    running, lock = await _take_over(steering, place)
    public = None if running else listen_tcp(place.listen, FLAG, _TCP_OPTIONS)
    is_ready = False
    delay_s, delay_s_max = _RESTART_S
    try:
        while True:
            if running is None:
                lock = companion.take_lock(place.lock) if lock is None else lock
                public = public or listen_tcp(place.listen, FLAG, _TCP_OPTIONS)
                assert lock is not None, "the one before has ended"
                running, lock = _start(place, control, public, lock), None
            if not is_ready:
                await _arrival(steering, running)
                ready()
                is_ready = True
            words = await running.ended()
            running.close()
            running = None
            steering.lost()
            say(f"skerry: the gateway ended ({words or 'without a word'}); another one is started")
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, delay_s_max)
    finally:
        if public is not None:
            public.close()
        if running is not None:
            await running.end(_END_S_MAX)
            running.close()
        if lock is not None:
            os.close(lock)


async def _take_over(steering: Steering, place: Place) -> tuple[Companion | None, int | None]:
    """Return the gateway of a former daemon if it is as this one's would be, else the lock."""
    lock = companion.take_lock(place.lock)
    if lock is not None:
        return None, lock
    steering.is_alone = False
    found = companion.find(place.lock, _MODULE, place.words)
    if found is None:
        raise NotAvailable(
            "gateway_failed",
            f"Somebody holds {place.lock}, who is no gateway. End whoever it is: `fuser` tells.",
        )
    with contextlib.suppress(NotAvailable):
        await _arrival(steering, found)
        hello = steering.hello_of(found.pid)
        if hello is not None and hello.version == __version__ and _fits(hello.listen, place):
            return found, None
    await found.end(_END_S_MAX)
    found.close()
    steering.lost()
    return None, None


def _fits(listen: str, place: Place) -> bool:
    return listen == place.listen


async def _arrival(steering: Steering, running: Companion) -> None:
    """Wait until a gateway that runs is connected. Raises NotAvailable(gateway_failed)."""
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
        raise NotAvailable("gateway_failed", f"The gateway does not start: {words}.")


def _start(place: Place, control: Path, public: socket.socket, lock: int) -> Companion:
    command = [
        sys.executable, "-m", _MODULE, "--listener", str(public.fileno()),
        "--control", str(control), "--base-domain", place.base_domain,
        "--version", __version__,
    ]  # fmt: skip
    if place.access_log is not None:
        command += ["--access-log", str(place.access_log)]
    return companion.start(command, lock, [public.fileno()], place.words)
