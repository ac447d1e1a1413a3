"""Paths stay below their root: in the way a box reads them, and in the way that follows no link."""

import errno
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skerry.host.rooted import (
    HANDLE,
    held,
    lies_in,
    open_beneath,
    open_target_parent,
    open_within,
    reopen,
)

pytestmark = pytest.mark.machine


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A root with a file in it and, beside it, a file that must never be reached."""
    disk = tmp_path / "disk"
    (disk / "etc").mkdir(parents=True)
    (disk / "etc" / "shadow").write_text("the box's")
    (tmp_path / "shadow").write_text("the host's")
    return disk


@pytest.fixture
def root(disk: Path) -> Iterator[int]:
    with held(os.open(disk, HANDLE)) as descriptor:
        yield descriptor


def open_below(disk: Path) -> int:
    """Count the descriptors of this process that stand for something on the disk."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(str(disk)) for link in links if os.path.lexists(link))


def refusal(call: Callable[[], int]) -> str:
    """Return the name of the errno that call ends with."""
    try:
        os.close(call())
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "none"


def content(handle: int) -> str:
    with held(handle), held(reopen(handle, os.O_RDONLY)) as file:
        return os.read(file, 100).decode()


@contextmanager
def swapping(disk: Path, name: str) -> Generator[None]:
    """Exchange a directory and a link out of the root under one name, without a pause."""
    real, link, here = disk / f"{name}.real", disk / f"{name}.link", disk / name
    real.mkdir()
    (real / "shadow").write_text("the box's")
    link.symlink_to("../../../../.." + str(disk.parent))
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for other in (real, link):
                other.rename(here)
                here.rename(other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "target",
    ["/etc/shadow", "../../../../etc/shadow", "etc/../../../etc/shadow", "/../etc/shadow"],
)
def test_a_link_to_the_hosts_file_reaches_the_one_in_the_box(
    disk: Path, root: int, target: str
) -> None:
    (disk / "link").symlink_to(target)

    assert content(open_within(root, "/link")) == "the box's"


def test_a_link_to_a_path_of_the_host_leads_nowhere(disk: Path, root: int) -> None:
    (disk / "link").symlink_to(disk.parent / "shadow")

    with pytest.raises(FileNotFoundError):
        open_within(root, "/link")


def test_parents_of_the_root_are_the_root(root: int) -> None:
    assert content(open_within(root, "/../../../etc/shadow")) == "the box's"


def test_a_magic_link_is_not_followed() -> None:
    with held(os.open("/proc", HANDLE)) as proc:
        assert refusal(lambda: open_within(proc, "/self/root/etc/hostname")) == "ELOOP"


def test_another_mount_is_not_entered() -> None:
    with held(os.open("/", HANDLE)) as top:
        assert refusal(lambda: open_within(top, "/proc/version")) == "EXDEV"


def test_beneath_follows_no_link_on_the_way(disk: Path, root: int) -> None:
    (disk / "link").symlink_to("etc")

    assert refusal(lambda: open_beneath(root, "link/shadow")) == "ELOOP"


@pytest.mark.parametrize("path", ["../shadow", "etc/../../shadow", "/etc/shadow"])
def test_beneath_leads_only_down(root: int, path: str) -> None:
    assert refusal(lambda: open_beneath(root, path)) == "EXDEV"


def test_a_directory_swapped_for_a_link_never_leads_out(disk: Path, root: int) -> None:
    outcomes: set[str] = set()

    with swapping(disk, "moving"):
        for _ in range(3_000):
            try:
                outcomes.add(content(open_within(root, "/moving/../moving/shadow")))
            except OSError as error:
                outcomes.add(errno.errorcode[error.errno or 0])

    assert outcomes <= {"the box's", "ENOENT"}  # which of them, the scheduler decides


def test_the_parent_of_a_links_target_is_where_the_link_lies(disk: Path, root: int) -> None:
    (disk / "a" / "b").mkdir(parents=True)
    (disk / "short").symlink_to("a/b")
    (disk / "a" / "b" / "link").symlink_to("../new")

    directory, name = open_target_parent(root, "/short/link")

    with held(directory):
        assert os.path.samestat(os.fstat(directory), (disk / "a").stat())
    assert name == "new"


def test_links_in_a_circle_have_no_target(disk: Path, root: int) -> None:
    (disk / "one").symlink_to("two")
    (disk / "two").symlink_to("one")

    assert refusal(lambda: open_target_parent(root, "/one")[0]) == "ELOOP"


def test_lying_in_is_told_from_lying_beside(disk: Path, root: int) -> None:
    (disk / "a" / "b").mkdir(parents=True)

    with held(os.open(disk / "a" / "b", HANDLE)) as inner:
        assert lies_in(inner, (disk / "a").stat(), root)
        assert not lies_in(inner, (disk / "etc").stat(), root)


def test_no_descriptor_is_left_open(disk: Path, root: int) -> None:
    (disk / "link").symlink_to("etc/new")
    before = open_below(disk)

    with held(open_target_parent(root, "/link")[0]):
        pass
    with pytest.raises(FileNotFoundError):
        open_target_parent(root, "/nowhere/at/all")

    assert open_below(disk) == before
