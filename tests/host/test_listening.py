"""Which ports listen, read from the kernel for this very process."""

import os
import socket

from skerry.host.listening import listening_ports
from skerry.host.monitors import started_ticks
from skerry.host.seam import Running

SELF = Running(os.getpid(), started_ticks(os.getpid()))


def test_a_port_that_listens_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as four, socket.socket(socket.AF_INET6) as six:
        six.bind(("::1", 0))
        six.listen()
        found = listening_ports(SELF)

        assert found[four.getsockname()[1]] == "127.0.0.1"
        assert found[six.getsockname()[1]] == "::1"


def test_a_port_that_is_only_connected_does_not_listen() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getsockname()[1] not in listening_ports(SELF)


def test_a_process_that_is_another_by_now_has_no_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert listening_ports(Running(SELF.init_pid, SELF.started_ticks - 1)) == {}
    assert listening_ports(Running(1 << 30, 1)) == {}
