"""Services kept running, on a simulated machine: one at a time, in order, through sleep and crashes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from skerry import boxes, services
from skerry.base import Conflict, Invalid
from skerry.boxes import Boxes, CreateSpec
from skerry.host.seam import Machine
from skerry.services import Services, ServiceSpec, store
from skerry.testing import House
from skerry.testing.machine import SimulatedMachine, World

SLEEP, FAIL = ["sleep", "9"], ["sh", "-c", "exit 3"]
Story = Callable[[Services, Boxes], Awaitable[None]]


def tell(folder: Path, story: Story) -> None:
    """Run a story in a house with one box called dev, whose services are kept."""
    house = House(folder)

    async def whole() -> None:
        async with house.open() as b:
            await boxes.build_image(b, "base", "base", lambda _: None)
            await boxes.create(b, CreateSpec(name="dev"))
            kept = begun(b)
            async with asyncio.timeout(20):
                await story(kept, b)
            await services.close(kept)

    asyncio.run(whole())


def begun(b: Boxes) -> Services:
    kept = Services(boxes=b, log_bytes_max=1 << 20, log_files_max=3)
    services.begin(kept)
    return kept


def world(b: Boxes) -> World:
    assert isinstance(b.machine, SimulatedMachine)
    return b.machine.world


def spec(argv: list[str], *needs: str, port: int | None = None) -> ServiceSpec:
    return ServiceSpec(argv=argv, needs=needs, http_port=port)


def status(kept: Services, name: str) -> str:
    return services.find(kept, "dev", name)[1].status


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def running(b: Boxes) -> list[str]:
    """Return the second words of what runs in dev."""
    states = await b.machine.sessions(b.find("dev").box_id)
    return sorted(s.argv[1].decode() for s in states if s.exit_code is None)


def test_two_who_put_a_service_at_once_leave_what_is_written_running(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "web", spec(["sleep", "0"]))
        both = [services.put(kept, "dev", "web", spec(["sleep", word])) for word in "12"]
        await asyncio.gather(*both)
        await until(lambda: status(kept, "web") == "running")

        written = services.find(kept, "dev", "web")[0].spec.argv[1]
        assert await running(b) == [written]

    tell(tmp_path, story)


def test_of_two_services_with_a_port_put_at_once_one_is_refused(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        both = [services.put(kept, "dev", name, spec(SLEEP, port=80)) for name in ("a", "b")]
        refused = await asyncio.gather(*both, return_exceptions=True)

        assert [type(each) for each in refused if each is not True] == [Conflict]
        assert len(kept.of_box(b.find("dev").box_id)) == 1

    tell(tmp_path, story)


def test_a_service_that_needs_a_deleted_one_keeps_no_other_from_starting(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "db", spec(SLEEP))
        await services.put(kept, "dev", "web", spec(SLEEP, "db"))
        await services.delete(kept, "dev", "db")

        await services.put(kept, "dev", "other", spec(SLEEP))
        await until(lambda: status(kept, "other") == "running")
        with pytest.raises(Invalid, match="web needs 'db'"):
            await services.start(kept, "dev", "web")

    tell(tmp_path, story)


def test_a_need_that_was_stopped_by_hand_is_not_waited_for(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "db", spec(SLEEP, port=80))
        await services.put(kept, "dev", "web", spec(SLEEP, "db"))
        assert status(kept, "web") == "starting", "it waits"
        await services.stop(kept, "dev", "db")
        await until(lambda: status(kept, "web") == "running")

    tell(tmp_path, story)


def test_a_need_is_waited_for_again_after_each_start_of_the_box(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        world(b).listening.add(80)
        await services.put(kept, "dev", "db", spec(["sleep", "db"], port=80))
        await services.put(kept, "dev", "web", spec(["sleep", "web"], "db"))
        await until(lambda: status(kept, "web") == "running")
        for _ in range(2):
            world(b).listening.discard(80)
            await boxes.stop(b, "dev")
            await boxes.start(b, "dev")
            while await running(b) != ["db"]:
                await asyncio.sleep(0)
            # What is written next is written after all that web could have asked for.
            await b.database.write(lambda _: None)
            assert (await running(b), status(kept, "web")) == (["db"], "starting")
            world(b).listening.add(80)
            await until(lambda: status(kept, "web") == "running")

    tell(tmp_path, story)


def test_nothing_starts_in_a_frozen_box_and_all_does_when_it_wakes(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "crash", spec(FAIL))
        await boxes.freeze(b, "dev", even_in_use=True)
        await until(lambda: status(kept, "crash") == "failed")
        for _ in range(100):
            await asyncio.sleep(0)
        count = services.find(kept, "dev", "crash")[1].restart_count
        for _ in range(100):
            await asyncio.sleep(0)
        assert services.find(kept, "dev", "crash")[1].restart_count == count
        await boxes.start(b, "dev")
        await until(lambda: services.find(kept, "dev", "crash")[1].restart_count > count + 2)

    tell(tmp_path, story)


def test_what_was_to_stop_when_a_daemon_died_is_stopped_by_the_next(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "web", spec(SLEEP))
        await until(lambda: status(kept, "web") == "running")
        await services.close(kept)
        box_id = b.find("dev").box_id
        await b.database.write(lambda c: store.set_wanted(c, box_id, "web", wanted=False))

        after = begun(b)
        while await running(b):
            await asyncio.sleep(0)
        assert status(after, "web") == "stopped"
        await services.close(after)

    tell(tmp_path, story)


def test_a_stop_goes_on_though_who_asked_hangs_up(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "web", spec(SLEEP))
        await until(lambda: status(kept, "web") == "running")
        asked = asyncio.ensure_future(services.stop(kept, "dev", "web"))
        await asyncio.sleep(0)
        asked.cancel()
        await until(lambda: status(kept, "web") == "stopped")
        assert await running(b) == []

    tell(tmp_path, story)


def test_a_fork_that_was_stopped_at_once_has_the_services_and_runs_none(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        await services.put(kept, "dev", "web", spec(SLEEP))

        async def stop_it(_: object, fork: boxes.Box) -> None:
            await boxes.stop(b, fork.name)

        b.on_fork.insert(0, stop_it)
        await boxes.fork(b, "dev", None, ["copy"])

        assert [each.name for each, _ in services.list_services(kept, "copy")] == ["web"]
        await boxes.start(b, "copy")
        await until(lambda: services.find(kept, "copy", "web")[1].status == "running")

    tell(tmp_path, story)


def test_nothing_is_kept_in_memory_of_boxes_that_are_gone(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        for name, argv in (("web", SLEEP), ("crash", FAIL), ("stopped", SLEEP)):
            await services.put(kept, "dev", name, spec(argv))
        await services.stop(kept, "dev", "stopped")
        await boxes.destroy(b, "dev")
        await until(lambda: not kept.keepers)
        assert kept.thaws == {}

    tell(tmp_path, story)


def test_a_port_that_never_answers_is_asked_ever_more_seldom(tmp_path: Path) -> None:
    async def story(kept: Services, b: Boxes) -> None:
        asked_ns: list[int] = []
        b.machine = counting(b, asked_ns)
        await services.put(kept, "dev", "web", spec(SLEEP, port=80))
        await until(lambda: len(asked_ns) > 1000)
        assert asked_ns[1] - asked_ns[0] < 10**9
        assert asked_ns[-1] - asked_ns[-2] >= 10**9
        assert services.find(kept, "dev", "web")[1].error == "nothing answers at its port 80 yet"

    tell(tmp_path, story)


def counting(b: Boxes, asked_ns: list[int]) -> Machine:
    """Return the machine of b, which notes when it is asked whether a port answers."""

    class Counting(SimulatedMachine):
        async def answers(self, box_id: str, port: int, path: str | None) -> bool:
            asked_ns.append(b.clock.monotonic_ns())
            return False

    return Counting(world(b))
