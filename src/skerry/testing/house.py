"""Builders: a whole boxes domain over a simulated world, in one line."""

import hashlib
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from skerry import boxes, services
from skerry.host.database import Database
from skerry.host.seam import BoxLimits
from skerry.testing.clock import HandClock
from skerry.testing.machine import SimulatedMachine, World

_T = TypeVar("_T")


def a_rule_book() -> boxes.Rules:
    """Return the rules that tests live by."""
    return boxes.Rules(
        default_image="base",
        default_limits=BoxLimits(cpus=2, memory_bytes=1 << 30, disk_bytes=10 << 30, processes=512),
        boxes_max=1000,
        trash_keep_ns=3600 * 10**9,
        auto_checkpoints_max=3,
        checkpoints_max=100,
        ready_boxes=0,
        stop_grace_ns=10**9,
        sleep=boxes.SleepRule(30 * 10**9, 600 * 10**9),
        hold_max_ns=3600 * 10**9,
        memory_low_share=0.1,
    )


class MortalDatabase(Database):
    """A database whose writes are steps of the world too: a crash may come before each."""

    world: World

    async def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write, unless it is time to crash."""
        self.world.step()
        return await super().write(work)


class House:
    """A world with a database file in it; `open` starts a daemon's worth of domain on both."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self.world = World(str(folder))
        self.clock = HandClock()
        self.rules = a_rule_book()
        self._path = folder / "skerry.db"
        self._seed = seed
        self._drawn = 0

    def entropy(self, count: int) -> bytes:
        """Return bytes that look random and follow from the seed."""
        self._drawn += 1
        text = f"{self._seed}:{self._drawn}".encode()
        return hashlib.shake_128(text).digest(count)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[boxes.Boxes]:
        """Give a recovered domain; leaving closes the database and keeps the world."""
        database = MortalDatabase.open(
            self._path, {"boxes": boxes.MIGRATIONS, "services": services.MIGRATIONS}
        )
        database.world = self.world
        try:
            context = boxes.Boxes(
                machine=SimulatedMachine(self.world),
                database=database,
                clock=self.clock,
                entropy=self.entropy,
                rules=self.rules,
            )
            await boxes.recover(context)
            yield context
        finally:
            database.close()
