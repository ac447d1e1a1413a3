"""Sockets made in the network of a box: where they are, and what no longer runs gets none."""

import dataclasses
import os
import socket
from collections.abc import Generator

import pytest

from skerry.base import Conflict
from skerry.host.monitors import started_ticks
from skerry.host.namespace_socket import stream_socket
from skerry.host.seam import Running
from tests.host.places import Place, new_machine, port_of

pytestmark = pytest.mark.machine


@pytest.fixture
def box(own_network: int) -> Generator[Place]:
    with new_machine(own_network) as machine:
        yield machine.box(2)


def first_of(box: Place) -> Running:
    return Running(box.pid, started_ticks(box.pid))


def test_a_socket_reaches_the_boxs_own_localhost_and_not_ours(box: Place) -> None:
    inside = box.listen("127.0.0.1")
    with stream_socket(first_of(box), socket.AF_INET) as made:
        assert made.gettimeout() == 0
        made.settimeout(10)
        made.connect(("127.0.0.1", port_of(inside)))
        inside.accept()[0].close()
    with socket.socket() as outside, pytest.raises(ConnectionRefusedError):
        outside.connect(("127.0.0.1", port_of(inside)))


def test_another_process_of_the_same_number_is_none_of_ours(box: Place) -> None:
    earlier = dataclasses.replace(first_of(box), started_ticks=1)

    with pytest.raises(Conflict) as caught:
        stream_socket(earlier, socket.AF_INET)
    assert caught.value.code == "box_not_running"


def test_the_machines_own_network_is_never_entered() -> None:
    ours = Running(os.getpid(), started_ticks(os.getpid()))

    with pytest.raises(Conflict):
        stream_socket(ours, socket.AF_INET)
