"""The disk of the object store: what it promises, on a real one and on the simulated one."""

import errno
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skerry.base import Failed, LimitReached, NotAvailable
from skerry.host.data_errors import writing_to
from skerry.host.object_disk import object_disk
from skerry.objects.disk import Disk
from skerry.testing.object_disk import SimulatedDisk


def on_real(folder: Path, story: Callable[[Disk], None]) -> None:
    with object_disk(folder) as disk:
        story(disk)


def on_simulated(_folder: Path, story: Callable[[Disk], None]) -> None:
    story(SimulatedDisk())


each_disk = pytest.mark.parametrize("on", [on_real, on_simulated])


@each_disk
def test_segments_hold_what_is_written(tmp_path: Path, on: Callable[..., None]) -> None:
    def story(disk: Disk) -> None:
        disk.make_segment(1)
        disk.write(1, 0, [b"one", bytearray(b"two"), memoryview(b"three")])
        disk.write(1, 11, [b"x"] * 3000)
        disk.make_segment(2)
        assert disk.segments() == [1, 2]
        assert (disk.size(1), disk.size(2)) == (3011, 0)
        assert disk.read(1, 3, 3) == b"two"
        assert disk.read(1, 3010, 9) == b"x"
        assert disk.read_cached(1, 3, 3) in (b"two", None)

    on(tmp_path, story)


@each_disk
def test_segments_are_cut_and_removed(tmp_path: Path, on: Callable[..., None]) -> None:
    def story(disk: Disk) -> None:
        for number in (1, 2):
            disk.make_segment(number)
            disk.write(number, 0, [b"abc"])
        disk.cut(2, 1)
        disk.remove_segment(1)
        disk.remove_segment(1)
        assert disk.segments() == [2]
        assert disk.read(2, 0, 9) == b"a"
        disk.make_segment(2)
        assert disk.size(2) == 0

    on(tmp_path, story)


@each_disk
def test_files_are_there_once_they_are_kept(tmp_path: Path, on: Callable[..., None]) -> None:
    def story(disk: Disk) -> None:
        kept, dropped = disk.scratch(), disk.scratch()
        for file in (kept, dropped):
            file.write(b"abc")
            file.write(memoryview(b"def"))
        assert disk.files() == []
        kept.keep("id1")
        kept.discard()
        dropped.discard()
        assert disk.files() == ["id1"]
        assert (disk.read_file("id1", 2, 3), disk.read_file("id1", 5, 9)) == (b"cde", b"f")
        disk.remove_file("id1")
        disk.remove_file("id1")
        with pytest.raises(Failed, match=r"."):
            disk.read_file("id1", 0, 1)

    on(tmp_path, story)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, of which a 64th is kept for making room."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.machine
def test_the_last_of_a_disk_is_for_making_room(small_disk: Path) -> None:
    with object_disk(small_disk) as disk:
        disk.make_segment(1)
        disk.check_room()
        (small_disk / "filler").write_bytes(bytes((8 << 20) - (96 << 10)))
        with pytest.raises(LimitReached):
            disk.check_room()
        file = disk.scratch()
        with pytest.raises(LimitReached):
            file.write(b"x")
        file.discard()
        disk.write(1, 0, [b"gone"])


def test_a_directory_of_somebody_elses_is_refused_with_what_to_do() -> None:
    with pytest.raises(NotAvailable, match=r"chown -R [0-9]+ /data") as caught, writing_to("/data"):
        raise PermissionError(errno.EACCES, "Permission denied")

    assert caught.value.code == "data_unwritable"
