"""Boxes that fall asleep and wake, on a simulated machine and a clock turned by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from skerry import boxes
from skerry.base import Conflict, Invalid, LimitReached, NotFound
from skerry.boxes import BoxChange, Boxes, CreateSpec, PartialSleepRule
from skerry.host.seam import ExecSpec, Exit
from skerry.testing import House
from skerry.testing.machine import SimulatedMachine, World

SECOND_NS = 10**9


def tell(folder: Path, story: Callable[[Boxes, House], Awaitable[None]]) -> House:
    """Run a story in a house with one idle box called dev."""
    house = House(folder)

    async def whole() -> None:
        async with house.open() as b:
            await boxes.build_image(b, "base", "base", lambda _: None)
            view = await boxes.create(b, CreateSpec(name="dev"))
            house.world.cpu_ns[view.box.box_id] = 0
            await story(b, house)

    asyncio.run(whole())
    return house


def world(b: Boxes) -> World:
    assert isinstance(b.machine, SimulatedMachine)
    return b.machine.world


async def pass_time(b: Boxes, house: House, seconds: int) -> str:
    """Let time pass and the daemon look; return the status of dev."""
    house.clock.turn(seconds * SECOND_NS)
    await boxes.put_to_sleep(b)
    return status(b)


def status(b: Boxes) -> str:
    return b.view(b.find("dev")).status


async def run(b: Boxes, *argv: bytes) -> int:
    link = await boxes.execute(b, "dev", ExecSpec(argv=argv))
    try:
        (code,) = [event.code async for event in link.events() if isinstance(event, Exit)]
        return code
    finally:
        await link.close()


def test_an_idle_box_gets_warm_then_cold_and_wakes_when_used(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        assert await pass_time(b, house, 29) == "running"
        assert await pass_time(b, house, 1) == "warm"
        assert await run(b, b"true") == 0
        assert status(b) == "running"
        assert await pass_time(b, house, 30) == "warm"
        assert await pass_time(b, house, 599) == "warm"
        assert await pass_time(b, house, 1) == "cold"
        assert world(b).running == {}
        assert await run(b, b"true") == 0

    tell(tmp_path, story)


def test_an_attached_session_keeps_a_box_awake_until_it_is_left(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        link = await boxes.execute(b, "dev", ExecSpec(argv=[b"sleep", b"1000"]))
        assert await pass_time(b, house, 1000) == "running"
        assert (await boxes.why(b, "dev")).reasons == ["a session is attached"]
        await link.close()
        assert await pass_time(b, house, 29) == "running"
        assert await pass_time(b, house, 1) == "warm"

    tell(tmp_path, story)


def test_a_session_that_prints_to_nobody_keeps_its_box_awake(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        link = await boxes.execute(b, "dev", ExecSpec(argv=[b"sleep", b"1000"]))
        await link.close()
        house.clock.turn(40 * SECOND_NS)
        world(b).printed_at_ns = house.clock.now_ns() - 5 * SECOND_NS
        assert await pass_time(b, house, 0) == "running"
        assert (await boxes.why(b, "dev")).last_sign == "a session printed"
        assert await pass_time(b, house, 25) == "warm"

    tell(tmp_path, story)


def test_work_in_the_background_keeps_a_box_awake(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        (box_id,) = world(b).running
        await pass_time(b, house, 10)
        world(b).cpu_ns[box_id] += SECOND_NS
        assert await pass_time(b, house, 20) == "running"
        world(b).cpu_ns[box_id] += SECOND_NS // 100
        assert await pass_time(b, house, 29) == "running"
        assert await pass_time(b, house, 1) == "warm"

    tell(tmp_path, story)


def test_a_box_whose_work_cannot_be_seen_stays_awake(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        world(b).cpu_ns.clear()
        assert await pass_time(b, house, 1000) == "running"
        assert (await boxes.why(b, "dev")).last_sign == "its CPU use could not be read"

    tell(tmp_path, story)


def test_a_hold_keeps_a_box_awake_until_its_end(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await boxes.take_hold(b, "dev", "agent", 100 * SECOND_NS)
        assert await pass_time(b, house, 99) == "running"
        assert (await boxes.why(b, "dev")).reasons == ["it is held by 'agent'"]
        assert await pass_time(b, house, 1) == "warm"
        assert boxes.list_holds(b, "dev") == []

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("name", "seconds", "error"),
    [("agent", 10, Conflict), ("", 10, Invalid), ("x" * 65, 10, Invalid), ("x\n", 10, Invalid),
     ("x", 0, Invalid), ("x", -1, Invalid), ("x", 365 * 86400, Invalid)],
)  # fmt: skip
def test_a_hold_that_makes_no_sense_is_refused(
    tmp_path: Path, name: str, seconds: int, error: type[Exception]
) -> None:
    async def story(b: Boxes, house: House) -> None:
        await boxes.take_hold(b, "dev", "agent", SECOND_NS)
        with pytest.raises(error):
            await boxes.take_hold(b, "dev", name, seconds * SECOND_NS)

    tell(tmp_path, story)


def test_holds_are_renewed_released_counted_and_outlive_the_daemon(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await boxes.take_hold(b, "dev", "agent", SECOND_NS)
        renewed = await boxes.take_hold(b, "dev", "agent", 900 * SECOND_NS, renew=True)
        assert boxes.list_holds(b, "dev") == [renewed]
        for number in range(99):
            await boxes.take_hold(b, "dev", f"h{number}", 900 * SECOND_NS)
        with pytest.raises(LimitReached):
            await boxes.take_hold(b, "dev", "one more", SECOND_NS)
        for number in range(99):
            await boxes.release_hold(b, "dev", f"h{number}")
        with pytest.raises(NotFound):
            await boxes.release_hold(b, "dev", "h0")

    house = tell(tmp_path, story)

    async def later() -> list[Any]:
        async with house.open() as b:
            return boxes.list_holds(b, "dev")

    assert [hold.name for hold in asyncio.run(later())] == ["agent"]


def test_a_connection_that_another_door_holds_open_keeps_a_box_awake(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        asked: list[str] = []

        async def gate(box_id: str) -> bool:
            asked.append(box_id)
            return len(asked) > 1

        b.sleep_gates.append(gate)
        assert await pass_time(b, house, 30) == "running"
        assert await pass_time(b, house, 30) == "warm"

    tell(tmp_path, story)


def test_who_comes_while_a_box_is_being_frozen_is_served(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        for _ in range(20):
            coming = [boxes.freeze(b, "dev"), *(run(b, b"true") for _ in range(3))]
            _, *codes = await asyncio.gather(*coming)
            assert codes == [0, 0, 0]
            assert (status(b) == "warm") == bool(world(b).frozen)

    tell(tmp_path, story)


def test_one_wake_serves_all_who_wait(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await pass_time(b, house, 30)
        await pass_time(b, house, 600)
        before = world(b).steps
        assert await asyncio.gather(*(run(b, b"true") for _ in range(20))) == [0] * 20
        assert world(b).steps == before + 3  # identity, start and row, once

    tell(tmp_path, story)


def test_a_box_that_cannot_be_frozen_runs_on_and_says_why(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        world(b).freezes_fail = True
        assert await pass_time(b, house, 30) == "running"
        assert "could not be frozen" in (await boxes.why(b, "dev")).last_sign
        assert await run(b, b"true") == 0

    tell(tmp_path, story)


def test_a_box_has_its_own_times_and_may_never_sleep(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await boxes.update(b, "dev", BoxChange(sleep=PartialSleepRule(0)))
        assert await pass_time(b, house, 10**6) == "running"
        rule = PartialSleepRule(SECOND_NS, 2 * SECOND_NS)
        await boxes.update(b, "dev", BoxChange(sleep=rule))
        assert await pass_time(b, house, 1) == "warm"
        assert await pass_time(b, house, 2) == "cold"
        (fork,) = await boxes.fork(b, "dev", None, ["copy"])
        assert fork.box.sleep == rule

    tell(tmp_path, story)


def test_a_host_short_of_memory_stops_the_box_that_slept_longest(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        await pass_time(b, house, 30)
        world(b).memory_available_share = 0.05
        assert await pass_time(b, house, 1) == "cold"

    tell(tmp_path, story)


def test_a_box_that_sleeps_is_warm_to_the_next_daemon_too(tmp_path: Path) -> None:
    async def story(b: Boxes, house: House) -> None:
        assert await pass_time(b, house, 30) == "warm"

    house = tell(tmp_path, story)

    async def later() -> tuple[str, int, str]:
        async with house.open() as b:
            return status(b), await run(b, b"true"), status(b)

    assert asyncio.run(later()) == ("warm", 0, "running")


@pytest.mark.parametrize("verb", ["restore", "stop", "destroy", "checkpoint", "fork"])
def test_every_verb_works_on_a_box_that_sleeps(tmp_path: Path, verb: str) -> None:
    async def story(b: Boxes, house: House) -> None:
        await boxes.checkpoint(b, "dev", "")
        await pass_time(b, house, 30)
        match verb:
            case "restore":
                await boxes.restore(b, "dev", "v1")
                assert status(b) == "running"
            case "stop":
                await boxes.stop(b, "dev")
                assert status(b) == "cold"
            case "destroy":
                await boxes.destroy(b, "dev")
                assert boxes.counts(b) == {"running": 0, "warm": 0, "cold": 0}
            case "checkpoint":
                await boxes.checkpoint(b, "dev", "")
                assert status(b) == "warm"
            case _:
                await boxes.fork(b, "dev", None, ["copy"])
                assert boxes.counts(b) == {"running": 1, "warm": 1, "cold": 0}

    tell(tmp_path, story)
