"""What a container is mounted on, on a disk that its root may have filled with anything."""

import os
from pathlib import Path

import pytest

from skerry.host.mount_points import prepare_mount_points, withhold


def test_an_empty_disk_gets_what_is_needed(tmp_path: Path):
    prepare_mount_points(str(tmp_path))

    assert {path.name for path in tmp_path.iterdir()} == {
        *("proc", "sys", "dev"),
        *(".skerry", ".sprite"),
    }
    assert (tmp_path / ".sprite").readlink() == Path(".skerry")
    assert (tmp_path / ".skerry/init").is_file()


def test_what_is_there_stays(tmp_path: Path):
    prepare_mount_points(str(tmp_path))
    (tmp_path / "dev" / "file").write_text("kept")

    prepare_mount_points(str(tmp_path))

    assert (tmp_path / "dev" / "file").read_text() == "kept"


@pytest.mark.parametrize("name", ["proc", "sys", "dev", ".skerry", ".skerry/init"])
def test_a_link_in_the_way_is_set_aside_and_not_followed(tmp_path: Path, name: str):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = tmp_path / "disk" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)

    prepare_mount_points(str(tmp_path / "disk"))

    assert not place.is_symlink()
    assert [path.readlink() for path in place.parent.glob("*replaced-*")] == [elsewhere]
    assert list(elsewhere.iterdir()) == []


def test_a_full_directory_in_the_place_of_the_init_is_set_aside(tmp_path: Path):
    (tmp_path / ".skerry/init").mkdir(parents=True)
    (tmp_path / ".skerry/init/file").write_text("kept")

    prepare_mount_points(str(tmp_path))

    assert (tmp_path / ".skerry/init").is_file()
    assert [p.read_text() for p in tmp_path.glob(".skerry/init.replaced-*/file")] == ["kept"]


def test_a_disk_that_is_a_link_is_refused(tmp_path: Path):
    (tmp_path / "disk").symlink_to(tmp_path)

    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        prepare_mount_points(str(tmp_path / "disk"))


@pytest.mark.machine
def test_what_is_withheld_belongs_to_its_owner_and_all_may_look(tmp_path: Path):
    withhold(str(tmp_path), 65536)

    status = os.stat(tmp_path)
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65536, 65536, 0o755)
