"""Boxes and the meter: use is counted, and a budget that is used up puts a box to sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from skerry import boxes, metering
from skerry.base import LimitReached
from skerry.boxes import Boxes, CreateSpec, metered
from skerry.host.database import Database
from skerry.host.seam import ExecSpec
from skerry.testing import House

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS


def tell(folder: Path, story: Callable[[Boxes, House], Awaitable[None]]) -> None:
    """Run a story in a house with a meter and a box called dev, whose account is ci."""
    house = House(folder)

    async def whole() -> None:
        async with house.open() as b:
            database = Database.open(folder / "meter.db", {"metering": metering.MIGRATIONS})
            b.meter = metering.Meter(
                database=database, clock=house.clock,
                books=metering.price_books(metering.OwnMachine()),
                interval_ns=30 * SECOND_NS, keep_ns=90 * 24 * HOUR_NS,
            )  # fmt: skip
            await boxes.build_image(b, "base", "base", lambda _: None)
            view = await boxes.create(b, CreateSpec(name="dev", account="ci"))
            house.world.cpu_ns[view.box.box_id] = 0
            await boxes.settled(b, 10**10)
            await story(b, house)
            await boxes.settled(b, 10**10)
            database.close()

    asyncio.run(whole())


async def spend(b: Boxes, house: House, seconds: int) -> None:
    """Let dev use the CPU for so long, and the daemon look."""
    box = b.find("dev")
    house.world.cpu_ns[box.box_id] += seconds * SECOND_NS
    house.clock.turn(seconds * SECOND_NS)
    await metered.read(b, [box])
    await boxes.put_to_sleep(b)


async def budget(b: Boxes, scope: metering.Scope, target: str, seconds: int) -> None:
    assert b.meter is not None
    await metering.set_budget(
        b.meter, scope=scope, target=target, name="x", period="total",
        cap=seconds * 10**6, book=None,
    )  # fmt: skip


async def total_seconds(b: Boxes, house: House) -> float:
    assert b.meter is not None
    until_ns = house.clock.now_ns() + HOUR_NS
    (row,) = await metering.usage(b.meter, since_ns=0, until_ns=until_ns, by="box", account="ci")
    return (row.usage.cpu_us or 0) / 1e6


def test_what_a_box_uses_is_counted_over_sleep_and_stop(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await spend(b, house, 5)
        house.world.cpu_ns[b.find("dev").box_id] += 2 * SECOND_NS
        house.clock.turn(SECOND_NS)
        await boxes.stop(b, "dev")
        house.world.cpu_ns[b.find("dev").box_id] = 0
        house.clock.turn(SECOND_NS)
        await boxes.start(b, "dev")
        await boxes.settled(b, 10**10)
        await spend(b, house, 1)
        assert await total_seconds(b, house) == 8

    tell(tmp_path, story)


@pytest.mark.parametrize("scope", ["box", "account"])
def test_a_box_over_its_budget_sleeps_though_in_use_and_says_why(
    tmp_path: Path, scope: metering.Scope
) -> None:
    async def story(b: Boxes, house: House) -> None:
        target = b.find("dev").box_id if scope == "box" else "ci"
        await budget(b, scope, target, 10)
        link = await boxes.execute(b, "dev", ExecSpec(argv=[b"sleep", b"1000"]))
        await spend(b, house, 9)
        assert b.view(b.find("dev")).status == "running"
        await spend(b, house, 2)
        assert b.view(b.find("dev")).status == "warm"
        assert "budget" in ((await boxes.why(b, "dev")).budget or "")
        with pytest.raises(LimitReached) as caught:
            await boxes.execute(b, "dev", ExecSpec(argv=[b"true"]))
        assert caught.value.code == "budget_reached"
        await budget(b, scope, target, 1000)
        await (await boxes.execute(b, "dev", ExecSpec(argv=[b"true"]))).close()
        await link.close()

    tell(tmp_path, story)


def test_an_account_over_its_budget_makes_no_more_boxes(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await budget(b, "account", "ci", 1)
        await spend(b, house, 2)
        for make in (
            boxes.create(b, CreateSpec(name="more", account="ci")),
            boxes.fork(b, "dev", None, ["more"], None, "ci"),
        ):
            with pytest.raises(LimitReached):
                await make
        await boxes.create(b, CreateSpec(name="more", account="other"))

    tell(tmp_path, story)


def test_a_box_over_its_budget_can_be_restored_and_stays_asleep(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await boxes.checkpoint(b, "dev", "")
        await budget(b, "account", "ci", 1)
        await spend(b, house, 2)
        kept = await boxes.restore(b, "dev", "v1")
        assert b.view(b.find("dev")).status == "cold"
        assert kept.name in {each.name for each in boxes.list_checkpoints(b, "dev")}

    tell(tmp_path, story)
