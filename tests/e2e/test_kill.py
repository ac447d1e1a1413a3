"""The real daemon is killed at every step of a verb and started again: what is listed is true."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import INSTANCE, Program

VERBS: dict[str, list[str]] = {
    "create": ["create", "k-new"],
    "checkpoint": ["checkpoint", "create", "k-dev"],
    "restore": ["restore", "k-dev", "v1"],
    "fork": ["fork", "k-dev@v1", "k-fork"],
    "destroy": ["destroy", "k-dev", "--yes", "--purge"],
}
STEPS_MAX = 14


def leftovers(program: Program) -> dict[str, set[str]]:
    """What of boxes is on the machine, by kind: each named by the box it belongs to."""
    pool = program.data / "pool" / "boxes"
    groups = subprocess.run(
        ["find", "/sys/fs/cgroup", "-maxdepth", "4", "-type", "d", "-path", f"*/{INSTANCE}/box_*"],
        capture_output=True, text=True, check=False,  # directories go while it looks
    ).stdout.split()  # fmt: skip
    monitors = subprocess.run(
        ["pgrep", "-af", "lxc monitor"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    links = subprocess.run(
        ["ip", "-br", "link"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {
        "links": {line.split("@")[0] for line in links if line.startswith(f"sk{INSTANCE}-")},
        "disks": {path.name for path in pool.iterdir()},
        "control groups": {g.split(f"/{INSTANCE}/")[1].split("/")[0] for g in groups},
        "monitors": {m.split()[-1] for m in monitors if str(program.data) in m or INSTANCE in m},
        "mounts": {m.split()[4] for m in mounts if str(program.data) in m.split()[4]},
    }


def check_truth(program: Program) -> None:
    """What is listed answers; what is on the machine is listed."""
    boxes = program.json("list")
    for box in boxes:
        said = program.ok(
            "exec", box["name"], "--", "sh", "-c", "hostname; cat /home/box/f || true"
        )
        assert said.splitlines()[0] == box["name"]
        if box["name"] == "k-dev":
            assert said.splitlines()[1] in ("one", "two")
    listed = {box["id"] for box in program.json("list")}
    in_trash = {box["id"] for box in program.json("trash")}
    found = leftovers(program)
    assert found["disks"] == listed | in_trash
    assert found["control groups"] == listed
    assert found["monitors"] == listed
    while len(leftovers(program)["links"]) != len(listed):
        pass  # the kernel takes a closed namespace apart in its own time
    assert found["mounts"] == {str(program.data / "pool")}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_a_kill_at_any_step_is_repaired(
    program: Program, verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Boxes made ready in the background would take steps of their own.
    monkeypatch.setenv("SKERRY_READY_BOXES", "0")
    launcher = (sys.executable, "-m", "skerry.testing.killed")
    armed = tmp_path / "armed"
    program.stop()
    steps = 1
    try:
        for step in range(1, STEPS_MAX + 1):
            program.start(*launcher, str(step), str(armed))
            _furnish(program)
            armed.touch()
            program.run(*verb)
            steps = int(armed.read_text() or "0")
            armed.unlink()
            program.kill()
            program.start()
            check_truth(program)
            _clear(program)
            program.stop()
            if steps < step:
                break
        assert steps < STEPS_MAX, "every step was tried"
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop()
        program.start()


def _furnish(program: Program) -> None:
    program.ok("create", "k-dev")
    program.ok("exec", "k-dev", "--", "sh", "-c", "echo one > /home/box/f")
    program.ok("checkpoint", "create", "k-dev")
    program.ok("exec", "k-dev", "--", "sh", "-c", "echo two > /home/box/f")


def _clear(program: Program) -> None:
    for box in program.json("list"):
        program.ok("destroy", box["name"], "--yes", "--purge")
    for box in program.json("trash"):
        assert program.http("DELETE", f"/v1/trash/{box['id']}")[0] == 204
