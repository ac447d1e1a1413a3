"""Boxes over the simulated machine: what users do, and what they are told."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from skerry import boxes
from skerry.base import Conflict, Invalid, LimitReached, NotAvailable, NotFound
from skerry.boxes import Boxes, CreateSpec
from skerry.boxes.upkeep import fill_ready, look, purge_due
from skerry.host.seam import ExecSpec, Output
from skerry.testing import House, SimulatedMachine, World
from skerry.testing.contract import run

Story: TypeAlias = Callable[[Boxes], Awaitable[None]]


def tell(folder: Path, story: Story, house: House | None = None) -> House:
    house = house or House(folder)

    async def whole() -> None:
        async with house.open() as b:
            if not boxes.list_images(b):
                await boxes.build_image(b, "base", "base", lambda _: None)
            await story(b)

    asyncio.run(whole())
    return house


def world(b: Boxes) -> World:
    assert isinstance(b.machine, SimulatedMachine)
    return b.machine.world


async def write(b: Boxes, name: str, path: str, text: str) -> None:
    view = boxes.page(b, name, 1)[0]
    await run(b.machine, "tee", path, stdin=text.encode(), box=view.box.box_id)


async def read(b: Boxes, name: str, path: str) -> str:
    link = await boxes.execute(b, name, ExecSpec(argv=[b"cat", path.encode()]))
    return "".join([e.data.decode() async for e in link.events() if isinstance(e, Output)])


def test_a_box_is_created_running_and_listed(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        view = await boxes.create(b, CreateSpec(name="dev", labels=("x",)))

        assert (view.status, view.address) == ("running", "10.0.0.2")
        assert [v.box.name for v in boxes.page(b, "", 10)] == ["dev"]
        assert boxes.counts(b) == {"running": 1, "warm": 0, "cold": 0}

    tell(tmp_path, story)


def test_a_name_belongs_to_one_box(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        done = await asyncio.gather(
            *(boxes.create(b, CreateSpec(name="dev")) for _ in range(5)), return_exceptions=True
        )

        assert sum(isinstance(d, Conflict) and d.code == "name_taken" for d in done) == 4
        assert len(world(b).boxes) == 1

    tell(tmp_path, story)


def test_a_create_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        world(b).starts_fail = True
        with pytest.raises(NotAvailable):
            await boxes.create(b, CreateSpec(name="dev"))

        assert boxes.page(b, "", 10) == []

    house = tell(tmp_path, story)
    assert (house.world.boxes, house.world.running) == ({}, {})


def test_a_restore_brings_back_and_keeps_what_it_replaced(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        await write(b, "dev", "/note", "good")
        await boxes.checkpoint(b, "dev", "before")
        await write(b, "dev", "/note", "bad")
        kept = await boxes.restore(b, "dev", "v1")

        assert await read(b, "dev", "/note") == "good"
        assert (kept.name, kept.is_auto) == ("auto-2", True)
        await boxes.restore(b, "dev", "auto-2")
        assert await read(b, "dev", "/note") == "bad"

    tell(tmp_path, story)


def test_a_restore_whose_box_does_not_start_again_has_lost_nothing(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        await write(b, "dev", "/note", "good")
        await boxes.checkpoint(b, "dev")
        world(b).starts_fail = True
        with pytest.raises(NotAvailable):
            await boxes.restore(b, "dev", "v1")
        world(b).starts_fail = False

        assert [c.name for c in boxes.list_checkpoints(b, "dev")] == ["v1", "auto-2"]
        assert await read(b, "dev", "/note") == "good"

    tell(tmp_path, story)


def test_automatic_checkpoints_are_pruned(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        await boxes.checkpoint(b, "dev")
        for _ in range(5):
            await boxes.restore(b, "dev", "v1")

        names = [c.name for c in boxes.list_checkpoints(b, "dev")]
        assert names == ["v1", "auto-4", "auto-5", "auto-6"]

    tell(tmp_path, story)


def test_a_fork_has_the_disk_and_an_identity_of_its_own(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev", labels=("team",)))
        await write(b, "dev", "/note", "one")
        await boxes.checkpoint(b, "dev")
        await write(b, "dev", "/note", "two")
        forks = await boxes.fork(b, "dev", "v1", ["f-0", "f-1"]) + await boxes.fork(
            b, "dev", None, ["g"]
        )

        assert [await read(b, v.box.name, "/note") for v in forks] == ["one", "one", "two"]
        assert await read(b, "f-1", "/etc/hostname") == "f-1\n"
        ids = {await read(b, v.box.name, "/etc/machine-id") for v in forks}
        assert len(ids | {await read(b, "dev", "/etc/machine-id")}) == 4
        assert forks[0].box.forked_from == "dev@v1"
        assert forks[0].box.labels == ("team",)

    tell(tmp_path, story)


def test_forks_are_made_all_or_none(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        world(b).starts_fail = True
        with pytest.raises(NotAvailable):
            await boxes.fork(b, "dev", None, ["f-0", "f-1", "f-2"])

        assert [v.box.name for v in boxes.page(b, "", 10)] == ["dev"]
        assert len(b.slots) == 1

    tell(tmp_path, story)


def test_destroy_can_be_undone_until_its_time_is_up(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        await write(b, "dev", "/note", "kept")
        await boxes.destroy(b, "dev")
        assert boxes.page(b, "", 10) == []
        await boxes.create(b, CreateSpec(name="dev"))
        with pytest.raises(Conflict):
            await boxes.undo(b, "dev")
        await boxes.undo(b, "dev", "old-dev")
        assert await read(b, "old-dev", "/note") == "kept"

        await boxes.destroy(b, "old-dev")
        house.clock.turn(house.rules.trash_keep_ns)
        await purge_due(b)
        with pytest.raises(NotFound):
            await boxes.undo(b, "old-dev")

    tell(tmp_path, story, house)
    assert len(house.world.boxes) == 1


def test_an_exec_wakes_a_cold_box_and_one_that_died(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        await boxes.stop(b, "dev")
        assert boxes.page(b, "dev", 1)[0].status == "cold"
        assert await read(b, "dev", "/etc/hostname") == "dev\n"

        world(b).running.clear()
        assert await read(b, "dev", "/etc/hostname") == "dev\n"

        world(b).running.clear()
        await look(b)
        assert boxes.page(b, "dev", 1)[0].status == "cold"

    tell(tmp_path, story)


def test_a_ready_box_is_taken_by_the_next_create(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.rules = dataclasses.replace(house.rules, ready_boxes=1)

    async def story(b: Boxes) -> None:
        await fill_ready(b)
        ready = b.ready[0]
        assert boxes.page(b, "", 10) == []
        view = await boxes.create(b, CreateSpec(name="dev"))

        assert view.box.box_id == ready.box_id
        assert await read(b, "dev", "/etc/hostname") == "dev\n"
        assert world(b).hostnames[ready.box_id] == "dev"

    tell(tmp_path, story, house)


def test_a_new_daemon_adopts_what_runs(tmp_path: Path) -> None:
    async def first(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))

    async def second(b: Boxes) -> None:
        assert boxes.page(b, "", 10)[0].status == "running"
        other = await boxes.create(b, CreateSpec(name="other"))
        assert other.box.slot == 3

    house = tell(tmp_path, first)
    tell(tmp_path, second, house)


def test_there_are_only_so_many_boxes(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.rules = dataclasses.replace(house.rules, boxes_max=1)

    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec())
        with pytest.raises(LimitReached, match="at most 1"):
            await boxes.create(b, CreateSpec())

    tell(tmp_path, story, house)


def test_an_image_may_be_built_on_another_saved_replaced_and_deleted(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        steps: list[str] = []
        await boxes.build_image(b, "dev", "dev", steps.append)
        assert [i.name for i in boxes.list_images(b)] == ["base", "dev"]
        await boxes.create(b, CreateSpec(name="x", image="dev"))
        await write(b, "x", "/mine", "1")
        await boxes.save_image(b, "x", None, "mine")
        await boxes.save_image(b, "x", None, "mine")
        await boxes.create(b, CreateSpec(name="y", image="mine"))
        assert await read(b, "y", "/mine") == "1"
        await boxes.delete_image(b, "mine")
        assert len(world(b).images) == 2

    tell(tmp_path, story)


def test_the_variables_of_an_image_are_its_boxes_own(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.import_image(b, "theirs", "/a", lambda _: None)
        await boxes.create(b, CreateSpec(name="x", image="theirs", environment={"OWN": "1"}))
        await boxes.save_image(b, "x", None, "mine")
        await boxes.create(b, CreateSpec(name="y", image="mine", environment={"OWN": "2"}))
        found = {name: b.find(name).environment for name in ("x", "y")}
        assert found == {
            "x": {"IMPORTED": "/a", "OWN": "1"},
            "y": {"IMPORTED": "/a", "OWN": "2"},
        }

    tell(tmp_path, story)


def test_nothing_is_built_on_an_image_that_came_from_outside(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.import_image(b, "base", "/from/outside", lambda _: None)

        with pytest.raises(Conflict) as caught:
            await boxes.build_image(b, "dev", "dev", lambda _: None)
        assert caught.value.code == "parent_not_built"

    tell(tmp_path, story)


async def as_soon_as_it_is_there(verb: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await verb()
        except NotFound:
            await asyncio.sleep(0)
        else:
            return


def test_who_destroys_a_box_while_it_is_made_leaves_nothing_running(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await asyncio.gather(
            boxes.create(b, CreateSpec(name="dev")),
            as_soon_as_it_is_there(lambda: boxes.destroy(b, "dev")),
        )
        assert (world(b).running, b.running) == ({}, {})
        assert [box.name for box in boxes.trash(b)] == ["dev"]

    tell(tmp_path, story)


def test_who_starts_a_box_while_it_is_made_starts_it_once(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await asyncio.gather(
            boxes.create(b, CreateSpec(name="dev")),
            as_soon_as_it_is_there(lambda: boxes.start(b, "dev")),
        )
        assert world(b).running == b.running

    tell(tmp_path, story)


def test_a_refused_fork_gives_its_slots_back(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        await boxes.create(b, CreateSpec(name="dev"))
        before = set(b.slots)
        with pytest.raises(Invalid):
            await boxes.fork(b, "dev", None, ["a", "b"], ("\x07",))
        b.slots.update(range(3, 1999))
        with pytest.raises(LimitReached):
            await boxes.fork(b, "dev", None, ["a", "b", "c", "d"])
        b.slots.difference_update(range(3, 1999))
        assert b.slots == before

    tell(tmp_path, story)


def test_limits_that_the_machine_refuses_stay_as_they_were(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        view = await boxes.create(b, CreateSpec(name="dev"))
        world(b).limits_fail = True
        change = boxes.BoxChange(limits=boxes.PartialLimits(disk_bytes=1 << 30, memory_bytes=1))
        with pytest.raises(Conflict):
            await boxes.update(b, "dev", change)
        assert b.find("dev").limits == view.box.limits
        assert world(b).disk_limits[view.box.box_id] == view.box.limits.disk_bytes

    tell(tmp_path, story)


def test_a_ready_box_that_died_is_given_to_nobody(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        b.rules = dataclasses.replace(b.rules, ready_boxes=1)
        await fill_ready(b)
        world(b).running.clear()
        await look(b)
        await fill_ready(b)
        await boxes.create(b, CreateSpec(name="dev"))
        assert world(b).running == b.running

    tell(tmp_path, story)


def test_a_destroyed_box_that_did_not_end_is_ended_later(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        view = await boxes.create(b, CreateSpec(name="dev"))
        still = world(b).running[view.box.box_id]
        await boxes.destroy(b, "dev")
        world(b).running[view.box.box_id] = still
        await purge_due(b)
        assert world(b).running == {}

    tell(tmp_path, story)


def test_an_id_names_its_box_and_none_that_comes_after_it(tmp_path: Path) -> None:
    async def story(b: Boxes) -> None:
        first = (await boxes.create(b, CreateSpec("dev"))).box
        assert b.find(first.box_id) == b.find("dev")
        await boxes.destroy(b, "dev")
        await boxes.create(b, CreateSpec("dev"))
        with pytest.raises(NotFound):
            await boxes.stop(b, first.box_id)
        with pytest.raises(Invalid):
            await boxes.create(b, CreateSpec(first.box_id))

    tell(tmp_path, story)
