"""The daemon dies at every step of every verb; the next one must make everything true again."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from skerry import boxes
from skerry.boxes import BoxChange, Boxes, CreateSpec, PartialLimits
from skerry.boxes.model import Found, plan_repairs
from skerry.boxes.store import recorded
from skerry.boxes.upkeep import fill_ready
from skerry.host.policy_rules import NetworkPolicy, NetworkRule
from skerry.testing import Crash, House
from skerry.testing.contract import run

Verb: TypeAlias = Callable[[Boxes], Awaitable[object]]

CLOSED = NetworkPolicy((NetworkRule(domain="example.org", action="allow"),))
OWN = PartialLimits(cpus=1, memory_bytes=64 << 20, disk_bytes=1 << 30)
VERBS: dict[str, Verb] = {
    "create": lambda b: boxes.create(b, CreateSpec(name="new", limits=OWN)),
    "create from a ready box": lambda b: boxes.create(b, CreateSpec(name="new")),
    "create from a ready box with limits": lambda b: boxes.create(
        b, CreateSpec(name="new", limits=OWN)
    ),
    "change": lambda b: boxes.update(b, "dev", BoxChange(limits=OWN)),
    "set policy": lambda b: boxes.set_policy(b, "dev", CLOSED),
    "set domains": lambda b: boxes.set_domains(b, "dev", ["shop.example.com"]),
    "end shares": lambda b: boxes.end_shares(b, "dev"),
    "freeze": lambda b: boxes.freeze(b, "dev"),
    "start": lambda b: boxes.start(b, "cold"),
    "checkpoint": lambda b: boxes.checkpoint(b, "dev"),
    "delete checkpoint": lambda b: boxes.delete_checkpoint(b, "dev", "v1"),
    "restore": lambda b: boxes.restore(b, "dev", "v1"),
    "fork": lambda b: boxes.fork(b, "dev", "v1", ["f-0", "f-1"]),
    "fork running": lambda b: boxes.fork(b, "dev", None, ["g"]),
    "stop": lambda b: boxes.stop(b, "dev"),
    "destroy": lambda b: boxes.destroy(b, "dev"),
    "undo": lambda b: boxes.undo(b, "old"),
    "purge": lambda b: boxes.purge(b, "old"),
    "save image": lambda b: boxes.save_image(b, "dev", None, "base"),
    "delete image": lambda b: boxes.delete_image(b, "base"),
}
STEPS_MAX = 24


async def furnish(b: Boxes, *, with_ready: bool) -> None:
    await boxes.build_image(b, "base", "base", lambda _: None)
    view = await boxes.create(b, CreateSpec(name="dev"))
    await run(b.machine, "tee", "/note", stdin=b"one", box=view.box.box_id)
    await boxes.checkpoint(b, "dev")
    await run(b.machine, "tee", "/note", stdin=b"two", box=view.box.box_id)
    await boxes.create(b, CreateSpec(name="old"))
    await boxes.destroy(b, "old")
    await boxes.create(b, CreateSpec(name="cold"))
    await boxes.stop(b, "cold")
    if with_ready:
        b.rules = dataclasses.replace(b.rules, ready_boxes=1)
        await fill_ready(b)


async def check_truth(b: Boxes, house: House) -> None:
    """The invariants: what is listed is there, what is there is listed, and it all works."""
    machine = b.machine
    found = Found(await machine.disks(), set(await machine.running()), await machine.images())
    assert plan_repairs(b.database.read(recorded), found) == []
    assert not any(
        disk.read_only is False
        for data in house.world.boxes.values()
        for disk in data.checkpoints.values()
    )
    for view in boxes.page(b, "", 100):
        await boxes.start(b, view.box.name)
        limits = b.find(view.box.name).limits
        in_force = house.world.policies.get(view.box.box_id, NetworkPolicy())
        assert in_force == boxes.find_policy(b, view.box.name)
        assert house.world.limits[view.box.box_id] == limits
        assert house.world.disk_limits[view.box.box_id] == limits.disk_bytes
        output, code = await run(b.machine, "cat", "/etc/hostname", box=view.box.box_id)
        assert (output.decode(), code) == (view.box.name + "\n", 0)
    names = {view.box.name for view in boxes.page(b, "", 100)}
    if "dev" in names:
        found_notes: set[bytes] = {
            (await run(machine, "cat", "/note", box=b.find("dev").box_id))[0]
        }
        for data in house.world.boxes.values():
            found_notes |= {disk.files.get("/note", b"") for disk in data.checkpoints.values()}
        assert b"two" in found_notes, "the state that a restore replaces is never lost"


@pytest.mark.parametrize("step", range(1, STEPS_MAX + 1))
@pytest.mark.parametrize("name", VERBS)
def test_a_crash_at_any_step_is_repaired(tmp_path: Path, name: str, step: int) -> None:
    house = House(tmp_path)

    async def first() -> None:
        async with house.open() as b:
            await furnish(b, with_ready="ready" in name)
            house.world.crash_at = house.world.steps + step
            await VERBS[name](b)

    async def second() -> None:
        async with house.open() as b:
            await check_truth(b, house)

    with contextlib.suppress(Crash):
        asyncio.run(first())
    house.world.crash_at = None
    asyncio.run(second())


@pytest.mark.parametrize("name", VERBS)
def test_there_are_no_more_steps_than_are_tried(tmp_path: Path, name: str) -> None:
    house = House(tmp_path)

    async def story() -> int:
        async with house.open() as b:
            await furnish(b, with_ready="ready" in name)
            before = house.world.steps
            await VERBS[name](b)
            return house.world.steps - before

    assert asyncio.run(story()) <= STEPS_MAX
