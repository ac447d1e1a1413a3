"""Listening sockets: what is wrong is said, and who may connect."""

import socket
import stat
from pathlib import Path

import pytest

from skerry.base import Invalid, NotAvailable
from skerry.host.listener import forget_unix, listen_problem, listen_tcp, listen_unix, url_of


def test_an_address_is_bound_and_told() -> None:
    with listen_tcp("127.0.0.1:0", "--listen") as made:
        assert url_of(made) == f"http://127.0.0.1:{made.getsockname()[1]}"
    with listen_tcp("[::1]:0", "--listen") as made:
        assert url_of(made).startswith("http://[::1]:")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:", "127.0.0.1:70000", "a:b:c", ":-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="--here"):
        listen_tcp(address, "--here")


def test_an_address_that_is_taken_is_said_with_the_flag_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NotAvailable, match="--here"):
            listen_tcp(address, "--here")
        assert listen_problem(address) == "Address already in use"
    assert listen_problem(address) is None


def test_a_unix_socket_is_for_root_alone_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "sock"
    path.parent.mkdir()
    listen_unix(path).close()
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    forget_unix(path)
    forget_unix(path)
    assert not path.exists()
