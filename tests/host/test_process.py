"""Running commands of the host."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skerry.base import Failed, NotAvailable
from skerry.host import process

SECOND = 10**9
pytestmark = pytest.mark.skipif(process.find("setpriv") is None, reason="needs util-linux")


def test_arguments_reach_the_command_as_they_are():
    done = process.run(["printf", "%s|", "a b", "$HOME", "*", ""], timeout_ns=10 * SECOND)

    assert (done.code, done.stdout) == (0, b"a b|$HOME|*||")


def test_the_streams_are_kept_apart():
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_ns=10 * SECOND)

    assert (done.code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert done.last_words() == "err"


def test_a_signal_is_told_as_shells_do():
    done = process.run(["sh", "-c", "kill -9 $$"], timeout_ns=10 * SECOND)

    assert done.code == 128 + signal.SIGKILL


def test_the_callers_environment_is_not_passed_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "x")

    done = process.run(["env"], timeout_ns=10 * SECOND)

    assert b"SECRET" not in done.stdout
    assert f"PATH={process.SYSTEM_PATH}".encode() in done.stdout


def test_a_command_may_read_from_a_descriptor():
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)

    done = process.run(["cat"], timeout_ns=10 * SECOND, stdin=read)
    os.close(read)

    assert done.stdout == b"hello"


def test_a_command_that_is_not_installed_is_told():
    with pytest.raises(NotAvailable, match="skerry-no-such-command is not installed"):
        process.run(["skerry-no-such-command"], timeout_ns=SECOND)


def test_a_command_that_fails_says_why():
    with pytest.raises(Failed, match="exit code 2: because"):
        process.must_run(["sh", "-c", "echo because >&2; exit 2"], timeout_ns=10 * SECOND)


def test_all_of_a_command_ends_at_the_time_limit():
    read, write = os.pipe()
    script = "sleep 1000 >&0 & exec sleep 1000"  # the child holds the pipe open while it lives

    with pytest.raises(NotAvailable) as caught:
        process.run(["sh", "-c", script], timeout_ns=SECOND // 5, stdin=write)
    os.close(write)

    assert caught.value.code == "command_timed_out"
    assert os.read(read, 1) == b""
    os.close(read)


def test_too_much_output_ends_the_command():
    with pytest.raises(Failed) as caught:
        process.run(["yes"], timeout_ns=60 * SECOND, stdout_bytes_max=100_000)

    assert caught.value.code == "command_output_too_long"


def test_the_end_of_a_long_stderr_is_kept():
    script = "head -c 300000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the reason >&2"

    done = process.run(["sh", "-c", script], timeout_ns=10 * SECOND)

    assert done.last_words() == "the reason"
    assert len(done.stderr) <= 64 * 1024


def test_a_daemon_left_behind_does_not_hold_the_call():
    done = process.run(["sh", "-c", "sleep 20 & echo $!"], timeout_ns=10 * SECOND)

    os.kill(int(done.stdout), signal.SIGKILL)


@pytest.mark.parametrize("function", ["run", "run_untied"])
def test_a_command_dies_with_us_unless_it_is_untied(tmp_path: Path, function: str):
    fifo = tmp_path / "fifo"  # its reader sees the end when the command is gone
    os.mkfifo(fifo)
    command = ["sh", "-c", 'exec 3>"$0"; echo $$ >&3; exec sleep 1000', str(fifo)]
    script = f"from skerry.host import process; process.{function}({command}, timeout_ns=10**12)"
    us = subprocess.Popen([sys.executable, "-c", script])

    with fifo.open("rb", buffering=0) as alive:
        pid = int(alive.readline())
        us.kill()
        us.wait()
        if function == "run_untied":
            os.kill(pid, signal.SIGKILL)  # raises if it is gone
        assert alive.read() == b""
