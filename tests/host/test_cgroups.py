"""Control groups: layouts as text, limits as files, and real groups of this machine."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.base import Conflict, NotAvailable
from skerry.host import cgroup_limits, cgroups
from skerry.host.cgroups import Layout, Tree
from skerry.host.seam import BoxLimits

LIMITS = BoxLimits(cpus=1.5, memory_bytes=256 << 20, disk_bytes=0, processes=100)
TEN_SECONDS_NS = 10 * 10**9

V2_ONLY = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MEMORY = "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V1_CPU = "35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
HYBRID_V2 = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
INIT_ON_V2 = "0::/init.scope\n"
INIT_ON_BOTH = "5:memory:/\n4:cpu,cpuacct:/\n0::/init.scope\n"


def test_a_machine_with_version_2_alone():
    layout = cgroups.plan_layout(V2_ONLY, INIT_ON_V2)

    assert layout == Layout("/sys/fs/cgroup", {}, runtime_joins=True)


def test_a_machine_with_both_versions():
    layout = cgroups.plan_layout(HYBRID_V2 + V1_MEMORY + V1_CPU, INIT_ON_BOTH)

    assert layout is not None
    assert layout.unified == "/sys/fs/cgroup/unified"
    assert layout.legacy["cpu"] == layout.legacy["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert len(layout.roots()) == 3


def test_a_machine_with_version_1_alone_has_no_layout_yet():
    assert cgroups.plan_layout(V1_MEMORY + V1_CPU, INIT_ON_BOTH) is None


def test_a_tree_that_was_mounted_for_us_is_found_but_not_by_the_runtime():
    ours = "50 31 0:38 / /var/lib/my\\040data/cgroup2 rw - cgroup2 cgroup2 rw\n"

    layout = cgroups.plan_layout(V1_MEMORY + ours, INIT_ON_BOTH)

    assert layout is not None
    assert layout.unified == "/var/lib/my data/cgroup2"
    assert not layout.runtime_joins


def test_groups_begin_where_process_1_is():
    layout = cgroups.plan_layout(V2_ONLY, "0::/lxc/machine/init.scope\n")

    assert layout is not None
    assert layout.unified == "/sys/fs/cgroup/lxc/machine"


def test_limits_of_version_2():
    settings = cgroup_limits.plan_limits(Layout("/u", {}, runtime_joins=True), LIMITS)

    assert [(s.version, s.file, s.value) for s in settings] == [
        (2, "cpu.max", "150000 100000"),
        (2, "memory.max", str(256 << 20)),
        (2, "pids.max", "100"),
    ]


def test_limits_of_version_1_and_of_a_divided_machine():
    layout = Layout("/u", {"cpu": "/c", "memory": "/m"}, runtime_joins=True)

    settings = cgroup_limits.plan_limits(layout, LIMITS)

    assert [(s.version, s.file) for s in settings] == [
        (1, "cpu.cfs_period_us"), (1, "cpu.cfs_quota_us"), (1, "memory.limit_in_bytes"),
        (2, "pids.max"),
    ]  # fmt: skip


def test_the_smallest_share_of_a_cpu_is_one_that_the_kernel_takes():
    little = BoxLimits(cpus=0.001, memory_bytes=1, disk_bytes=0, processes=1)

    settings = cgroup_limits.plan_limits(Layout("/u", {}, runtime_joins=True), little)

    assert settings[0].value == "1000 100000"


def written(root: Path, files: dict[str, str]) -> Tree:
    """Return a tree of plain files that looks like a version 2 one with a group `a/b` in it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(Layout(str(root), {}, runtime_joins=True), "a/b")


def test_limits_are_written_where_version_2_has_them(tmp_path: Path):
    files = {"cpu.max": "", "memory.max": "max", "memory.swap.max": "", "pids.max": "max"}
    files |= {"memory.current": "1000", "memory.stat": "inactive_file 0\n"}
    tree = written(tmp_path, {f"a/b/{name}": text for name, text in files.items()})

    cgroup_limits.write_limits(tree, LIMITS)

    group = tmp_path / "a/b"
    assert (group / "memory.swap.max").read_text() == str(256 << 20)
    assert (group / "memory.max").read_text() == str(256 << 20)
    assert (group / "pids.max").read_text() == "100"


def test_no_limit_below_what_is_used_is_written_on_version_2(tmp_path: Path):
    files = {"memory.current": str(600 << 20), "memory.stat": f"inactive_file {100 << 20}\n"}
    tree = written(tmp_path, {f"a/b/{name}": text for name, text in files.items()})

    with pytest.raises(Conflict) as caught:
        cgroup_limits.write_limits(tree, LIMITS)

    assert caught.value.code == "limit_below_use"


def test_controllers_are_handed_down_level_by_level(tmp_path: Path):
    files = {"cgroup.controllers": "cpu io memory pids", "cgroup.subtree_control": "memory"}
    files |= {"a/cgroup.subtree_control": "", "a/cgroup.controllers": "cpu memory pids"}
    tree = written(tmp_path, files)

    cgroups.enable_controllers(tree.layout, "a")

    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +pids +io"
    assert (tmp_path / "a/cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_controllers_of_version_1_are_not_asked_for(tmp_path: Path):
    written(tmp_path, {"cgroup.controllers": "", "cgroup.subtree_control": "kept"})
    legacy = {"cpu": "/c", "memory": "/m", "pids": "/p"}

    cgroups.enable_controllers(Layout(str(tmp_path), legacy, runtime_joins=True), "a")

    assert (tmp_path / "cgroup.subtree_control").read_text() == "kept"


def test_a_machine_without_a_controller_says_which(tmp_path: Path):
    tree = written(tmp_path, {"cgroup.controllers": "cpu pids"})

    with pytest.raises(NotAvailable, match="no memory controller"):
        cgroups.enable_controllers(tree.layout, "a")


def test_use_is_read_from_version_2(tmp_path: Path):
    files = {"memory.current": "5000", "memory.stat": "anon 1\ninactive_file 2000\n"}
    files |= {"cpu.stat": "usage_usec 7\nuser_usec 3\n", "pids.current": "4"}
    files |= {"memory.events": "low 0\noom_kill 2\n", "pids.events": "max 3\n"}
    tree = written(tmp_path, {f"a/b/{name}": text for name, text in files.items()})

    assert cgroup_limits.read_use(tree) == cgroup_limits.Use(7000, 3000, 4, 2, 3)


def test_use_is_read_from_version_1(tmp_path: Path):
    files = {"m/a/b/memory.usage_in_bytes": "5000", "m/a/b/memory.stat": "total_inactive_file 1\n"}
    files |= {"m/a/b/ns/memory.oom_control": "under_oom 0\noom_kill 2\n"}
    files |= {"p/a/b/pids.current": "4", "p/a/b/ns/pids.events": "max 1\n"}
    files |= {"u/a/b/cpu.stat": "usage_usec 7\n"}
    written(tmp_path, files)
    legacy = {"memory": f"{tmp_path}/m", "pids": f"{tmp_path}/p"}

    use = cgroup_limits.read_use(Tree(Layout(f"{tmp_path}/u", legacy, runtime_joins=True), "a/b"))

    assert use == cgroup_limits.Use(7000, 4999, 4, 2, 1)


# -- real groups --


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    layout = cgroups.read_layout()
    if layout is None:
        pytest.skip("no v2 tree is mounted here")
    tree = Tree(layout, f"skt{os.getpid()}-{tmp_path.name}")
    for directory in tree.directories():
        os.makedirs(f"{directory}/inner")
    yield tree
    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)


def sleeper_in(*directories: str) -> subprocess.Popen[bytes]:
    """Start a process that spawns two more, all of them in those groups."""
    join = " ".join(f'echo $$ > "{directory}/cgroup.procs";' for directory in directories)
    script = join + " sleep 1000 & setsid sleep 1000 & echo; exec sleep 1000"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


@pytest.mark.machine
def test_killing_a_tree_reaches_who_left_the_session(tree: Tree):
    process = sleeper_in(tree.child("inner").unified)
    before = cgroups.list_processes(tree.unified)

    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)

    assert process.wait() == -9
    assert len(before) == 3
    assert not any(os.path.exists(path) for path in tree.directories())


@pytest.mark.machine
def test_what_is_in_a_version_1_group_alone_ends_too(tree: Tree):
    legacy = tree.layout.roots()[1:]
    if not legacy:
        pytest.skip("this machine has version 2 alone")
    process = sleeper_in(f"{legacy[0]}/{tree.path}")

    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)

    assert process.wait() == -9


@pytest.mark.machine
def test_a_frozen_tree_ends(tree: Tree):
    process = sleeper_in(tree.unified)
    cgroups.write_value(f"{tree.unified}/cgroup.freeze", "1")

    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)

    assert process.wait() == -9


@pytest.mark.machine
def test_a_tree_frozen_by_version_1_ends(tree: Tree):
    if "freezer" not in tree.layout.legacy:
        pytest.skip("this machine has no v1 freezer")
    inner = tree.child("inner")
    process = sleeper_in(inner.unified, inner.directory("freezer"))
    cgroups.write_value(f"{inner.directory('freezer')}/freezer.state", "FROZEN")

    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)

    assert process.wait() == -9


@pytest.mark.machine
def test_removing_what_is_gone_is_fine(tree: Tree):
    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)
    cgroups.kill_and_remove(tree, TEN_SECONDS_NS)

    assert cgroups.list_processes(tree.unified) == []


@pytest.mark.machine
def test_membership_is_of_the_group_and_of_those_inside(tree: Tree):
    process = sleeper_in(tree.child("inner").unified)

    assert cgroups.is_member(process.pid, tree.path)
    assert not cgroups.is_member(process.pid, tree.path[:-1])
    assert not cgroups.is_member(os.getpid(), tree.path)
    cgroups.kill(tree)
    process.wait()


@pytest.mark.machine
@pytest.mark.parametrize("memory_bytes", [[64 << 20, 256 << 20], [256 << 20, 64 << 20]])
def test_limits_can_be_raised_and_lowered(tree: Tree, memory_bytes: list[int]):
    cgroups.enable_controllers(tree.layout, tree.path)

    for each in memory_bytes:
        limits = BoxLimits(cpus=0.5, memory_bytes=each, disk_bytes=0, processes=50)
        cgroup_limits.write_limits(tree, limits)

    name = "limit_in_bytes" if "memory" in tree.layout.legacy else "max"
    path = Path(tree.directory("memory"), f"memory.{name}")
    assert int(path.read_text()) == memory_bytes[-1]
