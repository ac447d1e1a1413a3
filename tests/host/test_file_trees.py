"""Whole trees of a box: deleting, changing mode and owner, and where that ends."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skerry.base import Invalid, LimitReached, SkerryError
from skerry.host import box_files
from skerry.host.box_files import Anchor, BoxRoot, Credentials
from skerry.host.file_trees import Budget, walk
from skerry.host.rooted import held

pytestmark = pytest.mark.machine

USER = 1000


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = tmp_path / "disk"
    disk.mkdir()
    os.chown(disk, USER, USER)
    return disk


@pytest.fixture
def root(disk: Path) -> Iterator[BoxRoot]:
    with held(os.open(disk, os.O_PATH)) as descriptor:
        yield BoxRoot(Anchor(descriptor))


@pytest.fixture
def box(root: BoxRoot) -> BoxRoot:
    return BoxRoot(root.anchor, Credentials(USER, USER))


def grow(top: Path, *paths: str, owner: int = USER) -> None:
    """Make files of one byte, and directories where a path ends in `/`."""
    for path in paths:
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(b"x")
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, owner, owner, follow_symlinks=False)


def deepen(top: Path, name: str, depth: int) -> None:
    """Make directories of one name in each other, deeper than a path may be long."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        with held(here):
            here = os.open(name, os.O_RDONLY, dir_fd=here)
    os.close(here)


def open_below(disk: Path) -> int:
    """Count the descriptors of this process that stand for something on the disk."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(str(disk)) for link in links if os.path.lexists(link))


def refusal(call: Callable[[], object]) -> tuple[str, object]:
    with pytest.raises(SkerryError) as caught:
        call()
    return caught.value.code, caught.value.details.get("errno")


def test_a_file_a_link_and_an_empty_directory_are_deleted(box: BoxRoot, disk: Path) -> None:
    grow(disk, "file", "empty/")
    (disk / "link").symlink_to("file")

    for name in ("link", "file", "empty"):
        assert box_files.delete(box, name).paths == (f"/{name}",)

    assert os.listdir(disk) == []


def test_a_full_directory_is_deleted_only_recursively(box: BoxRoot, disk: Path) -> None:
    grow(disk, "tree/a", "tree/sub/b")

    assert refusal(lambda: box_files.delete(box, "tree")) == ("directory_not_empty", "ENOTEMPTY")
    result = box_files.delete(box, "tree", recursive=True)

    assert (result.count, result.size_bytes, os.listdir(disk)) == (4, 2, [])
    assert refusal(lambda: box_files.delete(box, "tree")) == ("no_such_path", "ENOENT")


def test_deleting_a_tree_leaves_what_its_links_lead_to(box: BoxRoot, disk: Path) -> None:
    grow(disk, "kept/file", "tree/")
    (disk / "tree" / "link").symlink_to("../kept")
    (disk / "tree" / "absolute").symlink_to("/kept/file")

    box_files.delete(box, "tree", recursive=True)

    assert (disk / "kept" / "file").exists()


def test_what_is_not_the_users_stops_the_deleting(box: BoxRoot, disk: Path) -> None:
    grow(disk, "tree/roots/file")
    os.chown(disk / "tree" / "roots", 0, 0)

    assert refusal(lambda: box_files.delete(box, "tree", recursive=True))[1] == "EACCES"
    assert (disk / "tree" / "roots" / "file").exists()


def test_a_tree_deeper_than_descriptors_go_is_deleted(box: BoxRoot, disk: Path) -> None:
    before = open_below(disk)
    deepen(disk, "d", 1_500)

    assert box_files.delete(BoxRoot(box.anchor), "d", recursive=True).count == 1_500
    assert open_below(disk) == before


def test_a_tree_deeper_than_a_path_is_refused(box: BoxRoot, disk: Path) -> None:
    deepen(disk, "d" * 200, 30)

    with pytest.raises(LimitReached, match="too much for one call"):
        box_files.delete(BoxRoot(box.anchor), "d" * 200, recursive=True)
    shutil.rmtree(disk)


def test_a_wide_directory_is_deleted(box: BoxRoot, disk: Path) -> None:
    grow(disk, "tree/")
    for number in range(3_000):
        (disk / "tree" / str(number)).touch()

    result = box_files.delete(BoxRoot(box.anchor), "tree", recursive=True)

    assert (result.count, len(result.paths)) == (3_001, 1_000)


def test_a_walk_ends_with_its_budget(box: BoxRoot, disk: Path) -> None:
    grow(disk, "a", "b", "c/d")

    with pytest.raises(LimitReached):
        list(walk(box.descriptor, Budget("/", entries=3)))


def test_a_mode_is_changed_below_but_not_through_links(box: BoxRoot, disk: Path) -> None:
    grow(disk, "kept", "tree/sub/file")
    (disk / "tree" / "link").symlink_to("../kept")
    (disk / "kept").chmod(0o644)

    result = box_files.change_mode(box, "tree", 0o700, recursive=True)

    assert sorted(result.paths) == ["/tree", "/tree/sub", "/tree/sub/file"]
    assert (disk / "tree" / "sub" / "file").stat().st_mode & 0o777 == 0o700
    assert (disk / "kept").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("mode", [0o600, 0o000])
def test_a_mode_that_closes_directories_reaches_what_is_in_them(
    box: BoxRoot, disk: Path, mode: int
) -> None:
    grow(disk, "tree/sub/file")

    assert box_files.change_mode(box, "tree", mode, recursive=True).count == 3

    assert (disk / "tree" / "sub" / "file").stat().st_mode & 0o777 == mode


def test_a_mode_follows_the_link_that_was_named(box: BoxRoot, disk: Path) -> None:
    grow(disk, "file")
    (disk / "link").symlink_to("file")

    box_files.change_mode(box, "link", 0o640)

    assert (disk / "file").stat().st_mode & 0o777 == 0o640


def test_a_user_may_not_give_files_away(box: BoxRoot, disk: Path) -> None:
    grow(disk, "file")

    assert refusal(lambda: box_files.change_owner(box, "file", uid=0, gid=None))[1] == "EPERM"


def test_root_gives_a_tree_away_with_its_links_but_not_through_them(
    root: BoxRoot, disk: Path
) -> None:
    grow(disk, "kept", "tree/sub/file", owner=7)
    (disk / "tree" / "link").symlink_to("../kept")

    assert box_files.change_owner(root, "tree", uid=USER, gid=None, recursive=True).count == 4

    owners = [os.lstat(disk / path).st_uid for path in ("tree", "tree/link", "tree/sub/file")]
    assert (owners, (disk / "kept").stat().st_uid) == ([USER] * 3, 7)
    assert (disk / "tree" / "sub").stat().st_gid == 7


@pytest.mark.parametrize("number", [-1, 65_536, 1_000_000_000])
def test_an_owner_beyond_the_ids_of_a_box_is_refused(root: BoxRoot, number: int) -> None:
    with pytest.raises(Invalid):
        box_files.change_owner(root, "/", uid=number, gid=None)


@pytest.mark.parametrize("mode", [-1, 0o10000])
def test_a_mode_that_is_none_is_refused(root: BoxRoot, mode: int) -> None:
    with pytest.raises(Invalid):
        box_files.change_mode(root, "/", mode)
