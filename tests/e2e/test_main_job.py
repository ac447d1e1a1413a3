"""The main job, as a person does it at the command line."""

import os
import re
import subprocess
from pathlib import Path

from tests.e2e.conftest import Program


def test_a_wrecked_box_comes_back(program: Program, box: str) -> None:
    program.ok("exec", box, "--", "sh", "-c", "echo precious > /home/box/note")
    assert program.ok("checkpoint", "create", box, "--comment", "good").strip().endswith("v1")
    program.run("exec", box, "--", "sudo", "rm", "-rf", "/usr", "/bin", "/home/box")
    assert program.run("exec", box, "--", "cat", "/home/box/note").returncode != 0

    program.ok("restore", box, "v1")

    assert program.ok("exec", box, "--", "cat", "/home/box/note") == "precious\n"
    kept = [c["id"] for c in program.json("checkpoint", "list", box) if c["is_auto"]]
    assert kept == ["auto-2"]


def test_a_checkpoint_is_made_while_the_box_works(program: Program, box: str) -> None:
    program.ok(
        "exec", box, "--", "sh", "-c", "(while :; do date >> /tmp/log; done) & echo $! > /tmp/pid"
    )
    program.ok("checkpoint", "create", box)
    program.ok("exec", box, "--", "sh", "-c", "kill -0 $(cat /tmp/pid)")

    inside = program.ok("exec", box, "--", "ls", "/.skerry/checkpoints")

    assert inside == "v1\n"
    assert program.run("exec", box, "--", "sudo", "touch", "/.skerry/checkpoints/v1/x").returncode


def test_what_changed_since_a_checkpoint_is_told(program: Program, box: str) -> None:
    program.ok("exec", box, "--", "sh", "-c", "echo 1 > /home/box/a; echo 1 > /home/box/b")
    program.ok("checkpoint", "create", box)
    program.ok("exec", box, "--", "sh", "-c", "rm ~/a; echo 2 > ~/b; echo 3 > ~/c; mv ~/b ~/d")

    changes = {c["path"]: c["kind"] for c in program.json("checkpoint", "diff", box, "v1")}

    assert changes["/home/box/a"] == "deleted"
    assert changes["/home/box/c"] == "added"
    assert "/home/box/d" in changes


def test_one_file_comes_out_of_a_checkpoint(program: Program, box: str) -> None:
    program.ok("exec", box, "--", "sh", "-c", "echo before > /home/box/f")
    program.ok("checkpoint", "create", box)
    program.ok("exec", box, "--", "sh", "-c", "echo after > /home/box/f")

    assert program.ok("checkpoint", "file", box, "v1", "/home/box/f") == "before\n"


def test_forks_are_computers_of_their_own(program: Program, box: str) -> None:
    program.ok("exec", box, "--", "sh", "-c", "echo shared > /home/box/f")
    program.ok("checkpoint", "create", box)
    names = [f"{box}-f-{n}" for n in range(3)]

    program.ok("fork", f"{box}@v1", f"{box}-f", "--count", "3")

    try:
        who = "cat /home/box/f; hostname; cat /etc/machine-id; ip -4 -o addr show eth0"
        said = [program.ok("exec", name, "--", "sh", "-c", who).splitlines() for name in names]
        assert [lines[:2] for lines in said] == [["shared", name] for name in names]
        assert len({lines[2] for lines in said}) == 3
        assert len({re.search(r"inet ([0-9.]+)", lines[3])[1] for lines in said}) == 3  # type: ignore[index]
    finally:
        for name in names:
            program.ok("destroy", name, "--yes", "--purge")


def test_destroy_can_be_undone(program: Program, box: str) -> None:
    program.ok("exec", box, "--", "sh", "-c", "echo kept > /home/box/f")
    program.ok("destroy", box, "--yes")
    assert box not in {b["name"] for b in program.json("list")}

    program.ok("undo", box)

    assert program.ok("exec", box, "--", "cat", "/home/box/f") == "kept\n"


def test_a_box_stays_through_a_restart_of_the_daemon(program: Program, box: str) -> None:
    program.ok(
        "exec", box, "--", "sh", "-c", "nohup sleep 1000 >/dev/null 2>&1 & echo $! > /tmp/pid"
    )
    assert program.stop() == 0
    program.start()

    assert program.json("info", box)["status"] == "running"
    program.ok("exec", box, "--", "sh", "-c", "kill -0 $(cat /tmp/pid)")


def test_stop_and_start(program: Program, box: str) -> None:
    program.ok("stop", box)
    assert program.json("info", box)["status"] == "cold"
    program.ok("start", box)
    assert program.json("info", box)["status"] == "running"


def test_files_travel_both_ways(program: Program, box: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "blob").write_bytes(os.urandom(3_000_000))
    (tmp_path / "in" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "in" / "run.sh").chmod(0o755)

    program.ok("file", "push", "-r", box, str(tmp_path / "in"), "/home/box/in")
    assert program.ok("exec", box, "--", "/home/box/in/run.sh") == "ran\n"
    program.ok("file", "pull", "-r", box, "/home/box/in", str(tmp_path / "out"))

    assert (
        subprocess.run(["diff", "-r", tmp_path / "in", tmp_path / "out"], check=False).returncode
        == 0
    )


def test_a_box_becomes_an_image(program: Program, box: str) -> None:
    program.ok("exec", box, "--", "sudo", "sh", "-c", "echo mine > /etc/mine")
    program.ok("image", "save", box, f"img-{box}")
    program.ok("create", f"{box}-2", "--image", f"img-{box}")

    try:
        assert program.ok("exec", f"{box}-2", "--", "cat", "/etc/mine") == "mine\n"
    finally:
        program.ok("destroy", f"{box}-2", "--yes", "--purge")
        program.ok("image", "delete", f"img-{box}")
