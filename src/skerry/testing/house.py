"""Builders: a whole boxes domain over a simulated world, in one line."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from skerry import boxes
from skerry.host.database import Database
from skerry.host.seam import BoxLimits
from skerry.testing.clock import HandClock
from skerry.testing.machine import SimulatedMachine, World


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
        database = Database.open(self._path, {"boxes": boxes.MIGRATIONS})
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
