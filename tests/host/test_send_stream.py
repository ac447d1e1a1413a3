"""Reading what btrfs sends: streams made by hand, and random changes to real trees."""

import os
import random
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skerry.base import Failed, LimitReached
from skerry.host import btrfs, disk_changes
from skerry.host.rooted import held
from skerry.host.seam import DiskChange
from skerry.host.send_stream import SendStream

MAKE, MAKE_DIRECTORY, RENAME, LINK, UNLINK, RMDIR = 3, 4, 9, 10, 11, 12
SET_XATTR, WRITE, CHMOD, TIMES, END, EXTENT = 13, 15, 18, 20, 21, 22
PATH, PATH_TO, PATH_LINK, DATA = 15, 16, 17, 19

Command = tuple[int, dict[int, str]]


def one(command: int, path: str, **more: str) -> Command:
    kinds = {"to": PATH_TO, "link": PATH_LINK, "data": DATA}
    return command, {PATH: path} | {kinds[name]: value for name, value in more.items()}


def stream(*commands: Command, ended: bool = True) -> bytes:
    data = b"btrfs-stream\0" + struct.pack("<I", 1)
    for command, attributes in (*commands, *([(END, {})] if ended else [])):
        body = b"".join(
            struct.pack("<HH", kind, len(os.fsencode(value))) + os.fsencode(value)
            for kind, value in attributes.items()
        )
        data += struct.pack("<IHI", len(body), command, 0) + body
    return data


def read(data: bytes, *, piece: int = 1 << 20, changes_max: int = 1000) -> list[DiskChange]:
    reader = SendStream(changes_max)
    for position in range(0, len(data), piece):
        reader.feed(data[position : position + piece])
    return reader.changes()


def changes(*commands: Command) -> list[tuple[str, ...]]:
    found = read(stream(*commands))
    return [(c.kind, c.path, *([c.from_path] if c.from_path else [])) for c in found]


def test_a_new_file_is_known_by_its_last_name() -> None:
    assert changes(
        one(MAKE, "o257-7-0"), one(RENAME, "o257-7-0", to="a/b"), one(WRITE, "a/b", data="text")
    ) == [("added", "/a/b")]


def test_what_lies_in_a_renamed_directory_is_not_named() -> None:
    assert changes(
        one(RENAME, "old", to="new"), one(WRITE, "new/deep/file"), one(CHMOD, "new/deep")
    ) == [
        ("renamed", "/new", "/old"),
        ("metadata", "/new/deep"),
        ("modified", "/new/deep/file"),
    ]


def test_two_that_change_places_are_both_renamed() -> None:
    assert changes(
        one(RENAME, "a", to="o258-7-0"), one(RENAME, "b", to="a"), one(RENAME, "o258-7-0", to="b")
    ) == [("renamed", "/a", "/b"), ("renamed", "/b", "/a")]


def test_what_was_moved_aside_and_back_did_not_change() -> None:
    assert changes(one(RENAME, "a", to="o258-7-0"), one(RENAME, "o258-7-0", to="a")) == []


def test_a_file_put_in_the_place_of_another_is_modified() -> None:
    assert changes(
        one(MAKE, "o300-9-0"), one(UNLINK, "etc/passwd"), one(RENAME, "o300-9-0", to="etc/passwd")
    ) == [("modified", "/etc/passwd")]


def test_a_file_renamed_over_another_is_only_renamed() -> None:
    assert changes(one(UNLINK, "b"), one(RENAME, "a", to="b")) == [("renamed", "/b", "/a")]


def test_a_deleted_directory_is_named_with_all_that_was_in_it() -> None:
    assert changes(
        one(RENAME, "d", to="o260-5-0"), one(UNLINK, "o260-5-0/f"), one(RMDIR, "o260-5-0")
    ) == [("deleted", "/d"), ("deleted", "/d/f")]


def test_a_second_name_is_added_and_the_first_stays() -> None:
    assert changes(one(LINK, "new", link="old"), one(TIMES, "old"), one(TIMES, "")) == [
        ("added", "/new")
    ]


def test_a_second_name_that_outlives_the_first_is_a_rename() -> None:
    assert changes(one(LINK, "new", link="old"), one(UNLINK, "old")) == [
        ("renamed", "/new", "/old")
    ]


def test_new_times_alone_are_no_change() -> None:
    assert changes(one(MAKE, "d/new"), one(TIMES, "d"), one(TIMES, "touched"), one(TIMES, "")) == [
        ("added", "/d/new")
    ]


def test_the_top_itself_can_change() -> None:
    assert changes(one(CHMOD, "")) == [("metadata", "/")]


def test_what_moved_and_changed_is_told_twice() -> None:
    assert changes(one(RENAME, "a", to="b"), one(EXTENT, "b"), one(SET_XATTR, "b")) == [
        ("renamed", "/b", "/a"),
        ("modified", "/b"),
    ]


def test_names_need_not_be_text() -> None:
    assert changes(one(MAKE, "\udce9t\udce9")) == [("added", "/\udce9t\udce9")]


def test_pieces_may_be_cut_anywhere() -> None:
    data = stream(one(MAKE, "a"), one(RENAME, "b", to="c"), one(WRITE, "c", data="x" * 300))

    assert read(data, piece=1) == read(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no stream at all, but long enough", "does not begin"),
        (stream(one(MAKE, "a"), ended=False), "ended too soon"),
        (stream(one(MAKE, "a"))[:-3], "ended too soon"),
        (b"", "ended too soon"),
        (stream(one(UNLINK, "a"), one(WRITE, "a")), "not there"),
        (stream((99, {})), "command 99"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Failed, match=reason) as caught:
        read(data)

    assert caught.value.code == "bad_send_stream"


def test_too_many_changes_are_refused_before_they_fill_memory() -> None:
    reader = SendStream(10)

    with pytest.raises(LimitReached) as caught:
        reader.feed(stream(*(one(MAKE, f"f{number}") for number in range(50)), ended=False))

    assert (caught.value.code, caught.value.details) == ("too_many_changes", {"limit": 10})


def test_the_limit_itself_is_allowed() -> None:
    data = stream(*(one(MAKE, f"f{number}") for number in range(10)))

    assert len(read(data, changes_max=10)) == 10
    with pytest.raises(LimitReached):
        read(data, changes_max=9)


# -- against real trees: the stream of random changes says what a walk of both trees finds --


@dataclass
class Walk:
    """A tree: names as (inode of the directory, name) -> inode, and what is known of each inode."""

    names: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    path: dict[int, str] = field(default_factory=dict[int, str])
    content: dict[int, bytes] = field(default_factory=dict[int, bytes])
    metadata: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])

    def path_of(self, name: tuple[int, str]) -> str:
        return f"{self.path[name[0]].rstrip('/')}/{name[1]}"


def walk(top: Path) -> Walk:
    found = Walk()

    def take(path: Path, shown: str) -> int:
        status = path.lstat()
        inode = status.st_ino
        found.path.setdefault(inode, shown)
        found.metadata[inode] = (status.st_mode, status.st_uid, status.st_gid)
        if stat.S_ISREG(status.st_mode):
            found.content[inode] = path.read_bytes()
        return inode

    take(top, "/")
    for directory, directories, files in os.walk(top):
        above = found.path[os.lstat(directory).st_ino].rstrip("/")
        for name in (*directories, *files):
            inode = take(Path(directory) / name, f"{above}/{name}")
            found.names[os.lstat(directory).st_ino, name] = inode
    return found


def names_by_inode(tree: Walk) -> dict[int, set[tuple[int, str]]]:
    found: dict[int, set[tuple[int, str]]] = {}
    for name, inode in tree.names.items():
        found.setdefault(inode, set()).add(name)
    return found


def expected(old: Walk, new: Walk) -> set[DiskChange]:
    """Say by comparing all inodes of two trees what changed; no name in old is a second one."""
    before, after = names_by_inode(old), names_by_inode(new)
    deleted: set[str] = set()
    moved: list[tuple[str, str | None]] = []
    for inode in before.keys() | after.keys():
        first = next(iter(before.get(inode, ())), None)
        fresh = sorted(after.get(inode, set()) - {first}, key=new.path_of)
        gone = first is not None and first not in after.get(inode, set())
        source = old.path_of(first) if gone and first else None
        deleted |= {source} if source and not fresh else set()
        moved += [(new.path_of(n), source if i == 0 else None) for i, n in enumerate(fresh)]
    found = {
        DiskChange(path, "renamed", source)
        if source
        else DiskChange(path, "modified" if path in deleted else "added")
        for path, source in moved
    }
    found |= {DiskChange(path, "deleted") for path in deleted - {path for path, _ in moved}}
    for inode in old.metadata.keys() & new.metadata.keys():
        first = next(iter(before.get(inode, ())), None)
        names = after.get(inode, set())
        place = (
            new.path_of(first)
            if first in names and first
            else min(map(new.path_of, names), default="/")
        )
        if old.content.get(inode) != new.content.get(inode):
            found.add(DiskChange(place, "modified"))
        elif old.metadata[inode] != new.metadata[inode]:
            found.add(DiskChange(place, "metadata"))
    return found


class Vandal:
    """Does random things to a tree."""

    def __init__(self, top: Path, seed: int) -> None:
        self.top = top
        self.random = random.Random(seed)
        self.made = 0

    def one_of(self, wanted: Callable[[Path], bool]) -> Path:
        paths = [path for path in sorted(self.top.rglob("*")) if wanted(path)]
        return self.random.choice([*paths, self.top])

    def file(self) -> Path:
        return self.one_of(lambda path: path.is_file() and not path.is_symlink())

    def directory(self) -> Path:
        return self.one_of(lambda path: path.is_dir() and not path.is_symlink())

    def name(self) -> Path:
        self.made += 1
        fresh = f"{self.random.choice('abcdefgh')}{self.made if self.random.random() < 0.5 else ''}"
        return self.directory() / fresh

    def make(self) -> None:
        path = self.name()
        if not path.exists() and not path.is_symlink():
            make = self.random.choice(("file", "file", "directory", "link"))
            if make == "file":
                path.write_bytes(self.random.randbytes(self.random.choice((0, 10, 9000))))
            elif make == "directory":
                path.mkdir()
            else:
                path.symlink_to("nowhere")

    def write(self) -> None:
        path = self.file()
        if path != self.top:
            with path.open("r+b") as file:
                file.seek(self.random.choice((0, 0, 4096)))
                file.write(self.random.randbytes(self.random.choice((5, 5000))))

    def truncate(self) -> None:
        path = self.file()
        if path != self.top:
            os.truncate(path, self.random.randrange(10_000))

    def rename(self) -> None:
        source, target = self.one_of(lambda _: True), self.name()
        if source in (self.top, target) or source in target.parents:
            return
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        if source.is_dir() and not source.is_symlink():
            target.unlink(missing_ok=True)
        if source.exists() or source.is_symlink():
            source.rename(target)

    def exchange(self) -> None:
        a, b = self.one_of(lambda _: True), self.one_of(lambda _: True)
        if a != b and self.top not in (a, b) and a not in b.parents and b not in a.parents:
            with held(os.open(a.parent, os.O_RDONLY)) as one, held(os.open(b.parent, 0)) as other:
                btrfs.exchange(one, a.name, other, b.name)

    def link(self) -> None:
        source, target = self.file(), self.name()
        if source != self.top and not target.exists() and not target.is_symlink():
            os.link(source, target)

    def delete(self) -> None:
        path = self.one_of(lambda _: True)
        if path.is_dir() and not path.is_symlink():
            if path != self.top:
                shutil.rmtree(path)
        else:
            path.unlink()

    def chmod(self) -> None:
        path = self.one_of(lambda path: not path.is_symlink())
        path.chmod(self.random.choice((0o700, 0o750, 0o711)))

    def touch(self) -> None:
        os.utime(self.one_of(lambda path: not path.is_symlink()))

    def rage(self, count: int, *, links: bool) -> None:
        deeds = [self.make, self.make, self.make, self.write, self.truncate, self.rename]
        deeds += [self.rename, self.exchange, self.delete, self.chmod, self.touch]
        for _ in range(count):
            self.random.choice([*deeds, self.link] if links else deeds)()


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("send")
    image, mount = place / "image", place / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop,nodev,noatime", image, mount], check=True)
    yield mount
    subprocess.run(["umount", mount], check=True)


def compare(old: Path, new: Path) -> list[DiskChange]:
    with held(os.open(old, os.O_RDONLY)) as before, held(os.open(new, os.O_RDONLY)) as after:
        return disk_changes.compare(before, after, 10_000)


@pytest.mark.machine
@pytest.mark.parametrize("seed", range(30))
def test_random_changes_are_told_as_a_walk_of_both_trees_finds_them(
    volume: Path, seed: int
) -> None:
    with held(os.open(volume, os.O_RDONLY)) as top:
        btrfs.create_subvolume(top, f"disk{seed}")
        vandal = Vandal(volume / f"disk{seed}", seed)
        vandal.rage(60, links=False)
        with held(os.open(vandal.top, os.O_RDONLY)) as disk:
            btrfs.create_snapshot(disk, top, f"old{seed}", readonly=True)
            vandal.rage(1 + seed * 3, links=True)
            btrfs.create_snapshot(disk, top, f"new{seed}", readonly=True)

    found = compare(volume / f"old{seed}", volume / f"new{seed}")

    assert set(found) == expected(walk(volume / f"old{seed}"), walk(volume / f"new{seed}"))
    assert len(found) == len(set(found))
