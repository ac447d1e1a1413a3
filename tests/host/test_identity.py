"""What a box is told of itself, written into a disk that may hold anything."""

import os
from pathlib import Path

import pytest

from skerry.host.identity import write_identity


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def give(etc: Path, hostname: str = "dev", *, fresh: bool = False) -> None:
    root = os.open(etc.parent, os.O_PATH)
    try:
        write_identity(root, hostname, "nameserver 10.0.0.1\n", machine_id="a" * 32, fresh=fresh)
    finally:
        os.close(root)


def test_long_hosts_of_any_bytes_keep_every_line(etc: Path) -> None:
    blocked = b"".join(b"0.0.0.0 ads%d.example\n" % n for n in range(200_000)) + b"# \xff\x0b\n"
    (etc / "hosts").write_bytes(blocked + b"127.0.1.1\told\n")

    give(etc, "new")

    assert (etc / "hosts").read_bytes() == blocked + b"127.0.1.1\tnew\n"


def test_hosts_that_name_the_box_are_not_touched(etc: Path) -> None:
    (etc / "hosts").write_bytes(b"127.0.1.1\tdev\n# no end of line")
    before = (etc / "hosts").stat().st_ino

    give(etc)

    assert (etc / "hosts").stat().st_ino == before


def test_an_empty_disk_gets_all_of_it(etc: Path) -> None:
    give(etc)

    assert (etc / "hostname").read_text() == "dev\n"
    assert (etc / "hosts").read_text().splitlines()[-1] == "127.0.1.1\tdev"
    assert (etc / "machine-id").read_text() == "a" * 32 + "\n"
    assert (etc / "resolv.conf").read_text().endswith("nameserver 10.0.0.1\n")


def test_what_is_not_a_file_is_not_followed(etc: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("127.0.1.1 mine\n")
    (etc / "hosts").symlink_to(tmp_path / "outside")
    (etc / "hostname").mkdir()

    give(etc)

    assert (tmp_path / "outside").read_text() == "127.0.1.1 mine\n"
    assert (etc / "hosts").read_text().endswith("127.0.1.1\tdev\n")
    assert (etc / "hostname").is_dir()
    assert sorted(os.listdir(etc)) == ["hostname", "hosts", "machine-id", "resolv.conf"]


def test_a_fresh_box_has_no_host_keys_and_a_new_machine_id(etc: Path) -> None:
    (etc / "ssh").mkdir()
    for name in ("ssh_host_rsa_key", "ssh_host_rsa_key.pub", "sshd_config"):
        (etc / "ssh" / name).touch()
    (etc / "machine-id").write_text("b" * 32 + "\n")

    give(etc, fresh=True)

    assert os.listdir(etc / "ssh") == ["sshd_config"]
    assert (etc / "machine-id").read_text() == "a" * 32 + "\n"
