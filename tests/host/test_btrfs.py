"""What btrfs is asked to do by ioctl, on a real one."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.host import btrfs, btrfs_quota
from skerry.host.rooted import held

pytestmark = pytest.mark.machine

MIB = 1 << 20
GROUP = 1 << btrfs_quota.LEVEL_SHIFT | 7


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("btrfs")
    image, mount = place / "image", place / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop,nodev,noatime", image, mount], check=True)
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.fixture
def place(mount: Path, tmp_path: Path) -> Path:
    """A directory of the test's own in the filesystem."""
    directory = mount / tmp_path.name
    directory.mkdir()
    return directory


@pytest.fixture
def top(place: Path) -> Iterator[int]:
    with held(os.open(place, os.O_RDONLY)) as directory:
        yield directory


def subvolume(path: Path) -> btrfs.Subvolume:
    with held(os.open(path, os.O_RDONLY)) as descriptor:
        return btrfs.subvolume(descriptor)


def snapshot(source: Path, top: int, name: str, *, readonly: bool = False) -> btrfs.Subvolume:
    with held(os.open(source, os.O_RDONLY)) as descriptor:
        btrfs.create_snapshot(descriptor, top, name, readonly=readonly)
    return subvolume(source.parent / name)


def set_readonly(path: Path, *, readonly: bool) -> None:
    with held(os.open(path, os.O_RDONLY)) as descriptor:
        btrfs.set_readonly(descriptor, readonly=readonly)


def test_a_subvolume_has_an_id_and_a_parent(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")

    made = subvolume(place / "disk")

    assert (made.id >= 256, made.parent_id, made.readonly) == (True, 5, False)
    assert btrfs.exists(top, made.id)
    assert not btrfs.is_top(top)


def test_a_later_subvolume_has_a_higher_id(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")

    assert snapshot(place / "disk", top, "copy").id > subvolume(place / "disk").id


def test_a_snapshot_holds_what_was_only_in_the_page_cache(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    (place / "disk" / "file").write_bytes(b"x" * MIB)

    snapshot(place / "disk", top, "kept", readonly=True)

    (place / "disk" / "file").write_bytes(b"y")
    assert (place / "kept" / "file").read_bytes() == b"x" * MIB


def test_a_read_only_snapshot_refuses_writes_until_it_is_made_writable(
    place: Path, top: int
) -> None:
    btrfs.create_subvolume(top, "disk")
    assert snapshot(place / "disk", top, "kept", readonly=True).readonly

    with pytest.raises(OSError, match="Read-only"):
        (place / "kept" / "file").touch()
    set_readonly(place / "kept", readonly=False)

    (place / "kept" / "file").touch()


def test_a_deleted_subvolume_is_gone(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")

    btrfs.delete_subvolume(top, "disk")

    with pytest.raises(FileNotFoundError):
        btrfs.delete_subvolume(top, "disk")
    assert not (place / "disk").exists()


def test_subvolumes_within_are_found_with_their_paths(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    (place / "disk" / "a" / "b c").mkdir(parents=True)
    with held(os.open(place / "disk" / "a" / "b c", os.O_RDONLY)) as deep:
        btrfs.create_subvolume(deep, "within")

    found = btrfs.children(top, subvolume(place / "disk").id)

    assert found == [
        btrfs.Child(subvolume(place / "disk" / "a" / "b c" / "within").id, b"a/b c/within")
    ]


def test_many_subvolumes_within_are_all_found(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    with held(os.open(place / "disk", os.O_RDONLY)) as disk:
        for number in range(120):  # more than one answer of the kernel holds
            btrfs.create_subvolume(disk, f"{number:0100}")

    assert len(set(btrfs.child_ids(top, subvolume(place / "disk").id))) == 120


def test_a_tree_of_read_only_subvolumes_is_deleted(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    deepest = place / "disk"
    for name in ("one", "two", "three"):
        with held(os.open(deepest, os.O_RDONLY)) as above:
            btrfs.create_subvolume(above, name)
        deepest /= name
    for path in (deepest.parent, deepest.parent.parent, place / "disk"):
        set_readonly(path, readonly=True)

    btrfs.delete_tree(top, "disk")

    assert os.listdir(top) == []
    btrfs.delete_tree(top, "disk")


def test_deleting_follows_no_link(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "other")
    (place / "disk").symlink_to("other")

    with pytest.raises(OSError, match="Not a directory"):
        btrfs.delete_tree(top, "disk")

    assert (place / "other").exists()


def test_a_subvolume_is_opened_by_id(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    made = subvolume(place / "disk")

    with held(btrfs.open_by_id(top, made.id)) as descriptor:
        assert btrfs.subvolume(descriptor) == made
    with pytest.raises(OSError, match="Stale"):
        btrfs.open_by_id(top, 1 << 40)


def test_subvolumes_change_places_across_directories(place: Path, top: int) -> None:
    (place / "kept").mkdir()
    btrfs.create_subvolume(top, "disk")
    with held(os.open(place / "kept", os.O_RDONLY)) as kept:
        btrfs.create_subvolume(kept, "staged")
        ids = subvolume(place / "disk").id, subvolume(place / "kept" / "staged").id

        btrfs.exchange(top, "disk", kept, "staged")

    assert (subvolume(place / "kept" / "staged").id, subvolume(place / "disk").id) == ids


def test_other_threads_run_while_the_kernel_works(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    (place / "disk" / "file").write_bytes(os.urandom(64 * MIB))
    turns, ended = [0], threading.Event()

    def count() -> None:
        while not ended.is_set():
            turns[0] += 1

    counter = threading.Thread(target=count)
    counter.start()
    before = turns[0]
    snapshot(place / "disk", top, "kept")  # writes out 64 MiB
    during = turns[0] - before
    ended.set()
    counter.join()

    assert during > 1000


def test_a_directory_elsewhere_is_no_btrfs(top: int) -> None:
    with held(os.open("/proc", os.O_RDONLY)) as other:
        assert btrfs.filesystem_id(other) is None
    assert len(btrfs.filesystem_id(top) or b"") == 16


def test_a_name_is_never_a_path(top: int) -> None:
    for name in ("a/b", "", "a\0b", "x" * 256):
        with pytest.raises(AssertionError):
            btrfs.create_subvolume(top, name)


# -- quotas --


@pytest.fixture(scope="module")
def limited(mount: Path) -> None:
    with held(os.open(mount, os.O_RDONLY)) as top:
        assert btrfs_quota.quota_mode(top) == "off"
        if not btrfs_quota.enable_simple_quotas(top):
            pytest.skip("this kernel has no simple quotas (Linux 6.7)")
        assert btrfs_quota.quota_mode(top) == "simple"


@pytest.mark.usefixtures("limited")
def test_a_group_is_made_once_and_charged_with_what_its_member_writes(
    place: Path, top: int
) -> None:
    btrfs.create_subvolume(top, "disk")
    group = GROUP + subvolume(place / "disk").id

    assert btrfs_quota.create_group(top, group)
    assert not btrfs_quota.create_group(top, group)
    btrfs_quota.add_member(top, subvolume(place / "disk").id, group)
    btrfs_quota.limit_group(top, group, 64 * MIB)
    (place / "disk" / "file").write_bytes(b"x" * MIB)
    btrfs.sync(top)

    usage = btrfs_quota.group_usage(top, group)
    assert usage is not None
    assert MIB <= usage.used_bytes < 2 * MIB
    assert usage.bytes_max == 64 * MIB
    assert btrfs_quota.members(top, group) == [subvolume(place / "disk").id]


@pytest.mark.usefixtures("limited")
def test_a_limit_can_be_taken_away(top: int) -> None:
    group = GROUP + os.fstat(top).st_ino + (1 << 40)
    btrfs_quota.create_group(top, group)
    btrfs_quota.limit_group(top, group, MIB)

    btrfs_quota.limit_group(top, group, None)

    assert btrfs_quota.group_usage(top, group) == btrfs_quota.GroupUsage(0, None)
    assert btrfs_quota.delete_group(top, group)
    assert btrfs_quota.group_usage(top, group) is None


@pytest.mark.usefixtures("limited")
def test_a_group_with_members_stays(place: Path, top: int) -> None:
    btrfs.create_subvolume(top, "disk")
    member, group = subvolume(place / "disk").id, GROUP + (2 << 40) + os.fstat(top).st_ino
    btrfs_quota.create_group(top, group)
    btrfs_quota.add_member(top, member, group)
    btrfs_quota.add_member(top, member, group)

    assert not btrfs_quota.delete_group(top, group)

    btrfs_quota.remove_member(top, member, group)
    btrfs_quota.remove_member(top, member, group)
    assert btrfs_quota.delete_group(top, group)
