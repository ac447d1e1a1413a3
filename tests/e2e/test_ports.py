"""Ports that programs open in boxes: told as they come and go, and made ports of this machine."""

import os
import pty
import re
import select
import socket
import subprocess
import threading
import time

from websockets.sync.client import connect

from tests.e2e.conftest import SKERRY, Program, free_port
from tests.process import running

LISTEN = "import socket, time, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
GREET = LISTEN + "while True: c = s.accept()[0]; c.sendall(b'hello'); c.close()"


def test_a_port_that_opens_is_told_and_so_is_its_end(program: Program, box: str) -> None:
    url = program.url.replace("http", "ws") + f"/v1/sprites/{box}/ports/watch"
    headers = {"Authorization": f"Bearer {program.token}"}
    with connect(url, additional_headers=headers) as watch:
        assert watch.recv() == '{"type":"port_list","ports":[]}'
        program.ok("exec", box, "--", "python3", "-c", LISTEN + "time.sleep(1.5)", "4321")
        assert watch.recv() == '{"type":"port_opened","port":4321,"address":"127.0.0.1"}'
        assert watch.recv() == '{"type":"port_closed","port":4321,"address":"127.0.0.1"}'


def test_the_client_of_an_exec_is_told_of_its_ports(program: Program, box: str) -> None:
    url = program.url.replace("http", "ws") + f"/v1/sprites/{box}/exec?cmd=python3&cmd=-c"
    script = LISTEN + "time.sleep(2)"
    query = "".join(
        f"&cmd={word}" for word in (script.replace("\n", "%0A").replace(" ", "%20"), "99")
    )
    headers = {"Authorization": f"Bearer {program.token}"}
    with connect(url + query + "&user=root", additional_headers=headers) as told:
        said = [message for message in told if isinstance(message, str)]

    assert '{"type":"port_opened","port":99,"address":"127.0.0.1"}' in said


def test_what_a_command_opens_is_a_port_of_this_terminal(program: Program, box: str) -> None:
    port = free_port()
    master, slave = pty.openpty()
    command = [SKERRY, "--data", str(program.data), "exec", "--tty", box, "--"]
    with running(
        subprocess.Popen(
            [*command, "python3", "-c", GREET, str(port)], stdin=slave, stdout=slave, stderr=slave
        )
    ) as process:
        os.close(slave)
        said = b""
        while not re.search(rb"port %d of" % port, said):
            assert select.select([master], [], [], 60)[0], said
            said += os.read(master, 65536)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as there:
            assert there.recv(5) == b"hello"
        os.write(master, b"\x03")
        while not process_ended(process, master):
            pass
    os.close(master)
    assert not is_open(port)


def test_a_published_port_wakes_its_box_and_can_be_taken_back(program: Program, box: str) -> None:
    port = free_port()
    echo = LISTEN + "while True:\n    c = s.accept()[0]\n    while d := c.recv(65536): c.sendall(d)"
    program.ok(
        "service", "create", box, "echo", "--cmd", "python3", "--arg=-c", f"--arg={echo}", "--arg=77",
        "--user", "root",
    )  # fmt: skip
    assert f"127.0.0.1:{port}" in program.ok("publish", box, f"{port}:77", "--bind", "127.0.0.1")
    program.ok("stop", box)
    data = os.urandom(1 << 20)
    with connected(port) as there:
        sending = threading.Thread(target=there.sendall, args=(data,))
        sending.start()
        found = b""
        while len(found) < len(data):
            found += there.recv(1 << 16)
        sending.join()
    assert found == data

    other = f"{box}-b"
    program.ok("create", other)
    taken = program.run("publish", other, f"{port}:77", "--bind", "127.0.0.1")
    assert b"is a port of" in taken.stderr
    program.ok("destroy", other, "--yes", "--purge")
    busy = program.run("publish", box, str(program.port), "--bind", "127.0.0.1")
    assert b"cannot be had" in busy.stderr
    program.ok("publish", box, str(port), "--bind", "127.0.0.1", "--remove")
    while is_open(port):
        pass


def is_open(port: int) -> bool:
    """Tell whether a port of this machine takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def connected(port: int) -> socket.socket:
    """Connect to a port that listens soon."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            continue


def process_ended(process: subprocess.Popen[bytes], master: int) -> bool:
    """Read what it still says, so that it can end."""
    if select.select([master], [], [], 0.1)[0]:
        try:
            os.read(master, 65536)
        except OSError:  # its side is closed
            time.sleep(0)
    return process.poll() is not None
