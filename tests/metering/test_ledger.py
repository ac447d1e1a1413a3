"""The ledger: crashes, clocks and late readings count nothing twice and lose one interval at most."""

import asyncio
import dataclasses
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry import metering
from skerry.base import Invalid
from skerry.host.database import Database
from skerry.metering import FOLDED_HOUR, HOUR_NS, Meter, OwnMachine, Reading, Usage, price_books
from skerry.metering.operations import _count
from skerry.testing import HandClock

Story: TypeAlias = Callable[[Meter, HandClock], Awaitable[None]]
INTERVAL_NS = 30 * 10**9
KEEP_NS = 48 * HOUR_NS
FOREVER_NS = 1 << 62


def a_meter(path: Path, clock: HandClock) -> Meter:
    return Meter(
        database=Database.open(path, {"metering": metering.MIGRATIONS}),
        clock=clock,
        books=price_books(OwnMachine()),
        interval_ns=INTERVAL_NS,
        keep_ns=KEEP_NS,
    )


def tell(folder: Path, story: Story) -> None:
    clock = HandClock()
    meter = a_meter(folder / "skerry.db", clock)
    try:
        asyncio.run(_run(story, meter, clock))
    finally:
        meter.database.close()


async def _run(story: Story, meter: Meter, clock: HandClock) -> None:
    await story(meter, clock)


def a_reading(clock: HandClock, box: str = "a", **told: Any) -> Reading:
    base = Reading(
        box_id=f"box_{box}", box_name=box, account="me", state="running",
        taken_ns=clock.monotonic_ns(), epoch="e1",
    )  # fmt: skip
    return dataclasses.replace(base, **told)


async def total(meter: Meter, **which: str) -> Usage:
    rows = await metering.usage(meter, since_ns=0, until_ns=FOREVER_NS, by="total", **which)
    return sum((row.usage for row in rows), Usage())


def test_use_is_told_by_hour_day_and_box(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        begun_ns = clock.now_ns()
        for number in range(3):
            for box in "ab":
                await metering.record(meter, [a_reading(clock, box, cpu_ns=10**9 * (number + 1))])
            clock.turn(3 * HOUR_NS)

        async def rows(by: Literal["hour", "day", "box"], **which: str) -> list[int | None]:
            found = await metering.usage(
                meter, since_ns=begun_ns, until_ns=clock.now_ns(), by=by, **which
            )
            return [row.usage.cpu_us for row in found]

        assert await rows("hour") == [2_000_000] * 3
        assert await rows("day") == [2_000_000, 4_000_000]
        assert await rows("box") == [3_000_000] * 2
        assert await rows("hour", box="a") == await rows("hour", box="box_b") == [1_000_000] * 3
        assert await rows("box", account="you") == []

    tell(tmp_path, story)


def test_a_reading_that_comes_late_counts_nothing(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        early = a_reading(clock, cpu_ns=1_000_000)
        clock.turn(1)
        await metering.record(meter, [a_reading(clock, cpu_ns=2_000_000)])
        await metering.record(meter, [early])
        await metering.record(meter, [early, a_reading(clock, cpu_ns=2_000_000)])

        assert (await total(meter)).cpu_us == 2000

    tell(tmp_path, story)


def test_a_box_that_is_gone_stays_on_the_bill_and_is_not_counted_again(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        last = a_reading(clock, cpu_ns=2_000_000)
        await metering.record(meter, [last])
        await metering.forget(meter, ["box_a"])
        clock.turn(1)
        await metering.record(meter, [dataclasses.replace(last, taken_ns=clock.monotonic_ns())])

        row = (await metering.usage(meter, since_ns=0, until_ns=FOREVER_NS, by="box"))[0]
        assert (row.box_name, row.account, row.usage.cpu_us) == ("a", "me", 2000)

    tell(tmp_path, story)


def test_a_start_forgets_the_boxes_that_are_not_there(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        await metering.record(meter, [a_reading(clock, box, cpu_ns=10**6) for box in "ab"])
        await metering.forget_others(meter, ["box_b"])
        clock.turn(1)
        await metering.record(meter, [a_reading(clock, box, cpu_ns=10**6) for box in "ab"])

        assert (await total(meter)).cpu_us == 2000

    tell(tmp_path, story)


def test_old_hours_are_added_up_and_their_sum_stays(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        for number in range(100):
            living = "ab" if number <= 20 else "a"
            readings = [a_reading(clock, box, cpu_ns=10**6 * (number + 1)) for box in living]
            await metering.record(meter, readings)
            clock.turn(HOUR_NS)
            if number == 20:
                await metering.forget(meter, ["box_b"])

        rows = await metering.usage(meter, since_ns=0, until_ns=FOREVER_NS, by="hour")
        assert rows[0].hour == FOLDED_HOUR
        assert 48 <= len(rows) <= 51
        assert (await total(meter)).cpu_us == 121_000
        assert (await total(meter, box="a")).cpu_us == 100_000

    tell(tmp_path, story)


def test_a_clock_that_is_years_ahead_for_a_moment_costs_no_history(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        for number in range(10):
            await metering.record(meter, [a_reading(clock, cpu_ns=10**6 * (number + 1))])
            clock.turn(HOUR_NS)
        taken_ns = clock.monotonic_ns()
        for jump_ns in (10**18, -(10**18)):
            clock.turn(jump_ns)
            taken_ns += 1
            await metering.record(meter, [a_reading(clock, cpu_ns=10**7, taken_ns=taken_ns)])

        rows = await metering.usage(meter, since_ns=1, until_ns=FOREVER_NS, by="hour")
        assert len(rows) >= 10
        assert (await total(meter)).metered_ms <= 11 * 30_000

    tell(tmp_path, story)


def test_cold_boxes_are_written_down_now_and_then_and_counted_whole(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        changes = list[int]()
        for _ in range(11):
            cold = a_reading(clock, state="cold", epoch=None, stored_bytes=1 << 20)
            await metering.record(meter, [cold])
            changes.append((await total(meter)).cold_ms)
            clock.turn(INTERVAL_NS)

        assert len(set(changes)) == 6
        assert (changes[-1], (await total(meter)).stored_kib_seconds) == (300_000, 300 << 10)

    tell(tmp_path, story)


def test_a_span_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        with pytest.raises(Invalid):
            await metering.usage(meter, since_ns=5, until_ns=5, by="box")

    tell(tmp_path, story)


class Life:
    """A box with counters of its own, read by daemons that crash; truth beside what was counted."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.path = folder / "skerry.db"
        self.meter = a_meter(self.path, self.clock)
        self.taken_ns = 0
        self.epoch = 1
        self.cpu_ns = 0
        self.true_ns = 0  # all that was ever used
        self.unread_ns = 0  # since the last reading that was committed
        self.lost_ns = 0  # what ended with an epoch before anybody read it

    def work(self, amount_us: int) -> None:
        for name in ("cpu_ns", "true_ns", "unread_ns"):
            setattr(self, name, getattr(self, name) + amount_us * 1000)

    def restart_box(self) -> None:
        self.epoch, self.cpu_ns = self.epoch + 1, 0
        self.lost_ns, self.unread_ns = self.lost_ns + self.unread_ns, 0

    def reading(self) -> Reading:
        self.taken_ns += 1
        return a_reading(
            self.clock, epoch=f"e{self.epoch}", cpu_ns=self.cpu_ns, taken_ns=self.taken_ns
        )

    def read(self) -> None:
        asyncio.run(metering.record(self.meter, [self.reading()]))
        self.unread_ns = 0

    def crash_while_writing(self) -> None:
        """End in the middle of the transaction: all was written, nothing committed."""
        reading = self.reading()

        def work(connection: sqlite3.Connection) -> None:
            _count(connection, self.meter, [reading], self.clock.now_ns())
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.meter.database._transaction(work)
        self.restart_daemon()

    def restart_daemon(self) -> None:
        self.meter.database.close()
        self.meter = a_meter(self.path, self.clock)
        self.taken_ns = 0  # the machine may have been started again too


_steps = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 10**6)),
    st.tuples(st.just("turn"), st.integers(-(10**18), 10**18)),
    st.tuples(st.sampled_from(["read", "crash", "restart", "box"]), st.just(0)),
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(_steps, max_size=25))
def test_whatever_happens_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    life = Life(tmp_path_factory.mktemp("ledger"))
    for step, amount in steps:
        match step:
            case "work":
                life.work(amount)
            case "turn":
                life.clock.turn(max(amount, HOUR_NS - life.clock.now_ns()))
            case "read":
                life.read()
            case "crash":
                life.crash_while_writing()
            case "restart":
                life.restart_daemon()
            case _:
                life.restart_box()
    life.read()

    assert (asyncio.run(total(life.meter)).cpu_us or 0) == (life.true_ns - life.lost_ns) // 1000
    life.meter.database.close()
