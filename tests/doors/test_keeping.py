"""A door is kept running, taken over from a former daemon, and ended with its own: real processes."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from skerry.base import NotAvailable
from skerry.doors.keeping import Door, Watcher, keep, restart_delay_s
from skerry.host import companion
from skerry.host.companion import Companion
from tests.gateway.place import run


@dataclass
class Seen:
    """What a watcher has seen: the doors that came, how many were lost, what was said."""

    pids: list[int] = field(default_factory=list[int])
    lost: int = 0
    said: list[str] = field(default_factory=list[str])
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def watcher(self) -> Watcher:
        async def arrival(running: Companion) -> None:
            self.pids.append(running.pid)

        def lose() -> None:
            self.lost += 1

        return Watcher(arrival=arrival, ready=self.ready.set, lost=lose, say=self.said.append)


def a_door(folder: Path, *options: str) -> Door:
    return Door(
        name="the idler", module="tests.doors.idler", flag="--idle", run=folder,
        listen="127.0.0.1:0", options=options,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let doors find the idler, which is no part of the program."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def kept(door: Door, tell: Callable[[Seen], Awaitable[None]]) -> Seen:
    """Keep a door while a test tells its story; return what was seen, once all is ended."""

    async def story() -> Seen:
        seen = Seen()
        keeping = asyncio.create_task(keep(door, seen.watcher()))
        await seen.ready.wait()
        await tell(seen)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        return seen

    return run(story())


def lives(door: Door) -> bool:
    lock = companion.take_lock(door.lock)
    if lock is not None:
        os.close(lock)
    return lock is None


def test_who_comes_before_a_door_lets_in_waits_for_it(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    door = replace(a_door(tmp_path), listen=f"127.0.0.1:{address[1]}")

    async def knock(_seen: Seen) -> None:
        socket.create_connection(address, timeout=20).close()

    kept(door, knock)


async def nothing(_seen: Seen) -> None:
    """Let it be."""


def left_behind(door: Door) -> int:
    """Start a door as a daemon that died would have left it; return its process id."""
    lock = companion.take_lock(door.lock)
    assert lock is not None
    made = companion.start((*door.command, "9"), lock, [], door.words)
    made.close()
    return made.pid


def test_a_door_ends_with_its_daemon(tmp_path: Path) -> None:
    door = a_door(tmp_path)

    async def tell(_seen: Seen) -> None:
        assert lives(door)

    seen = kept(door, tell)
    assert not lives(door)
    assert seen.said == []


def test_one_that_dies_is_replaced(tmp_path: Path) -> None:
    door = a_door(tmp_path)

    async def tell(seen: Seen) -> None:
        os.kill(seen.pids[0], signal.SIGKILL)
        while not seen.said or not lives(door):
            await asyncio.sleep(0)

    seen = kept(door, tell)
    assert seen.lost == 1
    assert "the idler ended" in seen.said[0]


def test_one_that_dies_young_is_replaced_ever_later_and_another_at_once() -> None:
    delays_s = [0.0]
    for _ in range(9):
        delays_s.append(restart_delay_s(delays_s[-1], lived_s=0.5))

    assert delays_s[1:4] == [0.05, 0.1, 0.2]
    assert delays_s[-1] == 5
    assert restart_delay_s(delays_s[-1], lived_s=3600) == 0.05


def test_one_that_a_former_daemon_left_is_taken_over(tmp_path: Path) -> None:
    door = a_door(tmp_path, "--base", "x")
    pid = left_behind(door)

    seen = kept(door, nothing)
    assert set(seen.pids) == {pid}
    assert not lives(door)


def test_one_that_was_started_otherwise_is_replaced(tmp_path: Path) -> None:
    pid = left_behind(a_door(tmp_path, "--base", "x"))

    seen = kept(a_door(tmp_path, "--base", "y"), nothing)
    assert seen.lost == 1
    assert seen.pids != [pid]


def test_a_lock_that_somebody_else_holds_is_said(tmp_path: Path) -> None:
    door = a_door(tmp_path)
    lock = companion.take_lock(door.lock)
    assert lock is not None
    try:
        with pytest.raises(NotAvailable) as caught:
            run(keep(door, Seen().watcher()))
        assert caught.value.code == "door_failed"
    finally:
        os.close(lock)
