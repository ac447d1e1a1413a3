"""Disks, checkpoints and images in a pool of their own, on a loop device."""

# pyright: reportPrivateUsage=false

import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from skerry.base import Conflict, LimitReached, NotAvailable, NotFound, SkerryError
from skerry.host import btrfs, btrfs_quota, disk_limits, loop_device
from skerry.host.pool import Pool
from skerry.host.pool_errors import explained
from skerry.host.rooted import held
from skerry.host.seam import BoxDisk, DiskChange

pytestmark = pytest.mark.machine

MIB, GIB = 1 << 20, 1 << 30
ORPHANS, ORPHAN_ITEM = 2**64 - 5, 48  # linux/btrfs_tree.h: deleted, not yet cleaned away


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A pool with the image `base`, in which there is the file `from-image`."""
    data = tmp_path_factory.mktemp("pool")
    pool = Pool.open(data, directory=None, size_bytes=4 * GIB)
    with pool.new_image("base", None) as tree:
        (tree / "from-image").write_bytes(b"i" * MIB)
    yield pool
    pool.close()
    assert loop_device.mounted(data / "pool") is None


@pytest.fixture
def box(shared: Pool, tmp_path: Path) -> Iterator[str]:
    """A box made of that image; its id is no other test's."""
    box_id = tmp_path.name
    shared.clone_image("base", box_id, GIB)
    yield box_id
    shared.delete_disks(box_id)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a pool that the test opens and closes by itself."""
    yield tmp_path
    loop_device.unmount(tmp_path / "pool")
    assert loop_device.mounted(tmp_path / "pool") is None


def disk(pool: Pool, box_id: str) -> Path:
    return Path(pool.paths(box_id)[0])


def checkpoint(pool: Pool, box_id: str, name: str) -> Path:
    return Path(pool.paths(box_id)[1]) / name


def nest(pool: Pool, box_id: str, name: str) -> None:
    with held(os.open(disk(pool, box_id), os.O_RDONLY)) as top:
        btrfs.create_subvolume(top, name)


def is_readonly(path: Path) -> bool:
    with held(os.open(path, os.O_RDONLY)) as descriptor:
        return btrfs.subvolume(descriptor).readonly


def refusal(kind: type[SkerryError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


@contextlib.contextmanager
def after_a_power_cut(pool: Pool, place: Path) -> Generator[Path]:
    """Give the pool as it would come up: what is in its file now, without any page cache."""
    copy, mount = place / "copy.img", place / "copy"
    mount.mkdir()
    subprocess.run(["cp", "--sparse=always", pool.path.parent / "pool.img", copy], check=True)
    # Linux 6.7 gives a copy an id of its own for the time; before it, there can only be one.
    done = subprocess.run(
        ["mount", "-o", "loop,nodev", copy, mount], check=False, capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("this kernel cannot mount a copy of a mounted btrfs (Linux 6.7)")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


# -- disks and checkpoints --


def test_a_box_begins_as_its_image(shared: Pool, box: str) -> None:
    assert os.listdir(disk(shared, box)) == ["from-image"]
    assert shared.disks()[box] == BoxDisk(shared.disk_id(box), {})


def test_what_a_box_writes_is_not_in_its_image(shared: Pool, box: str) -> None:
    (disk(shared, box) / "from-image").write_bytes(b"changed")

    assert (shared.path / "images" / "base" / "from-image").read_bytes() == b"i" * MIB


def test_a_box_of_no_image_leaves_nothing(shared: Pool) -> None:
    assert refusal(NotFound, lambda: shared.clone_image("none", "lost", GIB)) == "no_such_disk"

    assert "lost" not in shared.disks()


def test_a_checkpoint_keeps_the_disk_as_it_is(shared: Pool, box: str) -> None:
    (disk(shared, box) / "file").write_text("before")

    made = shared.snapshot(box, "v1")

    (disk(shared, box) / "file").write_text("after")
    assert (checkpoint(shared, box, "v1") / "file").read_text() == "before"
    assert shared.disks()[box].checkpoints == {"v1": made}
    assert is_readonly(checkpoint(shared, box, "v1"))


def test_a_repeated_checkpoint_takes_the_place_of_the_first(shared: Pool, box: str) -> None:
    first = shared.snapshot(box, "v1")

    assert shared.snapshot(box, "v1") > first


def test_a_box_without_a_disk_has_no_checkpoints_to_make(shared: Pool) -> None:
    assert refusal(NotFound, lambda: shared.snapshot("nobody", "v1")) == "no_such_disk"


def test_a_fork_goes_its_own_way(shared: Pool, box: str) -> None:
    (disk(shared, box) / "file").write_text("shared")
    shared.snapshot(box, "v1")
    (disk(shared, box) / "file").write_text("newer")

    shared.clone_disk(box, "v1", f"{box}-a", GIB)
    shared.clone_disk(box, None, f"{box}-b", GIB)

    assert (disk(shared, f"{box}-a") / "file").read_text() == "shared"
    assert (disk(shared, f"{box}-b") / "file").read_text() == "newer"
    shared.delete_disks(f"{box}-a")
    shared.delete_disks(f"{box}-b")


def test_a_repeated_clone_begins_again(shared: Pool, box: str) -> None:
    (disk(shared, box) / "half-made").touch()

    shared.clone_image("base", box, GIB)

    assert os.listdir(disk(shared, box)) == ["from-image"]


def test_a_deleted_checkpoint_is_gone_and_may_be_deleted_again(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")

    shared.delete_checkpoint(box, "v1")
    shared.delete_checkpoint(box, "v1")
    shared.delete_checkpoint("nobody", "v1")

    assert shared.disks()[box].checkpoints == {}


def test_deleted_disks_are_gone_and_may_be_deleted_again(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")

    shared.delete_disks(box)
    shared.delete_disks(box)

    assert box not in shared.disks()
    assert shared.disk_id(box) is None
    assert not (shared.path / "boxes" / box).exists()


def test_a_deletion_that_was_cut_off_is_continued(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    with held(os.open(disk(shared, box).parent, os.O_RDONLY)) as directory:
        btrfs.delete_tree(directory, "disk")
    assert shared.disks()[box].disk_id is None

    shared.delete_disks(box)

    assert box not in shared.disks()


def test_an_open_disk_is_its_top_directory(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")

    with held(shared.open_disk(box, None)) as live, held(shared.open_disk(box, "v1")) as kept:
        assert os.path.samestat(os.fstat(live), disk(shared, box).stat())
        assert os.path.samestat(os.fstat(kept), checkpoint(shared, box, "v1").stat())
    assert refusal(NotFound, lambda: shared.open_disk(box, "v2")) == "no_such_disk"


# -- restoring --


def test_a_swap_brings_back_the_checkpoint_and_keeps_what_was(shared: Pool, box: str) -> None:
    (disk(shared, box) / "file").write_text("good")
    shared.snapshot(box, "v1")
    (disk(shared, box) / "file").write_text("wrecked")
    wrecked = shared.disk_id(box)

    shared.stage_disk(box, "v1", "auto-1")
    staged = shared.disks()[box].checkpoints["auto-1"]
    shared.swap_disk(box, "auto-1")

    assert shared.disk_id(box) == staged
    assert shared.disks()[box].checkpoints["auto-1"] == wrecked
    assert (disk(shared, box) / "file").read_text() == "good"
    assert (checkpoint(shared, box, "auto-1") / "file").read_text() == "wrecked"
    assert is_readonly(checkpoint(shared, box, "auto-1"))
    assert not is_readonly(disk(shared, box))


def test_a_repeated_swap_does_not_swap_back(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    shared.stage_disk(box, "v1", "auto-1")
    shared.swap_disk(box, "auto-1")
    after = shared.disks()[box]

    shared.swap_disk(box, "auto-1")

    assert shared.disks()[box] == after


def test_a_swap_that_was_cut_off_is_completed_by_a_seal(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    shared.stage_disk(box, "v1", "auto-1")
    kept = checkpoint(shared, box, "auto-1").parent
    with (
        held(os.open(kept, os.O_RDONLY)) as directory,
        held(os.open(kept.parent, os.O_RDONLY)) as box_directory,
    ):
        btrfs.exchange(box_directory, "disk", directory, "auto-1")

    shared.seal_checkpoint(box, "auto-1")
    shared.seal_checkpoint(box, "auto-1")

    assert is_readonly(kept / "auto-1")


def test_staging_again_begins_again(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    shared.stage_disk(box, "v1", "auto-1")
    (checkpoint(shared, box, "auto-1") / "half-made").touch()

    shared.stage_disk(box, "v1", "auto-1")

    assert not (checkpoint(shared, box, "auto-1") / "half-made").exists()


def test_staging_never_replaces_what_a_swap_has_kept(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    shared.stage_disk(box, "v1", "auto-1")
    shared.swap_disk(box, "auto-1")

    code = refusal(Conflict, lambda: shared.stage_disk(box, "v1", "auto-1"))

    assert code == "checkpoint_exists"
    assert checkpoint(shared, box, "auto-1").exists()


def test_a_swap_with_nothing_staged_changes_nothing(shared: Pool, box: str) -> None:
    before = shared.disks()[box]

    assert refusal(NotFound, lambda: shared.swap_disk(box, "auto-1")) == "no_such_disk"

    assert shared.disks()[box] == before


# -- subvolumes within a disk --


def test_no_snapshot_is_made_of_a_disk_that_holds_subvolumes(shared: Pool, box: str) -> None:
    nest(shared, box, "hidden")

    with pytest.raises(Conflict, match="/hidden") as caught:
        shared.snapshot(box, "v1")
    fork = refusal(Conflict, lambda: shared.clone_disk(box, None, f"{box}-fork", GIB))
    image = refusal(Conflict, lambda: shared.save_image(box, None, f"{box}-image"))

    assert {caught.value.code, fork, image} == {"nested_subvolumes"}
    assert caught.value.details == {"paths": ["/hidden"]}
    assert shared.disks()[box].checkpoints == {}
    assert f"{box}-fork" not in shared.disks()
    assert f"{box}-image" not in shared.images()


def test_a_subvolume_made_during_the_snapshot_undoes_it(
    shared: Pool, box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = btrfs.create_snapshot

    def slow(source: int, directory: int, name: str, **rest: object) -> None:
        nest(shared, box, "hidden")
        real(source, directory, name, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(btrfs, "create_snapshot", slow)

    assert refusal(Conflict, lambda: shared.snapshot(box, "v1")) == "nested_subvolumes"
    assert shared.disks()[box].checkpoints == {}


def test_what_a_swap_kept_with_subvolumes_in_it_cannot_be_restored_in_part(
    shared: Pool, box: str
) -> None:
    shared.snapshot(box, "v1")
    shared.stage_disk(box, "v1", "auto-1")
    nest(shared, box, "hidden")
    shared.swap_disk(box, "auto-1")

    code = refusal(Conflict, lambda: shared.stage_disk(box, "auto-1", "auto-2"))

    assert code == "nested_subvolumes"
    assert (checkpoint(shared, box, "auto-1") / "hidden").exists()


def test_disks_are_deleted_with_the_subvolumes_in_them(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    shared.stage_disk(box, "v1", "auto-1")
    nest(shared, box, "hidden")
    shared.swap_disk(box, "auto-1")
    nest(shared, box, "hidden")

    shared.delete_disks(box)

    assert box not in shared.disks()


# -- limits --


@pytest.fixture
def limited(shared: Pool, box: str) -> str:
    """A box that may keep 32 MiB, and has written 20."""
    if not shared.quotas:
        pytest.skip("this kernel has no simple quotas (Linux 6.7)")
    shared.limit_disk(box, 32 * MIB)
    write(disk(shared, box) / "data", 20)
    return box


def write(path: Path, size_mib: int) -> None:
    with path.open("wb") as file:
        file.write(os.urandom(size_mib * MIB))
        file.flush()
        os.fsync(file.fileno())


def test_a_box_is_charged_for_what_it_wrote_and_not_for_its_image(
    shared: Pool, limited: str
) -> None:
    shared.snapshot(limited, "v1")

    usage = shared.disk_usage(limited)

    assert usage is not None
    assert (usage.used_bytes // (5 * MIB), usage.bytes_max) == (4, 32 * MIB)


def test_disk_and_checkpoints_are_limited_together(shared: Pool, limited: str) -> None:
    shared.snapshot(limited, "v1")
    (disk(shared, limited) / "data").unlink()

    with pytest.raises(OSError, match="quota"):
        write(disk(shared, limited) / "more", 20)


def test_the_space_of_a_deleted_checkpoint_is_free_again(shared: Pool, limited: str) -> None:
    shared.snapshot(limited, "v1")
    (disk(shared, limited) / "data").unlink()
    shared.delete_checkpoint(limited, "v1")
    cleaned(shared)

    write(disk(shared, limited) / "more", 20)


def test_a_full_box_can_be_checkpointed_restored_and_emptied(shared: Pool, limited: str) -> None:
    with pytest.raises(OSError, match="quota"):
        write(disk(shared, limited) / "more", 20)

    shared.snapshot(limited, "v1")
    shared.stage_disk(limited, "v1", "auto-1")
    shared.swap_disk(limited, "auto-1")

    (disk(shared, limited) / "data").unlink()
    assert (checkpoint(shared, limited, "v1") / "data").exists()


def test_a_full_box_is_given_room_for_small_files(shared: Pool, limited: str) -> None:
    with pytest.raises(OSError, match="quota"):
        write(disk(shared, limited) / "more", 20)

    with shared.more_room(limited):
        (disk(shared, limited) / "hostname").write_text("box")

    usage = shared.disk_usage(limited)
    assert usage is not None
    assert usage.bytes_max == 32 * MIB


def test_a_limit_follows_the_disk_through_a_restore(shared: Pool, limited: str) -> None:
    shared.snapshot(limited, "v1")
    shared.stage_disk(limited, "v1", "auto-1")
    shared.swap_disk(limited, "auto-1")

    with pytest.raises(OSError, match="quota"):
        write(disk(shared, limited) / "more", 20)


def test_a_raised_limit_holds_at_once(shared: Pool, limited: str) -> None:
    shared.limit_disk(limited, 64 * MIB)

    write(disk(shared, limited) / "more", 20)


def test_a_fork_has_a_limit_of_its_own(shared: Pool, limited: str) -> None:
    shared.clone_disk(limited, None, f"{limited}-fork", 32 * MIB)

    write(disk(shared, f"{limited}-fork") / "more", 20)

    shared.delete_disks(f"{limited}-fork")


def test_a_box_older_than_quotas_is_limited_from_now_on(shared: Pool, limited: str) -> None:
    top = shared._top
    with held(os.open(disk(shared, limited).parent, os.O_RDONLY)) as directory:
        disk_limits.forget(top, disk_limits.group_of(top, directory))

    shared.limit_disk(limited, 32 * MIB)

    with pytest.raises(OSError, match="quota"):
        write(disk(shared, limited) / "more", 40)


def test_deleted_boxes_leave_no_quota_groups(shared: Pool, limited: str) -> None:
    shared.snapshot(limited, "v1")
    shared.clone_disk(limited, None, f"{limited}-fork", GIB)  # keeps what the first one wrote
    written_by = shared.disk_id(limited)
    shared.delete_disks(limited)
    cleaned(shared)
    assert written_by in btrfs_quota.groups(shared._top)

    shared.delete_disks(f"{limited}-fork")
    cleaned(shared)
    shared.clone_image("base", limited, GIB)  # the newest subvolume's own group is left alone
    shared.drop_stale_groups()

    left = btrfs_quota.groups(shared._top)
    boxes = len(shared.disks())
    assert written_by not in left
    assert len([group for group in left if group >> btrfs_quota.LEVEL_SHIFT]) == boxes


def cleaned(pool: Pool) -> None:
    """Return when the kernel has cleaned away what was deleted; each sync wakes what does it."""
    with held(os.open(pool.path, os.O_RDONLY)) as top:
        for _ in range(2000):
            btrfs.sync(top)
            if not any(True for _ in btrfs.items(top, 1, ORPHANS, ORPHAN_ITEM)):
                break
        btrfs.sync(top)


def test_a_group_whose_box_is_gone_is_dropped_with_its_dead_members(
    shared: Pool, limited: str
) -> None:
    top = shared._top
    stale = disk_limits.group_of(top, top) + 12345  # of a directory that is not there
    member = shared.disk_id(limited)
    assert member is not None
    disk_limits.ensure(top, stale, GIB, [member])

    shared.drop_stale_groups()

    assert btrfs_quota.group_usage(top, stale) is None
    assert shared.disk_usage(limited) is not None


# -- differences --


def test_changes_between_checkpoints_and_until_now(shared: Pool, box: str) -> None:
    top = disk(shared, box)
    shared.snapshot(box, "v1")
    (top / "new").write_text("new")
    (top / "from-image").rename(top / "moved")
    shared.snapshot(box, "v2")
    (top / "new").write_text("newer")

    assert shared.changes(box, "v1", "v2") == [
        DiskChange("/moved", "renamed", "/from-image"),
        DiskChange("/new", "added"),
    ]
    assert shared.changes(box, "v2", None) == [DiskChange("/new", "modified")]
    assert shared.changes(box, "v2", "v2") == []
    assert os.listdir(shared.path / "scratch") == []


def test_changes_across_a_restore(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    (disk(shared, box) / "wreck").touch()
    shared.stage_disk(box, "v1", "auto-1")
    shared.swap_disk(box, "auto-1")
    (disk(shared, box) / "mended").touch()

    assert shared.changes(box, "auto-1", None) == [
        DiskChange("/mended", "added"),
        DiskChange("/wreck", "deleted"),
    ]


def test_too_many_changes_are_refused_and_nothing_is_left(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    for number in range(2000):
        (disk(shared, box) / f"{number}").touch()

    code = refusal(LimitReached, lambda: shared.changes(box, "v1", None, changes_max=10))

    assert code == "too_many_changes"
    assert os.listdir(shared.path / "scratch") == []


def test_a_checkpoint_in_use_says_so(shared: Pool, box: str) -> None:
    shared.snapshot(box, "v1")
    shared.snapshot(box, "v2")
    for number in range(3000):
        (disk(shared, box) / f"{number}").touch()
    shared.snapshot(box, "v3")
    outlet, inlet = os.pipe()
    with held(os.open(checkpoint(shared, box, "v3"), os.O_RDONLY)) as new:
        old_id = shared.disks()[box].checkpoints["v1"]
        sender = threaded(lambda: btrfs.send_names(new, old_id, inlet))
        os.read(outlet, 1)  # the pipe is too small for all, so now it is being sent

        code = refusal(Conflict, lambda: shared.delete_checkpoint(box, "v3"))

        os.close(outlet)
        sender()
    os.close(inlet)
    assert code == "disk_in_use"


def threaded(call: Callable[[], None]) -> Callable[[], None]:
    """Begin a call that will end in EPIPE; the result waits for that."""

    def run() -> None:
        with contextlib.suppress(BrokenPipeError):
            call()

    thread = threading.Thread(target=run)
    thread.start()
    return thread.join


# -- images --


def test_an_image_is_there_when_it_is_whole(shared: Pool, tmp_path: Path) -> None:
    name = tmp_path.name
    with shared.new_image(name, "base") as tree:
        (tree / "more").write_text("built")
        assert name not in shared.images()

    made = shared.path / "images" / name
    assert name in shared.images()
    assert sorted(os.listdir(made)) == ["from-image", "more"]
    assert is_readonly(made)
    shared.delete_image(name)
    shared.delete_image(name)
    assert name not in shared.images()


def test_an_image_that_fails_to_build_leaves_nothing(shared: Pool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), shared.new_image(tmp_path.name, None) as tree:
        (tree / "half").rename(tree / "none" / "whole")

    assert tmp_path.name not in shared.images()
    assert os.listdir(shared.path / "scratch") == []


def test_a_box_is_saved_as_an_image_that_outlives_it(shared: Pool, box: str) -> None:
    (disk(shared, box) / "installed").write_text("tool")
    shared.snapshot(box, "v1")

    shared.save_image(box, None, f"{box}-now")
    shared.save_image(box, "v1", f"{box}-then")
    shared.delete_disks(box)

    for name in (f"{box}-now", f"{box}-then"):
        assert (shared.path / "images" / name / "installed").read_text() == "tool"
        shared.delete_image(name)


# -- the pool as a whole --


def test_what_was_acknowledged_survives_a_power_cut(shared: Pool, box: str, tmp_path: Path) -> None:
    (disk(shared, box) / "file").write_text("good")
    shared.snapshot(box, "v1")
    (disk(shared, box) / "file").write_text("wrecked")
    shared.stage_disk(box, "v1", "auto-1")
    shared.swap_disk(box, "auto-1")

    with after_a_power_cut(shared, tmp_path) as mount:
        there = mount / "boxes" / box
        assert (there / "disk" / "file").read_text() == "good"
        assert (there / "checkpoints" / "auto-1" / "file").read_text() == "wrecked"
        assert is_readonly(there / "checkpoints" / "auto-1")
        assert sorted(os.listdir(there / "checkpoints")) == ["auto-1", "v1"]


def test_images_and_limits_survive_a_power_cut(shared: Pool, limited: str, tmp_path: Path) -> None:
    with shared.new_image(limited, None) as tree:
        (tree / "file").write_text("built")
    shared.limit_disk(limited, 48 * MIB)

    with (
        after_a_power_cut(shared, tmp_path) as mount,
        held(os.open(mount, os.O_RDONLY)) as top,
        held(os.open(mount / "boxes" / limited, os.O_RDONLY)) as directory,
    ):
        usage = btrfs_quota.group_usage(top, disk_limits.group_of(top, directory))
        assert usage is not None
        assert usage.bytes_max == 48 * MIB
        assert (mount / "images" / limited / "file").read_text() == "built"
    shared.delete_image(limited)


def test_users_of_the_host_cannot_get_at_disks(shared: Pool, box: str) -> None:
    program = disk(shared, box) / "program"
    program.write_bytes(b"x")
    program.chmod(0o4755)

    def reachable(path: Path, user: int) -> bool:
        seen = ["setpriv", f"--reuid={user}", "--clear-groups", "test", "-e", path]
        return subprocess.run(seen, check=False).returncode == 0

    assert not reachable(program, 65534)
    assert not reachable(shared.path / "images" / "base", 65534)


def test_a_pool_is_taken_over_from_a_killed_daemon(pool: Path) -> None:
    killed = Pool.open(pool, directory=None, size_bytes=2 * GIB)
    with killed.new_image("base", None) as tree:
        (tree / "file").touch()
    killed.clone_image("base", "box", GIB)
    with held(os.open(killed.path / "scratch", os.O_RDONLY)) as scratch:
        btrfs.create_subvolume(scratch, "image-0")
    before = killed.disks()
    os.close(killed._top)

    second = Pool.open(pool, directory=None, size_bytes=2 * GIB)

    assert (second.disks(), second.images()) == (before, {"base"})
    assert os.listdir(second.path / "scratch") == []
    second.close()


def test_a_closed_pool_is_there_again_when_it_is_opened(pool: Path) -> None:
    first = Pool.open(pool, directory=None, size_bytes=2 * GIB)
    with first.new_image("base", None):
        pass
    first.close()
    assert loop_device.mounted(pool / "pool") is None
    attached = subprocess.run(["losetup", "-j", pool / "pool.img"], capture_output=True, check=True)
    assert attached.stdout == b""

    second = Pool.open(pool, directory=None, size_bytes=None)

    assert second.images() == {"base"}
    second.close()


def test_a_pool_is_mounted_as_it_has_to_be(shared: Pool) -> None:
    with Path("/proc/self/mountinfo").open() as lines:
        options = next(line for line in lines if f" {shared.path} " in line).split()[5].split(",")

    assert {"nodev", "noatime"} <= set(options)
    assert "nosuid" not in options


def test_a_pool_grows(pool: Path) -> None:
    first = Pool.open(pool, directory=None, size_bytes=2 * GIB)

    loop_device.grow(pool / "pool.img", pool / "pool", 3 * GIB)

    space = os.statvfs(first.path)
    assert space.f_blocks * space.f_frsize == 3 * GIB
    first.close()


def test_a_pool_with_something_else_in_its_place_is_refused(pool: Path, shared: Pool) -> None:
    Pool.open(pool, directory=None, size_bytes=2 * GIB).close()
    subprocess.run(["mount", "--bind", shared.path, pool / "pool"], check=True)

    code = refusal(NotAvailable, lambda: Pool.open(pool, directory=None, size_bytes=2 * GIB))

    assert code == "pool_not_mounted"


def test_a_pool_that_is_too_small_is_refused(pool: Path) -> None:
    code = refusal(NotAvailable, lambda: Pool.open(pool, directory=None, size_bytes=MIB))

    assert (code, os.listdir(pool)) == ("pool_too_small", ["pool"])


def test_a_directory_of_another_filesystem_is_refused() -> None:
    def opened() -> Pool:
        return Pool.open(Path("/"), directory=Path("/proc"), size_bytes=None)

    assert refusal(NotAvailable, opened) == "no_btrfs"


def test_an_own_directory_is_used_as_it_is_and_not_unmounted(shared: Pool, tmp_path: Path) -> None:
    directory = shared.path / tmp_path.name
    directory.mkdir()
    own = Pool.open(tmp_path, directory=directory, size_bytes=None)
    with own.new_image("base", None):
        pass
    own.clone_image("base", "box", GIB)
    shared.drop_stale_groups()  # that of another pool in the same filesystem is none of its own

    assert own.quotas == shared.quotas
    assert (own.disk_usage("box") is not None) == own.quotas
    own.delete_disks("box")
    own.close()
    assert loop_device.mounted(shared.path) is not None


def test_classic_quotas_of_the_owner_are_left_alone(pool: Path) -> None:
    first = Pool.open(pool, directory=None, size_bytes=2 * GIB)
    subprocess.run(["btrfs", "quota", "disable", first.path], check=True)
    subprocess.run(["btrfs", "quota", "enable", first.path], check=True)

    second = Pool.open(pool, directory=first.path, size_bytes=None)
    with second.new_image("base", None):
        pass
    second.clone_image("base", "box", GIB)

    assert not second.quotas
    assert second.disk_usage("box") is None
    assert btrfs_quota.quota_mode(second._top) == "classic"
    second.close()
    first.close()


def test_an_image_too_large_for_the_pool_leaves_nothing(shared: Pool, tmp_path: Path) -> None:
    def build() -> None:
        with shared.new_image(tmp_path.name, None) as tree, (tree / "big").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 8 * GIB)

    with pytest.raises(OSError, match="No space"):
        build()

    assert tmp_path.name not in shared.images()
    assert os.listdir(shared.path / "scratch") == []


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, LimitReached, "pool_full"),
        (errno.EDQUOT, LimitReached, "disk_limit"),
        (errno.EPERM, Conflict, "disk_in_use"),
        (errno.EROFS, NotAvailable, "pool_read_only"),
    ],
)
def test_what_the_filesystem_refuses_is_explained(
    number: int, kind: type[SkerryError], code: str
) -> None:
    def refused() -> None:
        with explained():
            raise OSError(number, "refused")

    assert refusal(kind, refused) == code
