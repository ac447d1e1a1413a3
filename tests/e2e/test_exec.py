"""Execs and sessions at the command line."""

import os
import signal
import subprocess
import time

import pytest

from tests.e2e.conftest import SKERRY, Program
from tests.process import running


def processes(program: Program, box: str, marker: str) -> list[str]:
    """The processes in the box whose arguments hold marker."""
    done = program.run("exec", box, "--", "pgrep", "-f", marker)
    return done.stdout.decode().split()


def gone(program: Program, box: str, marker: str) -> bool:
    """Whether within 20 s no process in the box holds marker in its arguments."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        # A pattern that does not match itself.
        if not processes(program, box, f"[{marker[0]}]{marker[1:]}"):
            return True
    return False


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_the_exit_code_is_the_commands(program: Program, box: str, script: str, code: int) -> None:
    assert program.run("exec", box, "--", "sh", "-c", script).returncode == code


def test_a_command_that_is_not_there(program: Program, box: str) -> None:
    done = program.run("exec", box, "--", "no-such-command")

    assert done.returncode == 127
    assert b"no-such-command" in done.stderr


def test_streams_stay_apart_and_bytes_unchanged(program: Program, box: str) -> None:
    data = os.urandom(300_000)
    done = program.run("exec", box, "--", "sh", "-c", "cat; echo problem >&2", stdin=data)

    assert done.stdout == data
    assert done.stderr == b"problem\n"


def test_arguments_are_an_array_all_the_way(program: Program, box: str) -> None:
    words = ["a b", "$HOME", "'\"", "\n", "*", ";", "", "-n", "\u00fc"]
    done = program.ok("exec", box, "--", "python3", "-c", "import sys; print(sys.argv[1:])", *words)

    assert done == f"{words}\n"


def test_arguments_may_hold_any_byte(program: Program, box: str) -> None:
    done = program.run("exec", box, "--", "printf", "%s", b"\xff\xfe\x80")

    assert done.stdout == b"\xff\xfe\x80"


def test_environment_directory_and_user(program: Program, box: str) -> None:
    script = "echo $A; pwd; id -un"
    said = program.ok("exec", box, "--env", "A=1 2", "--dir", "/tmp", "--", "sh", "-c", script)
    as_root = program.ok("exec", box, "--user", "root", "--", "id", "-u")

    assert said == "1 2\n/tmp\nbox\n"
    assert as_root == "0\n"


def test_a_background_child_is_left_alone_unless_contained(program: Program, box: str) -> None:
    script = "setsid sleep 98765 >/dev/null 2>&1 & setsid sleep 45678 & echo started"
    program.ok("exec", box, "--", "sh", "-c", script)
    assert len(processes(program, box, "sleep [94]")) == 2
    program.ok("exec", box, "--contain", "--", "sh", "-c", "setsid sleep 34567 & echo started")

    assert gone(program, box, "sleep 34567")
    assert len(processes(program, box, "sleep [94]")) == 2


def test_a_killed_client_leaves_nothing_behind(program: Program, box: str) -> None:
    command = [SKERRY, "--data", str(program.data), "exec", "--max-run-after-disconnect", "0s", box]
    script = "setsid nohup sleep 76543 & nohup sleep 76543 & sleep 76543"
    with running(
        subprocess.Popen([*command, "--", "sh", "-c", script], stdout=subprocess.DEVNULL)
    ) as client:
        deadline = time.monotonic() + 20
        while len(processes(program, box, "[s]leep 76543")) < 3:
            assert time.monotonic() < deadline
        client.kill()

    assert gone(program, box, "sleep 76543")


def test_ctrl_c_reaches_the_command(program: Program, box: str) -> None:
    command = [SKERRY, "--data", str(program.data), "exec", box, "--", "sh", "-c"]
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done"
    with running(subprocess.Popen([*command, script], stdout=subprocess.PIPE)) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        client.send_signal(signal.SIGINT)
        output, _ = client.communicate(timeout=30)

    assert (output, client.returncode) == (b"caught\n", 3)


def test_a_session_is_left_joined_and_ended(program: Program, box: str) -> None:
    script = "echo first; while :; do sleep 1; done"
    session = program.ok("exec", "--detach", box, "--", "sh", "-c", script).split()[-1]
    listed = program.json("sessions", box)
    assert [s["id"] for s in listed if s["is_active"]] == [session]
    assert program.stop() == 0
    program.start()
    command = [SKERRY, "--data", str(program.data), "sessions", box, "attach", session]
    with running(subprocess.Popen(command, stdout=subprocess.PIPE)) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"first\n"
        program.ok("sessions", box, "kill", session)
        client.wait(timeout=30)

    assert client.returncode == 128 + signal.SIGTERM
    assert not any(s["is_active"] for s in program.json("sessions", box))


def test_a_terminal_has_a_size_and_echoes(program: Program, box: str) -> None:
    script = f"stty rows 33 cols 99; {SKERRY} --data {program.data} exec -t {box} -- stty size"
    done = subprocess.run(
        ["script", "-qec", script, "/dev/null"], capture_output=True, timeout=60, check=False
    )

    assert b"33 99" in done.stdout


def test_output_that_nobody_reads_holds_the_command_back(program: Program, box: str) -> None:
    command = [SKERRY, "--data", str(program.data), "exec", box, "--", "sh", "-c"]
    script = "i=0; while :; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > /tmp/count; done"
    assert program.process is not None
    with running(subprocess.Popen([*command, script], stdout=subprocess.PIPE)) as client:
        counts: list[str] = []
        while len(counts) < 3 or len(set(counts[-3:])) > 1:
            time.sleep(0.5)
            counts.append(program.run("exec", box, "--", "cat", "/tmp/count").stdout.decode())
        client.kill()

    assert int(counts[-1]) < 2000, "not much more than what pipes and buffers hold"
