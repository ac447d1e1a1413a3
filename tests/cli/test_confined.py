"""The confined command line: what it refuses, and what it cannot reach."""

import subprocess
import sys
from pathlib import Path

import pytest

from skerry.cli import confined
from skerry.cli.table import TABLE


def test_every_command_is_one() -> None:
    assert set(confined.COMMANDS) <= {entry.name for entry in TABLE}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 0, "usage: ssh skerry@HOST"),
        (["--help"], 0, "usage: ssh skerry@HOST"),
        (["--json"], 0, "usage: ssh skerry@HOST"),
        (["help"], 0, "usage: ssh skerry@HOST"),
        (["nothing"], 2, "no command 'nothing'"),
        (["help", "up"], 2, "up is not for here"),
        (["up"], 2, "up is not for here"),
        (["api", "GET", "/"], 2, "api is not for here"),
        (["x", "dev", "ls"], 2, "ssh BOX@HOST"),
        (["file", "get", "dev:/etc/passwd"], 2, "scp"),
        (["list", "--url", "http://10.0.0.1"], 2, "not for here"),
        (["--data=/var/lib/skerry", "list"], 2, "not for here"),
        (["list", "--token=x"], 2, "not for here"),
        (["--", "list", "--token=x"], 2, "not for here"),
        (["service", "--", "create", "dev", "web", "--url=http://10.0.0.1"], 2, "not for here"),
    ],
)
def test_what_is_refused_before_anything_is_given_up(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    assert confined.main(["/nonexistent", *words]) == code

    shown = capsys.readouterr()
    assert says in shown.out + shown.err


LOOKS = """
import os, sys
from skerry.cli import confined
confined._confine(sys.argv[1])
def fails(work):
    try: work()
    except OSError: return True
    return False
print(os.getresuid(), os.getresgid(), os.getgroups(), os.listdir("/"), os.listdir("../../.."))
print(fails(lambda: open("/etc/passwd")), fails(lambda: open("x", "w")), fails(lambda: os.chroot(".")))
print(fails(lambda: os.setuid(0)), fails(lambda: os.mkdir("x")), os.path.exists("/proc/self"))
"""


@pytest.mark.machine
def test_root_and_files_are_given_up_for_good(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, tmp_path], capture_output=True, text=True, check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip

    nobody = (65_534,) * 3
    first, second, third = done.stdout.splitlines()[-3:]
    assert first == f"{nobody} {nobody} [] [] []"
    assert (second, third) == ("True True True", "True True False")
