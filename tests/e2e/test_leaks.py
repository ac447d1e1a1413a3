"""After all work is done and the daemon has stopped: nothing of it is left on the machine."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import SKERRY, Program, another, free_port


def said(*command: str) -> list[str]:
    """The lines that a command of the host's prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def kernel_things(program: Program, boxes: set[str]) -> dict[str, list[str]]:
    """What is there of a daemon and its boxes, by kind."""
    marks = [program.instance, str(program.data), *boxes]
    groups = [name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names]

    def marked(lines: list[str]) -> list[str]:
        return [line for line in lines if any(mark in line for mark in marks)]

    return {
        "processes": marked([line for line in said("ps", "-ww", "-eo", "pid,args") if "ps -ww" not in line]),
        "mounts": marked(Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": [line for line in said("ip", "-br", "link") if f"sk{program.instance}-" in line],
        "routes": [line for line in said("ip", "route") if program.network[:8] in line],
        "tables": marked(said("nft", "list", "tables")),
        "groups": [name for name in groups if name in boxes],
        "loops": marked(said("losetup", "-a")),
    }  # fmt: skip


def namespaces(boxes: set[str]) -> set[str]:
    """The namespaces of running boxes, from the one child of each monitor on."""
    found: set[str] = set()
    for line in said("ps", "-ww", "-eo", "pid,args"):
        pid = line.split()[0]
        if "lxc monitor" in line and line.split()[-1] in boxes:
            init = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
            kinds = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")
            found |= {os.readlink(f"/proc/{init}/ns/{kind}") for kind in kinds}
    return {name.split("[")[1].rstrip("]") for name in found}


def use(program: Program) -> None:
    """Do with boxes all that makes something."""
    program.ok("create", "one")
    program.ok("exec", "one", "--", "sh", "-c", "sleep 1000 & echo x > /a")
    program.ok("exec", "--detach", "one", "--", "sleep", "1000")
    program.ok("checkpoint", "create", "one")
    program.ok("restore", "one", "v1")
    program.ok("exec", "--detach", "one", "--", "sleep", "1000")
    program.ok("fork", "one@v1", "two", "--count", "2")
    program.ok("stop", "two-0")
    program.ok("image", "save", "one", "saved")


def test_nothing_is_left_of_destroyed_boxes_and_a_stopped_daemon(tmp_path: Path) -> None:
    with another(tmp_path) as program:
        use(program)
        boxes = set(os.listdir(program.boxes))
        assert kernel_things(program, boxes)["processes"]
        spaces = namespaces(boxes)
        assert len(spaces) >= 7 * 2, "of the boxes that run"
        for name in ("one", "two-0", "two-1"):
            program.ok("destroy", name, "--yes", "--purge")
        program.ok("image", "delete", "saved")
        living = boxes & set(os.listdir(program.boxes))
        assert kernel_things(program, boxes - living)["groups"] == []
        assert program.stop() == 0

        left = kernel_things(program, boxes)

        left["mounts"] = [line for line in left["mounts"] if f" {program.pool} " not in line]
        assert left == {key: [] for key in left}
        volumes = said("btrfs", "subvolume", "list", str(program.pool))
        assert [line.split("path ")[1].split("/")[0] for line in volumes] == ["images"]
        assert os.listdir(program.boxes) == []
        program.start()


def test_a_killed_daemon_leaves_its_boxes_and_the_next_one_ends_them(tmp_path: Path) -> None:
    with another(tmp_path) as program:
        use(program)
        boxes = set(os.listdir(program.boxes))
        program.kill()
        program.start()
        assert program.ok("exec", "one", "--", "cat", "/a") == "x\n"
        for name in ("one", "two-0", "two-1"):
            program.ok("destroy", name, "--yes", "--purge")
        program.ok("image", "delete", "saved")
        assert program.stop() == 0

        left = kernel_things(program, boxes)

        left["mounts"] = [line for line in left["mounts"] if f" {program.pool} " not in line]
        assert left == {key: [] for key in left}
        program.start()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--pool-directory", "/proc"),
        ("--pool-size", "1M"),
        ("--listen", "127.0.0.1:1:2:x"),
        ("--gateway-listen", "nowhere"),
        ("--ssh-listen", "nowhere"),
        ("--s3-listen", "nowhere"),
        ("--gateway-listen", "192.0.2.1:80"),
        ("--instance", "TOOLONGNAME"),
        ("--instance", "../../tmp/x"),
        ("--ids-base", "0"),
    ],
    ids=lambda wrong: wrong[0] + " " + wrong[1],
)
def test_a_start_that_fails_says_one_line_and_leaves_nothing(
    tmp_path: Path, wrong: tuple[str, str]
) -> None:
    settings = ["--instance", "leakx", "--network", "10.251.0.0/16", "--listen", "127.0.0.1:0"]
    settings += ["--gateway-listen", f"127.0.0.1:{free_port()}"]
    settings += [
        "--ssh-listen",
        f"127.0.0.1:{free_port()}",
        "--s3-listen",
        f"127.0.0.1:{free_port()}",
    ]
    command = [SKERRY, "--data", str(tmp_path / "data"), "up", *settings, *wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("skerry: ")
    assert done.stderr.count("\n") == 1, done.stderr
    left = [*said("nft", "list", "tables"), *said("ip", "-4", "addr"), *said("ls", "/run/skerry")]
    for trace in ("leakx", "TOOLONG", "10.251.0.1"):
        assert not any(trace in line for line in left)
