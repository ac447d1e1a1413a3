"""Building images: what a build makes stays, whatever else it does is gone with it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.base import Failed, Invalid, NotAvailable
from skerry.host.image_build import bootstrap_command, build_image
from skerry.host.image_recipe import Recipe
from tests.process import running

pytestmark = pytest.mark.machine

COMMANDS = ("sh", "cat", "chmod", "cp", "find", "mkdir", "mv", "rm", "sleep", "touch")


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """Give a root filesystem of this machine's own shell and a few commands."""
    root = tmp_path / "tree"
    for name in ("dev", "etc/ssh", "proc", "run", "sys", "tmp", "usr/sbin", "var/log", "var/tmp"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for command in COMMANDS:
        path = shutil.which(command, path="/usr/bin:/bin")
        assert path is not None
        put(path, root / "usr/bin" / command)
        linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
        for library in (word for word in linked.stdout.split() if word.startswith("/")):
            put(library, root / library.lstrip("/"))
    yield root
    assert str(root) not in Path("/proc/self/mountinfo").read_text(), "a mount was left behind"


def put(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def child(*steps: str) -> Recipe:
    return Recipe(summary="a test's", parent="base", steps=steps)


def ignore(_: str) -> None:
    """Hear of a step and do nothing about it."""


def test_steps_run_in_order_as_root_of_the_tree(tree: Path) -> None:
    heard: list[str] = []

    build_image(child("mkdir /made", "echo $PWD $HOME >/made/file"), str(tree), heard.append)

    assert (tree / "made/file").read_text() == "/ /root\n"
    assert heard == ["step 1 of 2", "step 2 of 2", "cleaning up"]


def test_a_step_of_several_lines_may_hold_a_document(tree: Path) -> None:
    build_image(child("\n  cat >/x <<'END'\n    a 'b' $c\n  END\n  "), str(tree), ignore)

    assert (tree / "x").read_text() == "  a 'b' $c\n"


def test_what_is_one_machines_own_does_not_stay(tree: Path) -> None:
    (tree / "etc/machine-id").write_text("0123\n")
    (tree / "etc/resolv.conf").symlink_to("/etc/passwd")
    (tree / "dev/null").touch()
    keys = "touch /etc/ssh/ssh_host_rsa_key /etc/ssh/sshd_config /tmp/x /var/log/x /run/x"

    build_image(child(keys, "cat /usr/sbin/policy-rc.d >/policy"), str(tree), ignore)

    assert "exit 101" in (tree / "policy").read_text()
    emptied = [tree / "etc" / name for name in ("machine-id", "resolv.conf", "hostname")]
    assert [(path.read_bytes(), path.is_symlink()) for path in emptied] == [(b"", False)] * 3
    assert os.listdir(tree / "etc/ssh") == ["sshd_config"]
    for name in ("dev", "tmp", "run", "var/log", "usr/sbin", "proc", "sys"):
        assert os.listdir(tree / name) == []


def test_a_build_sees_devices_and_processes_of_its_own_only(tree: Path) -> None:
    look = "cd /dev; echo * >/devices; cd /proc; echo [0-9]* >/processes"

    build_image(child(look), str(tree), ignore)

    devices = (tree / "devices").read_text().split()
    assert {"null", "zero", "urandom", "pts", "shm", "ptmx"} <= set(devices)
    assert not [name for name in devices if name.startswith(("sd", "vd", "loop", "mem", "kmsg"))]
    assert len((tree / "processes").read_text().split()) < 5


def test_a_failing_step_says_what_it_said(tree: Path) -> None:
    with pytest.raises(Failed, match=r"exit code 3: no luck\.") as caught:
        build_image(child("echo before", "echo E: no luck.; exit 3", "touch /x"), str(tree), ignore)

    assert caught.value.code == "image_build_failed"
    assert "before" in str(caught.value.details["last_lines"])
    assert not (tree / "x").exists()


def test_what_a_step_leaves_running_ends_with_the_build(tree: Path) -> None:
    os.mkfifo(tree / "alive")
    reader = os.open(tree / "alive", os.O_RDONLY | os.O_NONBLOCK)

    build_image(child("{ echo x; sleep 1000; } >/alive 2>&1 &"), str(tree), ignore)

    os.set_blocking(reader, True)
    assert os.read(reader, 100) == b"x\n"
    assert os.read(reader, 100) == b"", "this returns when nobody holds the other end"
    os.close(reader)


def test_a_killed_builder_takes_the_build_with_it(tree: Path) -> None:
    os.mkfifo(tree / "alive")
    program = (
        "import sys; from skerry.host.image_build import build_image;"
        "from skerry.host.image_recipe import Recipe;"
        "build_image(Recipe(summary='x', parent='x', steps=('echo x >/alive; exec sleep 1000 "
        ">/alive',)), sys.argv[1], print)"
    )
    with running(subprocess.Popen([sys.executable, "-c", program, str(tree)])) as builder:
        with (tree / "alive").open("rb") as reader:
            assert reader.readline() == b"x\n"
        with (tree / "alive").open("rb") as reader:
            builder.send_signal(signal.SIGKILL)
            assert reader.read() == b"", "this returns when nobody holds the other end"


def test_what_progress_raises_ends_the_build(tree: Path) -> None:
    def stop(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        build_image(child("sleep 1000"), str(tree), stop)


def test_a_build_that_takes_too_long_is_ended(tree: Path) -> None:
    with pytest.raises(NotAvailable) as caught:
        build_image(child("sleep 1000"), str(tree), ignore, timeout_ns=1)

    assert caught.value.code == "image_build_timed_out"


def test_a_parent_whose_links_lead_mounts_out_is_refused(tree: Path) -> None:
    (tree / "proc").rmdir()
    (tree / "proc").symlink_to("/proc")

    with pytest.raises(Invalid, match="/proc is no directory"):
        build_image(child(), str(tree), ignore)


def test_a_mirror_of_ones_own_replaces_the_usual_one() -> None:
    recipe = Recipe(summary="x", suite="trixie", packages=("git",), leave_out=("/usr/share/man/*",))

    command = bootstrap_command(recipe, "/tree", "http://mirror.example/debian")

    assert "--include=git" in command
    assert "--dpkgopt=path-exclude=/usr/share/man/*" in command
    assert command[-4:] == (
        *("trixie", "/tree", "deb http://mirror.example/debian trixie main"),
        "deb http://mirror.example/debian trixie-updates main",
    )
