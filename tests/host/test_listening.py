"""Which ports listen, asked of the kernel in a network of its own."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from skerry.host.listening import listening_ports
from skerry.host.monitors import started_ticks
from skerry.host.seam import Running
from tests.process import running

pytestmark = pytest.mark.machine

# Listens on three ports, one of which has a connection, and says when.
LISTEN = """
import socket, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
four, six = socket.create_server(("127.0.0.1", 1001)), socket.socket(socket.AF_INET6)
six.bind(("::1", 1002)); six.listen()
both = socket.create_server(("127.0.0.2", 1003)), socket.create_server(("0.0.0.0", 1004))
client = socket.socket(); client.bind(("127.0.0.1", 1005)); client.connect(("127.0.0.1", 1001))
print("ready", flush=True)
input()
"""


@contextmanager
def listening() -> Generator[Running]:
    """Give a process in a network of its own that listens."""
    command = ["unshare", "--net", sys.executable, "-c", LISTEN]
    with running(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        yield Running(process.pid, started_ticks(process.pid))
        process.stdin.write(b"\n")


def test_ports_that_listen_are_told_with_their_address_and_no_others() -> None:
    with listening() as first:
        assert listening_ports(first) == {
            1001: "127.0.0.1", 1002: "::1", 1003: "127.0.0.2", 1004: "0.0.0.0",
        }  # fmt: skip


def test_a_process_that_is_another_by_now_has_no_ports() -> None:
    with listening() as first:
        assert listening_ports(Running(first.init_pid, first.started_ticks - 1)) == {}
    assert listening_ports(Running(1 << 30, 1)) == {}
