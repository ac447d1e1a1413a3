"""What the kernel says of a box: read from files as it writes them, and from real groups."""

import os
from pathlib import Path

import pytest

from skerry.host import cgroups, meter
from skerry.host.cgroups import Layout, Tree
from skerry.host.meter import Counters, LinkBytes
from skerry.host.pool import Pool
from skerry.host.seam import Running


def a_tree(folder: Path, files: dict[str, str], *, old: bool = False) -> Tree:
    """Make a group `box` of files, named after the tree that they are in."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    legacy = {"memory": f"{folder}/memory", "blkio": f"{folder}/blkio"} if old else {}
    return Tree(Layout(f"{folder}/unified", legacy, runtime_joins=True), "box")


CPU = {"unified/box/cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"}


def test_a_box_in_the_new_tree(tmp_path: Path) -> None:
    tree = a_tree(
        tmp_path,
        CPU
        | {
            "unified/box/memory.current": "9000\n",
            "unified/box/memory.stat": "anon 100\ninactive_anon 7\ninactive_file 4000\n",
            "unified/box/io.stat": "7:0 rbytes=5 wbytes=70 rios=1\n254:0 rbytes=5 wbytes=64\n",
        },
    )

    assert meter.read_counters(tree, LinkBytes(received=1, sent=2)) == Counters(
        cpu_ns=1_500_000, memory_bytes=5000, written_bytes=70, received_bytes=1, sent_bytes=2
    )


def test_a_box_in_the_old_trees(tmp_path: Path) -> None:
    tree = a_tree(
        tmp_path,
        CPU
        | {
            "memory/box/memory.usage_in_bytes": "9000\n",
            "memory/box/memory.stat": "inactive_file 1\ntotal_inactive_file 4000\n",
            "blkio/box/blkio.throttle.io_service_bytes": "Total 0\n",
        },
        old=True,
    )

    found = meter.read_counters(tree, None)
    assert (found.cpu_ns, found.memory_bytes) == (1_500_000, 5000)
    assert (found.written_bytes, found.received_bytes, found.sent_bytes) == (None, None, None)


@pytest.mark.parametrize("io", [None, ""])
def test_nothing_written_yet_is_not_the_same_as_not_told(tmp_path: Path, io: str | None) -> None:
    files = {} if io is None else {"unified/box/io.stat": io}

    found = meter.read_counters(a_tree(tmp_path, CPU | files), None).written_bytes
    assert found == (None if io is None else 0)


def test_a_box_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    found = meter.read_counters(a_tree(tmp_path, {}), None)

    assert found == Counters(None, None, None, None, None)


def test_links_are_read_by_their_prefix() -> None:
    found = meter.read_links("lo")

    assert set(found) == {"lo"}
    assert found["lo"].received == found["lo"].sent
    assert meter.read_links("no-such-link") == {}


def test_each_start_is_an_epoch_of_its_own() -> None:
    names = [meter.epoch_of(Running(pid, ticks)) for pid, ticks in ((1, 1), (1, 2), (2, 1))]

    assert len(set(names)) == 3


@pytest.mark.machine
def test_a_real_group_tells_its_use() -> None:
    layout = cgroups.read_layout()
    assert layout is not None
    tree = Tree(layout, f"skmeter{os.getpid()}")
    directories = {tree.unified, tree.directory("memory")}
    for directory in directories:
        os.makedirs(directory)
    try:
        found = meter.read_counters(tree, None)
        assert (found.cpu_ns, found.memory_bytes) == (0, 0)
    finally:
        for directory in directories:
            os.rmdir(directory)


@pytest.mark.machine
def test_what_boxes_keep_is_told_by_one_look(tmp_path: Path) -> None:
    pool = Pool.open(tmp_path, directory=None, size_bytes=2 << 30)
    boxes = os.open(tmp_path / "pool" / "boxes", os.O_RDONLY)
    try:
        with pool.new_image("base", None) as tree:
            (tree / "a").write_bytes(b"a")
        for box_id in ("box_a", "box_b"):
            pool.clone_image("base", box_id, 1 << 30)
        Path(pool.paths("box_a")[0], "new").write_bytes(os.urandom(8 << 20))
        os.sync()

        told = meter.read_stored(pool._top, boxes)
        assert told == {each: pool.used_bytes(each) for each in ("box_a", "box_b")}
        assert told["box_a"] > told["box_b"] + (7 << 20)
    finally:
        os.close(boxes)
        for box_id in ("box_a", "box_b"):
            pool.delete_disks(box_id)
        pool.close()
