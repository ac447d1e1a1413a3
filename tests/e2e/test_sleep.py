"""Real boxes that fall asleep, are woken, and say why they are awake."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import SKERRY, Program
from tests.process import running


@pytest.fixture
def drowsy(program: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a box that is frozen after a second without a sign of life."""
    name = f"drowsy-{abs(hash(request.node.nodeid)) % 10**10}"
    program.ok("create", name, "--warm-after", "1s", "--cold-after", "1h")
    yield name
    program.run("destroy", name, "--yes", "--purge")


def status(program: Program, box: str) -> str:
    return program.json("info", box)["status"]


def wait_for(program: Program, box: str, wanted: str) -> None:
    """Wait until a box has a status; pytest's own limit ends a wait in vain."""
    while status(program, box) != wanted:
        pass


def test_a_box_falls_asleep_keeps_its_memory_and_wakes_for_an_exec(
    program: Program, drowsy: str
) -> None:
    keep = (
        "import time\nx = 'kept'\nwhile True:\n    open('/tmp/x', 'w').write(x); time.sleep(0.05)"
    )
    program.ok("exec", "--detach", drowsy, "--", "python3", "-c", keep)
    wait_for(program, drowsy, "warm")
    assert "frozen" in program.ok("why", drowsy)
    program.ok("file", "rm", drowsy, "/tmp/x")
    assert program.run("file", "cat", drowsy, "/tmp/x").returncode != 0, "nothing runs in it"

    waiting = "while ! [ -s /tmp/x ]; do sleep 0.01; done; cat /tmp/x"
    assert program.ok("exec", drowsy, "--", "sh", "-c", waiting) == "kept"
    assert status(program, drowsy) == "running"


def test_a_box_with_a_session_attached_does_not_sleep_and_says_so(
    program: Program, drowsy: str
) -> None:
    command = [SKERRY, "--data", str(program.data), "exec", "--stdin", drowsy, "--", "cat"]
    with running(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"hello\n"
        program.ok("create", f"{drowsy}-b", "--warm-after", "1s")
        wait_for(program, f"{drowsy}-b", "warm")
        program.ok("destroy", f"{drowsy}-b", "--yes", "--purge")

        assert "a session is attached" in program.ok("why", drowsy)
        assert status(program, drowsy) == "running"
        process.stdin.close()
        assert process.wait() == 0
    wait_for(program, drowsy, "warm")


def test_a_hold_is_taken_renewed_and_released(program: Program, drowsy: str) -> None:
    program.ok("hold", "take", drowsy, "agent", "--for", "1h")
    assert "it is held by 'agent'" in program.ok("why", drowsy)
    program.ok("hold", "take", drowsy, "agent", "--for", "2h")
    assert "in 119 m" in program.ok("hold", "list", drowsy)
    refused = program.run("hold", "take", drowsy, "agent", "--for", "9000h")
    assert (refused.returncode, b"--hold-max" in refused.stderr) == (1, True)
    program.ok("hold", "release", drowsy, "agent")
    wait_for(program, drowsy, "warm")


def test_a_warm_box_gets_cold_and_its_disk_stays(program: Program, drowsy: str) -> None:
    program.ok("exec", drowsy, "--", "sh", "-c", "echo kept > note")
    program.ok("update", drowsy, "--cold-after", "1s")
    wait_for(program, drowsy, "cold")
    assert program.ok("exec", drowsy, "--", "cat", "note") == "kept\n"


def test_every_verb_takes_a_box_that_sleeps(program: Program, drowsy: str) -> None:
    program.ok("checkpoint", "create", drowsy)
    for verb in (
        ("checkpoint", "create", drowsy),
        ("fork", drowsy, f"{drowsy}-f"),
        ("restore", drowsy, "v1"),
        ("stop", drowsy),
    ):
        if verb[0] != "stop":
            wait_for(program, drowsy, "warm")
        program.ok(*verb)
    assert program.ok("exec", f"{drowsy}-f", "--", "echo", "awake") == "awake\n"
    program.ok("destroy", f"{drowsy}-f", "--yes", "--purge")


def test_a_sleeping_box_is_still_warm_after_the_daemon_was_killed(
    program: Program, drowsy: str
) -> None:
    wait_for(program, drowsy, "warm")
    program.kill()
    program.start()
    assert status(program, drowsy) == "warm"
    assert program.ok("exec", drowsy, "--", "echo", "awake") == "awake\n"


def test_a_sleeping_session_can_be_ended_and_joined(program: Program, drowsy: str) -> None:
    session = program.ok("exec", "--detach", drowsy, "--", "sleep", "1000").strip()
    wait_for(program, drowsy, "warm")
    program.ok("sessions", drowsy, "kill", session)
    assert [each["is_active"] for each in program.json("sessions", drowsy)] in ([], [False])


def test_a_file_call_does_not_need_the_box_awake(
    program: Program, drowsy: str, tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("from outside")
    wait_for(program, drowsy, "warm")
    program.ok("file", "push", drowsy, str(tmp_path / "note"), "/home/box/note")
    assert program.ok("file", "cat", drowsy, "note") == "from outside"
    assert status(program, drowsy) == "warm"
