"""Freezing real boxes: nothing in them runs on."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.host import cgroups, freezer
from skerry.host.cgroups import Tree

pytestmark = pytest.mark.machine


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    layout = cgroups.find_layout(str(tmp_path / "cgroup2"))
    tree = Tree(layout, f"t{os.getpid()}f")
    cgroups.enable_controllers(layout, tree.path)
    yield tree
    freezer.thaw(tree)
    cgroups.kill_and_remove(tree, 10 * 10**9)


def test_what_is_frozen_uses_no_cpu_and_goes_on_afterwards(tree: Tree) -> None:
    async def story() -> None:
        spinning = await asyncio.create_subprocess_exec(
            "sh", "-c", "while :; do :; done", stdout=asyncio.subprocess.PIPE
        )
        cgroups.write_value(f"{tree.unified}/cgroup.procs", str(spinning.pid))
        freezer.freeze(tree)
        assert freezer.is_frozen(tree)
        used = freezer.cpu_ns(tree)
        time.sleep(0.05)
        assert freezer.cpu_ns(tree) == used
        freezer.thaw(tree)
        assert not freezer.is_frozen(tree)
        while freezer.cpu_ns(tree) == used:
            await asyncio.sleep(0)
        spinning.kill()
        await spinning.wait()

    asyncio.run(story())


def test_an_empty_group_is_frozen_at_once(tree: Tree) -> None:
    freezer.freeze(tree)

    assert freezer.is_frozen(tree)


def test_a_group_that_is_gone_is_not_frozen(tree: Tree) -> None:
    gone = tree.child("gone")

    with pytest.raises(FileNotFoundError):
        freezer.freeze(gone)
    freezer.thaw(gone)
    assert not freezer.is_frozen(gone)
    assert freezer.cpu_ns(gone) is None
    assert freezer.push_out(gone) == 0


def test_the_host_tells_its_memory() -> None:
    assert 0 < freezer.memory_available_share() <= 1
    assert freezer.swap_free_bytes() >= 0
