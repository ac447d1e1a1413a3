"""Keeps a door running: starts one, takes over that of a former daemon, ends it with its own.

A door is not this daemon's child for long: when the daemon dies, it serves on, and the next daemon
finds it by its lock. What doors do, and how they are told, is not known here.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skerry.base import NotAvailable
from skerry.host import companion
from skerry.host.companion import Companion
from skerry.host.listener import listen_tcp

_END_S_MAX = 12.0  # a little more than doors give to what is under way
_WAITING_CONNECTIONS = 256  # that the kernel keeps until a door takes them
_RESTART_S = (0.05, 5.0)
_STEADY_S = 1.0  # who lived for so long does not die of how it was started
# A peer that is gone without a word is found within three minutes.
_TCP_OPTIONS = (
    (socket.TCP_KEEPIDLE, 60),
    (socket.TCP_KEEPINTVL, 20),
    (socket.TCP_KEEPCNT, 4),
    (socket.TCP_USER_TIMEOUT, 120_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A process that lets people in. name: for people; flag: the one that its address is set by.

    run: a directory of its own, for its lock and last words. listen: ADDRESS:PORT. options: its
    arguments; the descriptor of its listening socket comes after them, as `--listener`.
    """

    name: str
    module: str
    flag: str
    run: Path
    listen: str
    options: Sequence[str]

    @property
    def lock(self) -> Path:
        """The file that one that lives has locked."""
        return self.run / "lock"

    @property
    def words(self) -> Path:
        """The file that it writes its last words to."""
        return self.run / "err"

    @property
    def command(self) -> tuple[str, ...]:
        """What starts it, but for the descriptor at the end."""
        options = (*self.options, "--address", self.listen)
        return (sys.executable, "-P", "-m", self.module, *options, "--listener")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """Who follows the life of a door. arrival: returns once it is there, or raises NotAvailable.

    ready: called when it is there for the first time. lost: called when it has ended. say: told
    what people should know.
    """

    arrival: Callable[[Companion], Awaitable[None]]
    ready: Callable[[], None]
    lost: Callable[[], None]
    say: Callable[[str], None]


async def keep(door: Door, watcher: Watcher) -> None:
    """Have a door running until cancelled, then end it.

    Raises Invalid(bad_setting), NotAvailable(address_in_use, door_failed).
    """
    door.run.mkdir(mode=0o700, exist_ok=True)
    running = await _take_over(door, watcher)
    # Of one that was taken over too: should it die, its callers wait for the next.
    public = running.listener(int(running.command[-1])) if running is not None else None
    is_ready = False
    delay_s = 0.0
    clock = asyncio.get_running_loop().time
    try:
        while True:
            began_s = clock()
            if running is None:
                # Kept here too: while a door is replaced, who comes waits and loses nothing.
                # Listening from now on: before the door itself is ready too.
                if public is None:
                    public = listen_tcp(door.listen, door.flag, _TCP_OPTIONS)
                    public.listen(_WAITING_CONNECTIONS)
                running = _start(door, public)
            if not is_ready:
                await watcher.arrival(running)
                watcher.ready()
                is_ready = True
            words = await running.ended()
            running.close()
            running = None
            watcher.lost()
            watcher.say(
                f"skerry: {door.name} ended ({words or 'without a word'}); another one is started"
            )
            delay_s = restart_delay_s(delay_s, clock() - began_s)
            await asyncio.sleep(delay_s)
    finally:
        if public is not None:
            public.close()
        if running is not None:
            await running.end(_END_S_MAX)
            running.close()


def restart_delay_s(delay_s: float, lived_s: float) -> float:
    """Return after how long another door is started, of which the last one lived for so long.

    delay_s: the delay before that one; it doubles while they die young. In seconds.
    """
    least_s, most_s = _RESTART_S
    return least_s if lived_s >= _STEADY_S else min(max(2 * delay_s, least_s), most_s)


async def _take_over(door: Door, watcher: Watcher) -> Companion | None:
    """Return the door of a former daemon if it is as this one's would be; else end it."""
    lock = companion.take_lock(door.lock)
    if lock is not None:
        os.close(lock)
        return None
    found = companion.find(door.lock, door.module, door.words)
    if found is None:
        raise NotAvailable(
            "door_failed", f"Somebody holds {door.lock} who should not. `fuser` tells who it is."
        )
    if found.command[:-1] == door.command:
        try:
            await watcher.arrival(found)
        except NotAvailable:  # it does not answer: another one will
            pass
        else:
            return found
    await found.end(_END_S_MAX)
    found.close()
    watcher.lost()
    return None


def _start(door: Door, public: socket.socket) -> Companion:
    lock = companion.take_lock(door.lock)
    if lock is None:
        raise NotAvailable("door_failed", f"Somebody else holds {door.lock}. `fuser` tells who.")
    command = (*door.command, str(public.fileno()))
    return companion.start(command, lock, [public.fileno()], door.words)
