"""The host key: made once, and the same ever after."""

import os
import threading
from pathlib import Path

import pytest

from skerry.base import Failed
from skerry.ssh.host_key import host_key


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = host_key(tmp_path)

    assert host_key(tmp_path).get_fingerprint() == made.get_fingerprint()
    assert os.listdir(tmp_path) == ["host_key"]
    assert (tmp_path / "host_key").stat().st_mode & 0o777 == 0o600


def test_two_who_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    found = set[str]()
    before = threading.Barrier(2)

    def make(stage: str) -> None:
        before.wait()
        found.add(host_key(tmp_path, staged=stage).get_fingerprint())

    threads = [threading.Thread(target=make, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1
    assert os.listdir(tmp_path) == ["host_key"]


def test_a_mode_that_others_could_use_is_mended(tmp_path: Path) -> None:
    host_key(tmp_path)
    (tmp_path / "host_key").chmod(0o644)

    host_key(tmp_path)

    assert (tmp_path / "host_key").stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".host_key-new-{os.getpid()}").write_bytes(b"half")

    host_key(tmp_path)

    assert os.listdir(tmp_path) == ["host_key"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 100])
def test_a_damaged_one_is_not_replaced_in_silence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "host_key").write_bytes(content)

    with pytest.raises(Failed, match="every client will warn"):
        host_key(tmp_path)
    assert (tmp_path / "host_key").read_bytes() == content
