"""Boxes that run, on this machine: their life, their limits, and what their root cannot do.

A box here has an empty disk: what acts in it is `probes.py`, which enters as an exec does and brings
all that it needs in its memory.
"""

import dataclasses
import json
import os
import platform
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from skerry.base import Conflict, NotAvailable
from skerry.host import cgroups, process
from skerry.host.box_views import View, show
from skerry.host.containers import Containers
from skerry.host.seam import BoxLimits, BoxStart, Running

pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(process.find("lxc-start") is None, reason="needs LXC"),
]
x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="calls of x86 by number")

PROBES = Path(__file__).with_name("probes.py")
LIMITS = BoxLimits(cpus=1.0, memory_bytes=128 << 20, disk_bytes=0, processes=64)
IDS_BASE = 1_700_000_000
SECOND = 10**9
ZERO = os.makedev(1, 5)
DISK = os.makedev(7, 0)  # the first loop device: without a guard it opens, in use or not


class Boxes:
    """The boxes of one test, under an instance of their own."""

    def __init__(self, directory: Path, instance: str) -> None:
        self.directory = directory
        self.instance = instance
        self.containers = self.daemon()

    def daemon(self) -> Containers:
        return Containers(
            run_directory=str(self.directory / "run"), instance=self.instance, ids_base=IDS_BASE
        )

    def disk(self, name: str = "one") -> Path:
        disk = self.directory / name / "disk"
        disk.mkdir(parents=True, exist_ok=True)
        for point in ("mnt", "tree"):
            (disk / point).mkdir(exist_ok=True)
        (self.directory / name / "checkpoints" / "v1").mkdir(parents=True, exist_ok=True)
        for node, kind, device in (("disk", stat.S_IFBLK, DISK), ("zero", stat.S_IFCHR, ZERO)):
            if not (disk / node).exists():
                os.mknod(disk / node, kind | 0o666, device)
        return disk

    def start(self, name: str = "one", limits: BoxLimits = LIMITS) -> Running:
        disk = self.disk(name)
        start = BoxStart(name, 1 + len(name), f"host-{name}", limits)
        checkpoints = str(disk.with_name("checkpoints"))
        first = self.containers.start(start, str(disk), checkpoints)
        view = View(checkpoints, "/.skerry/checkpoints", shifted=True)
        (disk / ".skerry/checkpoints").mkdir(exist_ok=True)
        show([view], first.init_pid)
        return first

    def request(self, probe: str, name: str, *, value: bool) -> str:
        box = self.containers.entry(name)
        entry = {
            "init_pid": box.first.init_pid,
            "group": box.group,
            "legacy_tasks": box.legacy_tasks,
        }
        program = self.containers.program.hex()
        return json.dumps({"program": program, "entry": entry, "probe": probe, "value": value})

    def probe(self, probe: str, name: str = "one", *, value: bool = False) -> object:
        """Return how probe went in the box, None for well; its value if value."""
        done = subprocess.run(
            [sys.executable, str(PROBES)],
            input=self.request(probe, name, value=value),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def staying(self, probe: str = "stay", name: str = "one") -> subprocess.Popen[str]:
        """Start a probe that stays in the box; return when it is there."""
        command = [sys.executable, str(PROBES)]
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(self.request(probe, name, value=False))
        running.stdin.close()
        assert running.stdout.readline() == "ready\n"
        running.stdout.close()
        return running

    def traces(self) -> list[str]:
        """Return what is left on the machine of boxes of this instance."""
        layout = cgroups.read_layout()
        assert layout is not None
        groups = [
            f"{root}/{self.instance}{kind}/{name}"
            for root in layout.roots()
            for kind in ("", ".monitor", ".pivot")
            for name in cgroups.list_children(f"{root}/{self.instance}{kind}")
        ]
        configs = [str(path) for path in (self.directory / "run" / "lxc").iterdir()]
        return groups + configs

    def close(self) -> None:
        for name in self.containers.running():
            self.containers.stop(name, 0)
        self.containers.sweep()
        self.containers.close()
        layout = cgroups.read_layout()
        assert layout is not None
        for kind in ("", ".monitor", ".pivot"):
            cgroups.kill_and_remove(cgroups.Tree(layout, self.instance + kind), 10 * SECOND)
        os.rmdir(f"/run/skerry/{self.instance}")


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    boxes = Boxes(tmp_path, f"t{os.getpid():x}")
    yield boxes
    boxes.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    """A box for tests that leave it as it was."""
    boxes = Boxes(tmp_path_factory.mktemp("shared"), f"s{os.getpid():x}")
    try:
        boxes.start()
        yield boxes
    finally:
        boxes.close()


def gone(pid_descriptor: int) -> bool:
    return bool(select.select([pid_descriptor], [], [], 10)[0])


# -- life --


def test_a_started_box_runs_until_it_is_stopped(boxes: Boxes):
    first = boxes.start()
    init = os.pidfd_open(first.init_pid)

    assert boxes.containers.running() == {"one": first}
    boxes.containers.stop("one", 0)

    assert gone(init)
    assert boxes.containers.running() == {}
    assert boxes.traces() == []


def test_starting_a_box_that_runs_changes_nothing(boxes: Boxes):
    assert boxes.start() == boxes.start()


def test_stopping_a_box_that_does_not_run_is_fine(boxes: Boxes):
    boxes.containers.stop("one", SECOND)


def test_a_box_starts_again_after_its_end(boxes: Boxes):
    first = boxes.start()
    boxes.containers.stop("one", 0)

    assert boxes.start() != first


def test_boxes_are_found_by_a_new_daemon(boxes: Boxes):
    first = boxes.start()

    other = boxes.daemon()

    assert other.running() == {"one": first}
    other.close()


def test_a_box_whose_init_died_does_not_run_and_starts_again(boxes: Boxes):
    first = boxes.start()
    init = os.pidfd_open(first.init_pid)
    os.kill(first.init_pid, signal.SIGKILL)

    assert gone(init)
    assert boxes.containers.running() == {}
    assert boxes.start() != first


def test_a_box_whose_monitor_died_ends_and_starts_again(boxes: Boxes):
    first = boxes.start()
    init = os.pidfd_open(first.init_pid)
    status = Path(f"/proc/{first.init_pid}/stat").read_text()
    os.kill(int(status.rpartition(")")[2].split()[1]), signal.SIGKILL)

    assert gone(init)
    assert boxes.start() != first


def test_a_box_that_ignores_sigterm_ends_after_its_grace(boxes: Boxes):
    boxes.start()
    stubborn = boxes.staying("stay and ignore SIGTERM")

    boxes.containers.stop("one", SECOND // 10)

    assert stubborn.wait() == 128 + signal.SIGKILL


def test_a_box_that_heeds_sigterm_ends_before_its_grace(boxes: Boxes):
    boxes.start()
    polite = boxes.staying("stay")

    boxes.containers.stop("one", 1000 * SECOND)

    assert polite.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("grace_ns", [0, SECOND // 10])
def test_a_frozen_box_can_be_stopped(boxes: Boxes, grace_ns: int):
    boxes.start()
    for path in boxes.containers.entry("one").freeze_files:
        v1 = path.endswith("freezer.state")
        file = path if v1 else path.replace("cgroup.events", "cgroup.freeze")
        cgroups.write_value(file, "FROZEN" if v1 else "1")

    boxes.containers.stop("one", grace_ns)

    assert boxes.traces() == []


def test_a_start_that_fails_says_why_and_leaves_nothing(boxes: Boxes):
    disk = str(boxes.disk())
    bad_name = BoxStart("one", 2, "h" * 300, LIMITS)

    with pytest.raises(NotAvailable, match=r"LXC said:\n\S") as caught:
        boxes.containers.start(bad_name, disk, disk)

    assert caught.value.code == "box_start_failed"
    assert boxes.traces() == []


def die_starting(boxes: Boxes, step: str) -> None:
    """Have a daemon start a box, and be killed in the place of that step."""
    disk = boxes.disk()
    script = (
        "import os, subprocess; from skerry.host import cgroup_limits, containers, process\n"
        "from skerry.host.seam import BoxLimits, BoxStart\n"
        "def die(argv, *rest, **named):\n"
        "    if isinstance(argv, list):\n"
        "        subprocess.Popen(argv, env=named['environment'], pass_fds=named['inherited'])\n"
        "    os.kill(os.getpid(), 9)\n"
        f"{step} = die\n"
        f"c = containers.Containers(run_directory={str(boxes.directory / 'run')!r},"
        f" instance={boxes.instance!r}, ids_base={IDS_BASE})\n"
        f"c.start(BoxStart('one', 2, 'h', BoxLimits(1, 1 << 27, 0, 64)), {str(disk)!r},"
        f" {str(disk.with_name('checkpoints'))!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL


STEPS = ["process.run_untied", "cgroup_limits.write_limits"]


@pytest.mark.parametrize("step", STEPS)
def test_a_daemon_killed_while_starting_can_start_again(boxes: Boxes, step: str):
    die_starting(boxes, step)

    first = boxes.start()

    assert boxes.containers.running() == {"one": first}
    assert boxes.probe("make a v2 group") == "EACCES"


@pytest.mark.parametrize("step", STEPS)
def test_a_daemon_killed_while_starting_can_stop_the_box(boxes: Boxes, step: str):
    die_starting(boxes, step)

    boxes.containers.stop("one", 0)

    assert boxes.containers.running() == {}
    assert boxes.traces() == []


@pytest.mark.parametrize("step", STEPS)
def test_a_sweep_guards_a_box_whose_start_was_cut_off(boxes: Boxes, step: str):
    die_starting(boxes, step)

    boxes.containers.sweep()

    assert list(boxes.containers.running()) == ["one"]
    assert boxes.probe("make a v2 group") == "EACCES"
    assert boxes.probe("open a disk of the host") == "EPERM"


def test_a_sweep_leaves_running_boxes_alone_and_removes_the_rest(boxes: Boxes):
    first = boxes.start()
    tree = cgroups.Tree(boxes.containers.layout, f"{boxes.instance}/left")
    for directory in tree.directories():
        os.makedirs(f"{directory}/ns")
    (boxes.directory / "run" / "lxc" / "left").mkdir()

    boxes.containers.sweep()

    assert boxes.containers.running() == {"one": first}
    assert not [trace for trace in boxes.traces() if "left" in trace]


# -- while it runs --


def test_the_host_name_is_given_and_changed_from_outside(boxes: Boxes):
    boxes.start()
    before = boxes.probe("host name", value=True)

    boxes.containers.set_hostname("one", "other")

    assert (before, boxes.probe("host name", value=True)) == ("host-one", "other")
    assert os.uname().nodename not in {"host-one", "other"}


def test_too_much_memory_ends_the_process_and_is_counted(boxes: Boxes):
    boxes.start()

    assert boxes.probe("use memory", value=True) == -signal.SIGKILL
    assert boxes.containers.usage("one").memory_hit >= 1
    assert boxes.containers.running()


def test_too_many_processes_are_refused_and_counted(boxes: Boxes):
    boxes.start()

    started = cast("int", boxes.probe("fork until refused", value=True))

    assert started < LIMITS.processes
    assert boxes.containers.usage("one").processes_hit >= 1


def test_a_limit_changes_at_once(boxes: Boxes):
    boxes.start()

    boxes.containers.limit("one", dataclasses.replace(LIMITS, memory_bytes=1 << 30))

    assert boxes.probe("use memory", value=True) == 0


def test_a_limit_below_what_is_used_is_refused(boxes: Boxes):
    boxes.start()

    with pytest.raises(Conflict) as caught:
        boxes.containers.limit("one", dataclasses.replace(LIMITS, memory_bytes=4096))

    assert caught.value.code == "limit_below_use"
    assert boxes.containers.running()


def test_use_is_told(shared: Boxes):
    use = shared.containers.usage("one")

    assert use.processes >= 1
    assert 0 < use.memory_bytes < LIMITS.memory_bytes
    assert use.cpu_ns > 0


def test_a_box_that_does_not_run_has_no_entry(shared: Boxes):
    containers = shared.containers

    calls: list[Callable[[], object]] = [
        lambda: containers.entry("other"),
        lambda: containers.usage("other"),
        lambda: containers.limit("other", LIMITS),
        lambda: containers.set_hostname("other", "name"),
    ]

    for call in calls:
        with pytest.raises(Conflict) as caught:
            call()
        assert caught.value.code == "box_not_running"


# -- what its root can and cannot do --


@pytest.mark.parametrize(
    "probe",
    [
        "change its host name",
        "mount a tmpfs",
        "mount a nested proc",
        "open a harmless device",
        "listen on port 80",
        "unix socket",
        "internet socket",
    ],
)
def test_daily_work_is_possible(boxes: Boxes, probe: str):
    boxes.start()

    assert boxes.probe(probe) is None


@x86_only
@pytest.mark.parametrize(
    ("probe", "error"),
    [
        ("make a subvolume", "ENOTTY"),
        ("make a subvolume, 32 bit", "ENOTTY"),
        ("io_uring", "ENOSYS"),
        ("load a module", "EPERM"),
        ("write a setting of the host", "EACCES"),
        ("name the host's crash handler", "EACCES"),
        ("make a block device", "EPERM"),
        ("mount a disk", "EPERM"),
        ("mount debugfs", "EPERM"),
        ("open a disk of the host", "EPERM"),
        ("write into the checkpoints", "EROFS|EACCES"),
        ("add to the checkpoints, mounted anew", "EACCES"),
        ("rename a checkpoint, mounted anew", "EACCES"),
        ("take the checkpoints over", "EPERM"),
        ("replace the init", "EACCES"),
        ("set the clock", "EPERM"),
        ("restart the machine", "EPERM"),
        ("make a v2 group", "EACCES"),
        ("leave its v2 group", "EACCES"),
        ("make a v1 group", "EACCES"),
        ("raise its v1 limit", "EACCES"),
    ],
)
def test_escapes_are_refused(shared: Boxes, probe: str, error: str):
    if "v1" in probe and "pids" not in shared.containers.layout.legacy:
        pytest.skip("this machine has version 2 alone")

    assert shared.probe(probe) in error.split("|")


def test_no_process_of_the_host_is_in_sight(shared: Boxes):
    seen = cast("list[int]", shared.probe("see processes", value=True))

    assert seen[0] == 1
    assert len(seen) <= 4


def test_the_init_is_under_the_same_filter_and_bounds(shared: Boxes):
    init_pid = shared.containers.entry("one").first.init_pid
    status = Path(f"/proc/{init_pid}/status").read_text()

    assert "Seccomp:\t2" in status
    assert "Seccomp_filters:\t1" in status
    bound = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    assert int(bound.split()[1], 16) >> 22 & 1 == 0, "no CAP_SYS_BOOT"


@pytest.mark.parametrize("name", ["proc", "sys", "dev", ".skerry"])
def test_links_on_a_hostile_disk_lead_nowhere(boxes: Boxes, tmp_path: Path, name: str):
    canary = tmp_path / "canary"
    (canary / "checkpoints").mkdir(parents=True)
    canary.chmod(0o777)
    (boxes.disk() / name).symlink_to(canary)

    boxes.start()

    assert [path.name for path in canary.rglob("*")] == ["checkpoints"]
    assert str(canary) not in Path("/proc/self/mountinfo").read_text()
