"""Ports of boxes as ports of this machine, and the proxy of the wire protocol."""

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.e2e.conftest import SKERRY, Program
from tests.process import running

# Listens on the box's localhost alone, and sends back what it gets.
ECHO = """
import socket, threading
s = socket.create_server(("127.0.0.1", 7000))
def serve(c):
    while d := c.recv(65536): c.sendall(d)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


@pytest.fixture(scope="module")
def echo(program: Program) -> Iterator[str]:
    """The name of a box in which a service echoes on port 7000."""
    program.ok("create", "echo")
    program.ok(
        "service", "create", "echo", "echo", "--cmd", "python3", "--arg=-c", f"--arg={ECHO}",
        "--http-port", "7000",
    )  # fmt: skip
    while program.json("service", "info", "echo", "echo")["state"]["status"] != "running":
        pass
    yield "echo"
    program.run("destroy", "echo", "--yes", "--purge")


@pytest.fixture
def local(program: Program, echo: str) -> Iterator[int]:
    """A port here that is port 7000 there."""
    command = [SKERRY, "--data", str(program.data), "proxy", echo, "0:7000"]
    with running(subprocess.Popen(command, stderr=subprocess.PIPE, text=True)) as process:
        assert process.stderr is not None
        match = re.search(r":(\d+) is port 7000", process.stderr.readline())
        assert match is not None
        yield int(match[1])
        process.terminate()


def echoed(port: int, data: bytes) -> bytes:
    """Send data, and return what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as there:
        sending = threading.Thread(target=there.sendall, args=(data,))
        sending.start()
        found = bytearray()
        while len(found) < len(data):
            piece = there.recv(1 << 16)
            assert piece, "it was cut"
            found += piece
        sending.join()
        return bytes(found)


def test_what_listens_on_localhost_in_a_box_is_reached(local: int) -> None:
    assert echoed(local, b"hello") == b"hello"


def test_much_data_arrives_whole_both_ways(local: int) -> None:
    data = bytes(range(256)) * (1 << 16)

    assert echoed(local, data) == data


def test_a_box_that_sleeps_is_woken_by_a_connection(
    program: Program, echo: str, local: int
) -> None:
    program.ok("stop", echo)

    assert echoed(local, b"awake") == b"awake"
    assert program.json("info", echo)["status"] == "running"


def test_an_open_connection_keeps_a_box_awake(program: Program, echo: str, local: int) -> None:
    with socket.create_connection(("127.0.0.1", local)) as there:
        there.sendall(b"x")
        assert there.recv(1) == b"x"
        assert "a forwarded connection is open" in program.ok("why", echo)


def test_the_wire_protocol(program: Program, echo: str) -> None:
    url = f"ws://127.0.0.1:{program.port}/v1/sprites/{echo}/proxy"
    headers = {"Authorization": f"Bearer {program.token}"}
    with connect(url, additional_headers=headers) as proxy:
        proxy.send(json.dumps({"host": "localhost", "port": 7000}))
        told = json.loads(proxy.recv())
        proxy.send(b"raw bytes")
        assert (told["status"], proxy.recv()) == ("connected", b"raw bytes")


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"host": "localhost", "port": 1}, "port_closed"),
        ({"host": "10.0.0.1", "port": 80}, "host_denied"),
        ({"port": 70_000}, "bad_message"),
        ([], "bad_message"),
    ],
)
def test_what_cannot_be_reached_is_told(
    program: Program, echo: str, first: object, code: str
) -> None:
    url = f"ws://127.0.0.1:{program.port}/v1/boxes/{echo}/proxy"
    headers = {"Authorization": f"Bearer {program.token}"}
    with connect(url, additional_headers=headers) as proxy:
        proxy.send(json.dumps(first))
        told = json.loads(proxy.recv())
    assert (told["status"], told["error"]) == ("error", code)


def test_who_sends_no_more_still_gets_the_answer(local: int) -> None:
    with socket.create_connection(("127.0.0.1", local), timeout=60) as there:
        there.sendall(b"all that I have")
        there.shutdown(socket.SHUT_WR)
        found = b""
        while piece := there.recv(4096):
            found += piece

    assert found == b"all that I have"
