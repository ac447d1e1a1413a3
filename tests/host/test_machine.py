"""The contract of host.seam.Machine, on the real machine and on the simulated one."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from skerry.base import Invalid
from skerry.host.machine import LinuxMachine
from skerry.host.rtnetlink import RouteSocket
from skerry.host.seam import BoxLimits, BoxStart, Machine
from skerry.host.slots import slots_of
from skerry.testing import MachineContract, SimulatedMachine, World
from skerry.testing.contract import BOX, Given
from skerry.testing.small_disk import build_small_disk

LIMITS = BoxLimits(cpus=1, memory_bytes=1 << 28, disk_bytes=1 << 30, processes=256)


async def _with_box(machine: Machine, check: Callable[[Machine], Awaitable[None]]) -> None:
    await machine.clone_image("img_small", BOX, LIMITS.disk_bytes)
    await machine.give_identity(BOX, "contract", fresh=True)
    await machine.start(BoxStart(BOX, 2, "contract", LIMITS))
    try:
        await check(machine)
    finally:
        await machine.stop(BOX, 0)
        await machine.delete_disks(BOX)


class TestSimulated(MachineContract):
    @pytest.fixture
    def given(self, tmp_path: Path) -> Given:
        def run(check: Callable[[Machine], Awaitable[None]]) -> None:
            machine = SimulatedMachine(World(str(tmp_path), images={"img_small": {"/etc/x": b""}}))
            asyncio.run(_with_box(machine, check))

        return run


@pytest.mark.machine
@pytest.mark.skipif(os.geteuid() != 0, reason="the real machine needs root")
class TestReal(MachineContract):
    @pytest.fixture
    def data(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="skerry-contract-") as folder:
            yield Path(folder)

    @pytest.fixture
    def given(self, data: Path) -> Given:
        def run(check: Callable[[Machine], Awaitable[None]]) -> None:
            asyncio.run(_on_real_machine(data, check))

        return run

    def test_a_box_whose_start_was_cut_short_gets_its_network(self, data: Path) -> None:
        async def check(machine: LinuxMachine) -> None:
            await machine.clone_image("img_small", BOX, LIMITS.disk_bytes)
            await machine.give_identity(BOX, "short", fresh=True)
            disk, checkpoints = machine.pool.paths(BOX)
            # So far it comes when its daemon is killed.
            machine.containers.start(BoxStart(BOX, 2, "short", LIMITS), disk, checkpoints)
            try:
                await machine.sweep({2: BOX})
                with RouteSocket() as host:
                    assert host.link(machine.network.plan.link_name(2)) is not None
            finally:
                await machine.stop(BOX, 0)
                await machine.delete_disks(BOX)

        async def story() -> None:
            async with _real_machine(data) as machine:
                with machine.pool.new_image("img_small", None) as tree:
                    build_small_disk(Path(tree))
                await check(machine)

        asyncio.run(story())


@pytest.mark.parametrize("ids_base", [0, -131072, 1 << 16, 1 << 32])
def test_ids_of_the_machines_own_users_are_not_given_to_boxes(ids_base: int) -> None:
    with pytest.raises(Invalid) as caught:
        slots_of("name", "10.213.0.0/16", (), ids_base)

    assert caught.value.code == "bad_ids"


def test_there_are_as_many_slots_as_addresses_and_ids_for_them() -> None:
    assert slots_of("name", "10.213.0.0/24", (), 1_000_000_000) == 254
    last = slots_of("name", "10.213.0.0/16", (), 1_000_000_000)
    assert 1_000_000_000 + (last + 1) * 65536 < 1 << 32


async def _on_real_machine(data: Path, check: Callable[[Machine], Awaitable[None]]) -> None:
    async with _real_machine(data) as machine:
        if "img_small" not in await machine.images():
            with machine.pool.new_image("img_small", None) as tree:
                build_small_disk(Path(tree))
        await _with_box(machine, check)


@contextlib.asynccontextmanager
async def _real_machine(data: Path) -> AsyncGenerator[LinuxMachine]:
    number = os.getpid() % 50  # beside others that run these tests at the same time
    machine = LinuxMachine.open(
        data,
        instance=f"c{os.getpid() % 10**6}",
        network=f"10.{150 + number}.0.0/16",
        network_allow=(),
        ids_base=2_500_000_000,
        pool_directory=None,
        pool_size_bytes=2 << 30,
        apt_mirror=None,
    )
    try:
        await machine.begin()
        yield machine
    finally:
        await machine.close()
