"""Copying files and trees of a box, on any filesystem and on btrfs."""

import os
import socket
import stat as modes
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from skerry.base import SkerryError
from skerry.host import box_files, btrfs
from skerry.host.box_files import Anchor, BoxRoot, Credentials
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


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """A small btrfs of this file's own."""
    place = tmp_path_factory.mktemp("pool")
    image, mount = place / "image", place / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop,nodev", image, mount], check=True)
    yield mount
    # Lazily: a failed test's traceback may still hold a root.
    subprocess.run(["umount", "--lazy", mount], check=True)


@pytest.fixture
def volumes(pool: Path, tmp_path: Path) -> Generator[tuple[BoxRoot, BoxRoot]]:
    """A box's disk, and a checkpoint of it that holds the 4 MiB file `data`."""
    disk, kept = f"{tmp_path.name}-disk", f"{tmp_path.name}-checkpoint"
    with held(os.open(pool, os.O_RDONLY)) as directory:
        btrfs.create_subvolume(directory, disk)
        (pool / disk / "data").write_bytes(b"kept" * (1 << 20))
        subprocess.run(
            ["btrfs", "-q", "subvolume", "snapshot", "-r", pool / disk, pool / kept], check=True
        )
    with (
        held(os.open(pool / disk, os.O_PATH)) as live,
        held(os.open(pool / kept, os.O_PATH)) as checkpoint,
    ):
        yield BoxRoot(Anchor(live)), BoxRoot(Anchor(checkpoint))


def open_below(disk: Path) -> int:
    """Count the descriptors of this process that stand for something on the disk."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(str(disk)) for link in links if os.path.lexists(link))


def refusal(call: Callable[[], object]) -> tuple[str, object]:
    with pytest.raises(SkerryError) as caught:
        call()
    return caught.value.code, caught.value.details.get("errno")


def a_tree(disk: Path) -> Path:
    """A tree with one of everything that a user can make."""
    tree = disk / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_bytes(b"content" * 1000)
    (tree / "sub" / "tool").write_bytes(b"#!")
    (tree / "sub" / "tool").chmod(0o4755)
    (tree / "link").symlink_to("/etc/shadow")
    os.mkfifo(tree / "fifo")
    os.setxattr(tree / "file", "user.note", b"kept")
    os.utime(tree / "file", ns=(10**18, 10**18 + 1))
    for path in (tree, *tree.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)
    (tree / "sub").chmod(0o500)
    return tree


def test_a_copied_file_has_content_and_mode_and_is_the_users(box: BoxRoot, disk: Path) -> None:
    (disk / "source").write_bytes(b"content")
    (disk / "source").chmod(0o4755)

    result = box_files.copy(box, "source", "dest")

    assert (result.count, result.size_bytes, result.paths) == (1, 7, ("/dest",))
    entry = box_files.stat(box, "dest")
    assert (entry.uid, entry.mode, (disk / "dest").read_bytes()) == (USER, 0o755, b"content")


def test_a_copy_that_preserves_keeps_what_root_can_keep(root: BoxRoot, disk: Path) -> None:
    source = a_tree(disk) / "sub" / "tool"
    os.utime(source, ns=(10**18, 10**18))
    os.setxattr(source, "user.note", b"kept")
    source.chmod(0o4755)

    box_files.copy(root, "tree/sub/tool", "dest", preserve=True)

    entry = box_files.stat(root, "dest")
    assert (entry.uid, entry.mode, entry.mtime_ns) == (USER, 0o4755, 10**18)
    assert os.getxattr(disk / "dest", "user.note") == b"kept"


def test_a_copy_by_a_user_of_roots_program_is_no_program_of_root(box: BoxRoot, disk: Path) -> None:
    (disk / "su").write_bytes(b"program")
    (disk / "su").chmod(0o4755)

    box_files.copy(box, "su", "mine", preserve=True)

    assert (box_files.stat(box, "mine").uid, box_files.stat(box, "mine").mode) == (USER, 0o755)


def test_attributes_of_the_host_are_not_copied(root: BoxRoot, disk: Path) -> None:
    (disk / "source").write_bytes(b"x")
    os.setxattr(disk / "source", "trusted.host", b"secret")

    box_files.copy(root, "source", "dest", preserve=True)

    assert os.listxattr(disk / "dest") == []


def test_a_tree_is_copied_with_links_fifos_and_closed_directories(box: BoxRoot, disk: Path) -> None:
    a_tree(disk)

    result = box_files.copy(box, "tree", "copied", recursive=True)

    made = disk / "copied"
    assert result.count == 6
    assert sorted(p.name for p in made.rglob("*")) == ["fifo", "file", "link", "sub", "tool"]
    assert os.readlink(made / "link") == "/etc/shadow"
    assert modes.S_ISFIFO((made / "fifo").stat().st_mode)
    assert (made / "sub").stat().st_mode & 0o777 == 0o500
    assert (made / "file").read_bytes() == b"content" * 1000


def test_a_tree_can_keep_times_and_attributes(box: BoxRoot, disk: Path) -> None:
    tree = a_tree(disk)

    box_files.copy(box, "tree", "copied", recursive=True, preserve=True)

    for path in ("file", "sub"):
        assert (disk / "copied" / path).stat().st_mtime_ns == (tree / path).stat().st_mtime_ns
    assert os.getxattr(disk / "copied" / "file", "user.note") == b"kept"
    assert (disk / "copied" / "sub" / "tool").stat().st_mode & 0o7777 == 0o755


def test_a_tree_is_merged_into_what_is_there(box: BoxRoot, disk: Path) -> None:
    a_tree(disk)
    (disk / "copied").mkdir(mode=0o700)
    (disk / "copied" / "other").write_bytes(b"kept")
    (disk / "copied" / "file").symlink_to("other")
    for name in ("copied", "copied/other"):
        os.chown(disk / name, USER, USER)

    box_files.copy(box, "tree", "copied", recursive=True)

    assert (disk / "copied" / "other").read_bytes() == b"kept"
    assert not (disk / "copied" / "file").is_symlink()
    assert (disk / "copied").stat().st_mode & 0o777 == 0o700


def test_a_socket_is_copied_as_a_name(
    box: BoxRoot, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = a_tree(disk)
    monkeypatch.chdir(tree)  # the name of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")

    box_files.copy(box, "tree", "copied", recursive=True)

    assert (disk / "copied" / "socket").is_socket()


def test_a_device_is_not_copied_even_as_root(root: BoxRoot, disk: Path) -> None:
    os.mknod(a_tree(disk) / "null", modes.S_IFCHR | 0o666, os.makedev(1, 3))

    refused = refusal(lambda: box_files.copy(root, "tree", "copied", recursive=True))

    assert refused == ("permission_denied", "EPERM")
    assert not (disk / "copied" / "null").exists()


@pytest.mark.parametrize("dest", ["tree/inner", "tree/sub/../inner", "alias/sub/inner"])
def test_a_tree_is_not_copied_into_itself(root: BoxRoot, disk: Path, dest: str) -> None:
    a_tree(disk)
    (disk / "alias").symlink_to("tree")

    assert refusal(lambda: box_files.copy(root, "tree", dest, recursive=True))[1] == "EINVAL"
    assert not (disk / "tree" / "inner").exists()


def test_what_cannot_be_copied_says_why(box: BoxRoot, disk: Path) -> None:
    a_tree(disk)
    (disk / "file").write_bytes(b"x")
    copy = box_files.copy

    assert refusal(lambda: copy(box, "tree", "copied"))[1] == "EISDIR"
    assert refusal(lambda: copy(box, "file", "tree"))[1] == "EISDIR"
    assert refusal(lambda: copy(box, "tree", "file", recursive=True))[1] == "ENOTDIR"
    assert refusal(lambda: copy(box, "tree/fifo", "x"))[0] == "not_a_regular_file"
    assert refusal(lambda: copy(box, "gone", "x"))[1] == "ENOENT"
    assert refusal(lambda: copy(box, "file", "gone/x"))[1] == "ENOENT"


def test_copies_leave_no_descriptor_and_no_temporary_file(root: BoxRoot, disk: Path) -> None:
    a_tree(disk)
    before = open_below(disk)

    for _ in range(2):
        box_files.copy(root, "tree/file", "dest")
        box_files.copy(root, "tree", "copied", recursive=True)

    assert sorted(os.listdir(disk)) == ["copied", "dest", "tree"]
    assert open_below(disk) == before


def test_a_copy_on_btrfs_shares_its_extents(volumes: tuple[BoxRoot, BoxRoot]) -> None:
    live, _ = volumes

    box_files.copy(live, "data", "copied")

    assert extents(live, "copied") == extents(live, "data")


def test_a_file_comes_back_from_a_checkpoint_sharing_extents(
    volumes: tuple[BoxRoot, BoxRoot],
) -> None:
    live, checkpoint = volumes
    box_files.delete(live, "data")

    box_files.copy(live, "data", "data", source_root=checkpoint, preserve=True)

    assert extents(live, "data") == extents(checkpoint, "data")


def test_a_file_with_two_names_is_filled_by_sharing(volumes: tuple[BoxRoot, BoxRoot]) -> None:
    live, _ = volumes
    path = f"/proc/self/fd/{live.descriptor}"
    Path(path, "one").write_bytes(b"longer" * (1 << 20))
    os.link(f"{path}/one", f"{path}/two")

    box_files.copy(live, "data", "one")

    assert extents(live, "two") == extents(live, "data")
    assert box_files.stat(live, "two").size_bytes == 4 << 20


def test_a_checkpoint_is_read_only(volumes: tuple[BoxRoot, BoxRoot]) -> None:
    _, kept = volumes
    read_only = ("read_only", "EROFS")

    assert refusal(lambda: box_files.open_write(kept, "data")) == read_only
    assert refusal(lambda: box_files.open_write(kept, "new")) == read_only
    assert refusal(lambda: box_files.delete(kept, "data")) == read_only
    assert refusal(lambda: box_files.rename(kept, "data", "new")) == read_only
    assert refusal(lambda: box_files.make_directory(kept, "new")) == read_only
    assert refusal(lambda: box_files.change_mode(kept, "data", 0o777)) == read_only
    with box_files.open_read(kept, "data", stop=4) as reader:
        assert reader.read() == b"kept"


def test_a_subvolume_in_a_box_is_part_of_its_disk(volumes: tuple[BoxRoot, BoxRoot]) -> None:
    live, _ = volumes
    with held(os.open(f"/proc/self/fd/{live.descriptor}", os.O_RDONLY)) as directory:
        btrfs.create_subvolume(directory, "nested")

    with box_files.open_write(live, "nested/file") as writer:
        writer.commit()

    assert [e.name for e in box_files.list_directory(live, "nested")] == ["file"]
    assert refusal(lambda: box_files.rename(live, "nested/file", "x"))[1] == "EXDEV"


def extents(root: BoxRoot, path: str) -> list[str]:
    """Return where on the disk a file's content lies."""
    name = f"/proc/self/fd/{root.descriptor}/{path}"
    done = subprocess.run(
        ["filefrag", "-v", "-s", name], capture_output=True, text=True, check=True,
        pass_fds=[root.descriptor],
    )  # fmt: skip
    lines = [line.split(":") for line in done.stdout.splitlines() if line[:4].strip().isdigit()]
    assert lines, "the file has extents"
    return [line[2].strip() for line in lines]
