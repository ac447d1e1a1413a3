"""Network policies of boxes: in force with the box, forks and the next daemon included."""

import asyncio
from pathlib import Path

from skerry import boxes
from skerry.boxes import CreateSpec
from skerry.host.policy_rules import NetworkPolicy, NetworkRule
from skerry.testing import House

CLOSED = NetworkPolicy((NetworkRule(domain="example.org", action="allow"),))


def test_a_policy_is_kept_copied_and_put_in_force_again(tmp_path: Path) -> None:
    house = House(tmp_path)
    in_force = house.world.policies

    async def first() -> None:
        async with house.open() as b:
            await boxes.build_image(b, "base", "base", lambda _: None)
            await boxes.create(b, CreateSpec(name="dev"))
            await boxes.set_policy(b, "dev", CLOSED)
            (fork,) = await boxes.fork(b, "dev", None, ["copy"])
            assert in_force[fork.box.box_id] == CLOSED

    async def second() -> None:
        async with house.open() as b:
            assert list(in_force.values()) == [CLOSED, CLOSED]
            assert boxes.find_policy(b, "copy") == CLOSED
            await boxes.set_policy(b, "dev", NetworkPolicy())
            assert list(in_force) == [b.find("copy").box_id]

    asyncio.run(first())
    in_force.clear()
    asyncio.run(second())


def test_a_policy_that_nobody_wrote_down_is_not_in_force_after_a_restart(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def first() -> str:
        async with house.open() as b:
            await boxes.build_image(b, "base", "base", lambda _: None)
            return (await boxes.create(b, CreateSpec(name="dev"))).box.box_id

    async def second() -> None:
        async with house.open():
            assert house.world.policies == {}

    house.world.policies[asyncio.run(first())] = CLOSED
    asyncio.run(second())
