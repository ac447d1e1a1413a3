"""Pipes, terminals and signals, with the program as a process of its own."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Served, Shell
from tests.process import running

SOURCES = str(Path(__file__).parents[2] / "src")


def program(served: Served, *words: str) -> list[str]:
    data = str(served.socket_path.parent)
    return [sys.executable, "-m", "skerry", "--data", data, *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCES}


def run(served: Served, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        program(served, *words), input=stdin, capture_output=True, timeout=60, env=environment(),
        check=False,
    )  # fmt: skip


def active(shell: Shell) -> list[bool]:
    return [each["is_active"] for each in shell.json("sessions", "dev")]


def wait_active(shell: Shell) -> None:
    while active(shell) != [True]:
        pass


@pytest.fixture
def dev(shell: Shell) -> Shell:
    shell.ok("create", "dev")
    return shell


@pytest.mark.usefixtures("dev")
def test_input_and_output_pass_unchanged(served: Served) -> None:
    data = os.urandom(500_000)

    assert run(served, "exec", "dev", "cat", stdin=data).stdout == data


@pytest.mark.usefixtures("dev")
def test_input_from_a_file(served: Served, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"from a file")
    with open(tmp_path / "input", "rb") as file:
        done = subprocess.run(
            program(served, "exec", "dev", "cat"), stdin=file, capture_output=True, timeout=60,
            env=environment(), check=False,
        )  # fmt: skip

    assert done.stdout == b"from a file"


@pytest.mark.usefixtures("dev")
def test_input_that_is_not_wanted_is_left_alone(served: Served) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"for the next one")
    subprocess.run(
        program(served, "exec", "--no-stdin", "dev", "echo"), stdin=reader, timeout=60,
        env=environment(), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip

    assert os.read(reader, 100) == b"for the next one"
    os.close(reader)
    os.close(writer)


@pytest.mark.usefixtures("dev")
def test_input_that_never_ends_holds_nothing_up(served: Served) -> None:
    reader, writer = os.pipe()
    done = subprocess.run(
        program(served, "exec", "dev", "echo", "done"), stdin=reader, capture_output=True,
        timeout=60, env=environment(), check=False,
    )  # fmt: skip
    os.close(reader)
    os.close(writer)

    assert (done.stdout, done.returncode) == (b"done\n", 0)


@pytest.mark.usefixtures("dev")
def test_closed_descriptors_are_no_input(served: Served) -> None:
    words = " ".join(program(served, "exec", "dev", "echo", "done"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} <&-"], capture_output=True, timeout=60, env=environment(),
        check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == (b"done\n", b"")


@pytest.mark.usefixtures("dev")
def test_output_that_nobody_takes_ends_the_command(served: Served) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        program(served, "exec", "dev", "echo", "hi"), stdout=writer, stderr=subprocess.PIPE,
        timeout=60, env=environment(), check=False,
    )  # fmt: skip
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


@contextmanager
def started(served: Served, *words: str) -> Generator[subprocess.Popen[bytes]]:
    with running(subprocess.Popen(
        program(served, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, env=environment(),
    )) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def test_an_interrupt_goes_to_the_command(served: Served, dev: Shell) -> None:
    with started(served, "exec", "dev", "sleep", "100") as process:
        wait_active(dev)
        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 130
    assert active(dev) == [False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_of_the_program_is_one_of_the_command(
    served: Served, dev: Shell, number: signal.Signals
) -> None:
    with started(served, "exec", "dev", "sleep", "100") as process:
        wait_active(dev)
        process.send_signal(number)

        assert process.wait(60) == 128 + number
    assert active(dev) == [False]


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, served: Served, *words: str) -> None:
        self.outer, self._inner = pty.openpty()
        self.before = termios.tcgetattr(self._inner)
        self.process = subprocess.Popen(
            program(served, *words), stdin=self._inner, stdout=self._inner, stderr=self._inner,
            start_new_session=True, env=environment(),
        )  # fmt: skip

    def attributes(self) -> list[object]:
        return termios.tcgetattr(self._inner)

    def read_until(self, text: bytes) -> bytes:
        said = b""
        while text not in said:
            assert select.select([self.outer], [], [], 30)[0], said
            said += os.read(self.outer, 4096)
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.outer)
        os.close(self._inner)


@contextmanager
def terminal(served: Served, *words: str) -> Generator[Terminal]:
    made = Terminal(served, *words)
    try:
        yield made
    finally:
        made.close()


def until_raw(on: Terminal) -> None:
    while on.attributes() == on.before:
        pass


def test_a_terminal_is_raw_while_it_is_joined_and_put_back(served: Served, dev: Shell) -> None:
    with terminal(served, "exec", "-t", "dev", "sleep", "100") as on:
        until_raw(on)
        os.write(on.outer, b"\x1c")
        said = on.read_until(b"joins it")

        assert on.process.wait(60) == 0
        assert on.attributes() == on.before
    assert b"skerry sessions dev attach ses_" in said
    assert active(dev) == [True]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_goes_away_leaves_the_session(
    served: Served, dev: Shell, number: signal.Signals
) -> None:
    with terminal(served, "exec", "-t", "dev", "sleep", "100") as on:
        until_raw(on)
        on.process.send_signal(number)

        assert on.process.wait(60) == 128 + number
        assert on.attributes() == on.before
    assert active(dev) == [True]


def test_a_terminal_whose_session_ends_is_put_back(served: Served, dev: Shell) -> None:
    with terminal(served, "exec", "-t", "dev", "sleep", "100") as on:
        until_raw(on)
        (session,) = dev.json("sessions", "dev")
        dev.ok("sessions", "dev", "kill", session["id"])

        assert on.process.wait(60) == 143
        assert on.attributes() == on.before


def test_listing_imports_little(served: Served) -> None:
    words = program(served, "list")[3:]
    code = f"import sys; from skerry.cli import main; main({words}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, env=environment(), check=True
    )
    imported = set(done.stdout.decode().split())

    heavy = {"uvicorn", "starlette", "sqlite3", "wsproto", "uvloop", "typing_extensions", "email"}
    assert "skerry.client.cloud" in imported
    assert not heavy & imported
