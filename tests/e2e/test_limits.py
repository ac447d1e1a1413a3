"""What a box may use, what hits it, and what is left of it then."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Program

# Allocates what it is told, in MiB, and touches every page.
ALLOCATE = "import sys; x = b'x' * (int(sys.argv[1]) << 20); print('enough')"
# Forks until it may not, tells why, and holds what it has until it is ended.
FORK = """
import os, signal
try:
    while os.fork():
        pass
except OSError as error:
    print(error.strerror, flush=True)
signal.pause()
"""
# Uses half a second of a CPU and tells how much of one it had on average.
SPIN = """
import time
begin = time.monotonic()
while time.process_time() < 0.5:
    pass
print(time.process_time() / (time.monotonic() - begin))
"""


@pytest.fixture
def small(program: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a box with 256 MiB of memory, 300 MiB of disk, 64 processes, a fifth of a CPU."""
    name = f"small-{abs(hash(request.node.nodeid)) % 10**10}"
    limits = "--memory 256M --disk 300M --processes 64 --cpus 0.2"
    program.ok("create", name, *limits.split())
    yield name
    program.run("destroy", name, "--yes", "--purge")


def change(program: Program, box: str, **limits: float) -> int:
    """Change limits of a running box; return the HTTP status."""
    return program.http("PUT", f"/v1/boxes/{box}", {"limits": limits})[0]


def allocate(program: Program, box: str, mebibytes: int) -> int:
    """Allocate memory in the box; return the exit code."""
    return program.run("exec", box, "--", "python3", "-c", ALLOCATE, str(mebibytes)).returncode


def fill(program: Program, box: str, path: str, mebibytes: int) -> tuple[int, bytes]:
    """Write a file in the box; return dd's exit code and what it said."""
    dd = ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={mebibytes}", "conv=fsync"]
    done = program.run("exec", "--user", "root", box, "--", *dd)
    return done.returncode, done.stderr


def test_a_command_that_takes_too_much_memory_is_ended_and_told_why(
    program: Program, small: str
) -> None:
    done = program.run("exec", small, "--", "python3", "-c", ALLOCATE, "600")

    assert done.returncode == 137
    assert b"memory limit" in done.stderr
    assert program.json("info", small)["limits_hit"]["memory"] >= 1
    assert program.ok("exec", small, "--", "echo", "alive") == "alive\n"


def test_a_box_full_of_processes_says_so_and_recovers(program: Program, small: str) -> None:
    session = program.ok("exec", "--detach", small, "--", "python3", "-c", FORK).split()[-1]
    while program.json("info", small)["usage"]["processes"] < 64:
        assert program.json("sessions", small)[0]["is_active"]

    refused = program.run("exec", small, "--", "true")

    assert refused.returncode != 0
    assert b"as many processes as it may (64)" in refused.stderr
    assert program.json("info", small)["limits_hit"]["processes"] >= 1
    program.ok("sessions", small, "kill", session)
    assert program.ok("exec", small, "--", "echo", "alive") == "alive\n"


def test_a_fork_bomb_ends_with_its_command(program: Program, small: str) -> None:
    bomb = "b() { b | b & }; b; while jobs %1 >/dev/null 2>&1; do :; done"
    program.run("exec", "--contain", small, "--", "timeout", "1", "bash", "-c", bomb)

    assert program.ok("exec", small, "--", "echo", "alive") == "alive\n"
    assert program.json("info", small)["usage"]["processes"] < 10


def test_a_full_disk_can_be_kept_and_be_made_room_on(program: Program, small: str) -> None:
    code, said = fill(program, small, "/big", 400)
    assert code != 0
    assert b"Disk quota exceeded" in said or b"No space left" in said
    assert b"skerry: The box's disk of 300 MiB is full." in said
    assert program.json("info", small)["limits_hit"]["disk"]

    program.ok("checkpoint", "create", small)
    program.ok("exec", "--user", "root", small, "--", "rm", "/big")
    program.ok("checkpoint", "delete", small, "v1")

    # btrfs gives room back in the background; pytest's own limit ends a wait in vain.
    while fill(program, small, "/again", 100)[0] != 0:
        pass


def test_a_write_through_the_api_tells_that_the_disk_is_full(program: Program, small: str) -> None:
    path = f"/v1/boxes/{small}/fs/write?path=/home/box/big"
    status, answer, _ = program.http("PUT", path, bytes(400 << 20))

    assert (status, answer["error"]) == (507, "disk_limit")
    assert program.run("file", "cat", small, "/home/box/big").returncode != 0, (
        "no half a file stays"
    )


def test_a_fifth_of_a_cpu_is_no_more_than_that(program: Program, small: str) -> None:
    # The slower the machine, the less it gets: only too much is wrong.
    assert float(program.ok("exec", small, "--", "python3", "-c", SPIN)) < 0.25


def test_new_limits_hold_for_a_running_box_at_once(program: Program, small: str) -> None:
    assert change(program, small, memory_bytes=1 << 30, disk_bytes=1 << 30) == 200

    assert allocate(program, small, 400) == 0
    assert fill(program, small, "/big", 400)[0] == 0
    assert change(program, small, memory_bytes=64 << 20, processes=16) == 200
    assert allocate(program, small, 400) == 137
    many = program.run(
        "exec", small, "--", "python3", "-c", FORK.replace("signal.pause()", "os._exit(3)")
    )
    assert b"Resource temporarily unavailable" in many.stdout
    assert b"skerry: The box has as many processes as it may." in many.stderr
    told = json.loads(program.ok("info", small, "--json"))["limits"]
    assert (told["memory_bytes"], told["processes"], told["cpus"]) == (64 << 20, 16, 0.2)


def test_limits_survive_a_stop_and_a_start(program: Program, small: str) -> None:
    program.ok("stop", small)
    program.ok("start", small)

    assert allocate(program, small, 600) == 137
    assert fill(program, small, "/big", 400)[0] != 0
