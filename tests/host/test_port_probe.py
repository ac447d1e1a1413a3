"""Whether a port of a box answers, asked of servers in a network namespace of their own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest

from skerry.host.monitors import started_ticks
from skerry.host.port_probe import answers
from skerry.host.seam import Running
from tests.host.places import Place, new_machine, port_of

pytestmark = pytest.mark.machine


@pytest.fixture
def box(own_network: int) -> Generator[Place]:
    with new_machine(own_network) as machine:
        yield machine.box(2)


def answered(box: Place, port: int, path: str | None) -> bool:
    first = Running(box.pid, started_ticks(box.pid))
    return asyncio.run(answers(first, port, path))


@contextmanager
def saying(box: Place, *pieces: bytes) -> Generator[int]:
    """Have a server in the box that says these pieces, one for each that it is waited for."""
    server = box.listen("127.0.0.1")

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(ConnectionError):  # nobody listens any more
            connection.settimeout(0.3)
            for piece in pieces:
                connection.sendall(piece)
                with suppress(TimeoutError):
                    connection.recv(1000)

    thread = threading.Thread(target=serve)
    thread.start()
    yield port_of(server)
    server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_port_that_listens_answers_and_one_that_does_not_does_not(box: Place):
    server = box.listen("127.0.0.1")
    port = port_of(server)

    assert answered(box, port, None)
    server.close()
    assert not answered(box, port, None)


@pytest.mark.parametrize(
    ("said", "good"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 302\r\n\r\n", True),
        (b"HTTP/1.1 503 Sorry\r\n\r\n", False),
        (b"HTTP/1.1 404\r\n\r\n", False),
        (b"HTTP/1.\r\n", False),
        (b"HTTP/1.1\r\n\r\n", False),
        (b"\r\n", False),
        (b"SSH-2.0-x\r\n", False),
        (b"\0" * 4096, False),
    ],
)
def test_a_path_answers_well_below_400(box: Place, said: bytes, good: bool):  # noqa: FBT001 - a case gives it
    with saying(box, said) as port:
        assert answered(box, port, "/") is good


def test_who_speaks_one_byte_at_a_time_is_not_listened_to_for_long(box: Place):
    with saying(box, *(bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n")) as port:
        assert not answered(box, port, "/")


def test_a_box_that_is_gone_answers_nothing(box: Place):
    gone = Running(box.pid, started_ticks(box.pid) + 1)

    assert not asyncio.run(answers(gone, 80, None))
