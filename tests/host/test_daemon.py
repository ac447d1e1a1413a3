"""A data directory has one daemon."""

import os
from pathlib import Path

import pytest

from skerry.base import NotAvailable
from skerry.host.daemon import hold_directory, hold_instance


def test_a_directory_is_held_once(tmp_path: Path) -> None:
    with hold_directory(tmp_path), pytest.raises(NotAvailable) as caught, hold_directory(tmp_path):
        pass

    assert caught.value.code == "already_running"
    assert str(tmp_path) in caught.value.message


def test_a_directory_that_was_let_go_can_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        with hold_directory(tmp_path):
            assert (tmp_path / "lock").exists()


@pytest.mark.machine
def test_an_instance_is_held_once_and_leaves_nothing() -> None:
    name = f"t{os.getpid() % 10**6}d"
    lock = Path(f"/run/skerry/{name}.lock")
    for _ in range(2):
        with hold_instance(name):
            assert lock.exists()
            with pytest.raises(NotAvailable) as caught, hold_instance(name):
                pass
            assert caught.value.code == "already_running"
            assert lock.exists(), "who is refused takes nothing away"
        assert not lock.exists()
