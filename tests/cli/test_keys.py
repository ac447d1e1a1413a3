"""`skerry key` against the real API."""

from pathlib import Path

import pytest

from tests.accounts.test_public_key import line
from tests.cli.conftest import Shell

KEY = line("ssh-ed25519", bytes(32), comment="laptop")


def test_a_key_from_a_file(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(KEY + "\n")

    assert shell.ok("key", "add", str(path)) == "laptop\n"
    assert "is local from now on" in shell.err
    head, row = shell.ok("key", "list").splitlines()
    assert (head.split()[0], row.split()[:3]) == ("NAME", ["laptop", "local", "ssh-ed25519"])
    shell.ok("key", "delete", shell.json("key", "list")[0]["fingerprint"])
    assert shell.json("key", "list") == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 20_000, b"-----BEGIN PRIVATE KEY"])
def test_a_file_that_holds_no_key(shell: Shell, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(content)

    assert shell("key", "add", str(path)) in (1, 2)
    assert "pub" in shell.err
