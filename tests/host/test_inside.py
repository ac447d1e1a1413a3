"""The directory that a box sees of us: what is in it, whose it is, and that no two share any of it."""

import os
import socket
import stat
from pathlib import Path

import pytest

import skerry
from skerry.host import inside
from skerry.host.inside import Insides
from skerry.host.policy_rules import parse

ONE, TWO = "box_one", "box_two"


@pytest.fixture
def insides(tmp_path: Path) -> Insides:
    return Insides(str(tmp_path / "inside"))


def files(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]


def test_a_directory_has_all_that_the_documents_name(insides: Insides) -> None:
    there = Path(insides.prepare(ONE))

    for name in ("bin/skerry-env", "bin/sprite-env", "lib/skerry_env.py", "llm.txt", "docs/api.md"):
        assert (there / name).read_bytes(), name
    assert (there / "version.txt").read_text() == f"{skerry.__version__}\n"
    assert (there / "policy/network.json").read_text() == '{\n  "rules": []\n}\n'
    assert (there / "logs/services").is_dir()
    assert (there / "checkpoints").is_dir()


def test_what_installers_add_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "lib/__pycache__").mkdir(parents=True)
    (tmp_path / "lib/__pycache__/x.pyc").write_bytes(b"x")
    (tmp_path / "lib/x.py").write_bytes(b"y")

    assert inside._documents(str(tmp_path)) == {"lib/x.py": b"y"}


def test_nobody_but_the_owner_may_write_and_all_may_read(insides: Insides) -> None:
    there = Path(insides.prepare(ONE))

    for path in [there, *there.rglob("*")]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        can_run = path.is_dir() or path.parent.name == "bin"
        assert mode == (0o755 if can_run else 0o644), path


def test_no_two_boxes_share_a_file(insides: Insides) -> None:
    first, second = (
        {path.stat().st_ino for path in files(insides.prepare(box))} for box in (ONE, TWO)
    )

    assert first
    assert not first & second
    assert all(path.stat().st_nlink == 1 for path in files(insides.prepare(ONE)))


def test_what_another_version_left_is_brought_up_to_date(insides: Insides) -> None:
    there = Path(insides.prepare(ONE))
    (there / "llm.txt").write_text("old")
    kept = (there / "docs/api.md").stat().st_ino

    insides.sweep({ONE})

    assert (there / "llm.txt").read_text().startswith("# You are in a Skerry box")
    assert (there / "docs/api.md").stat().st_ino == kept, "what is right is left alone"


def test_a_sweep_leaves_those_that_run(insides: Insides, tmp_path: Path) -> None:
    insides.prepare(ONE)
    insides.prepare(TWO)

    insides.sweep({TWO})

    assert [path.name for path in (tmp_path / "inside").iterdir()] == [TWO]
    assert stat.S_IMODE((tmp_path / "inside").stat().st_mode) & 0o022 == 0


def test_a_new_socket_takes_the_place_of_the_old_and_all_users_may_connect(
    insides: Insides,
) -> None:
    there = insides.prepare(ONE)
    with insides.listen(ONE), insides.listen(ONE) as newest, socket.socket(socket.AF_UNIX) as peer:
        directory = os.open(there, os.O_PATH)
        peer.connect(f"/proc/self/fd/{directory}/api.sock")
        os.close(directory)
        accepted, _ = newest.accept()
        accepted.close()

        assert stat.S_IMODE(os.stat(f"{there}/api.sock").st_mode) == 0o666
        assert [name for name in os.listdir(there) if "new" in name] == []


def test_there_is_no_socket_for_a_box_that_does_not_run(insides: Insides) -> None:
    insides.prepare(ONE)
    insides.remove(ONE)
    insides.remove(ONE)

    with pytest.raises(FileNotFoundError):
        insides.listen(ONE)


def test_a_policy_is_seen_at_once_and_after_the_next_start(insides: Insides) -> None:
    policy = parse({"rules": [{"domain": "example.org", "action": "deny"}]})
    insides.show_policy(ONE, policy)
    document = Path(insides.prepare(ONE)) / "policy/network.json"
    assert "example.org" in document.read_text()

    insides.show_policy(ONE, None)
    assert "example.org" not in document.read_text()
    insides.show_policy(ONE, policy)
    insides.remove(ONE)
    assert "example.org" in (Path(insides.prepare(ONE)) / "policy/network.json").read_text()
