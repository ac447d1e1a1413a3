"""What a watch tells of a box's files, and what it cannot be made to do."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.base import Denied, LimitReached, NotFound
from skerry.host import box_files
from skerry.host.box_files import Anchor, BoxRoot, Credentials
from skerry.host.file_watch import FileChange, FileWatch
from skerry.host.rooted import held

pytestmark = pytest.mark.machine

USER = 1000


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = tmp_path / "disk"
    (disk / "app").mkdir(parents=True)
    return disk


@pytest.fixture
def root(disk: Path) -> Iterator[BoxRoot]:
    with held(os.open(disk, os.O_PATH)) as descriptor:
        yield BoxRoot(Anchor(descriptor))


@pytest.fixture
def watch(root: BoxRoot) -> Iterator[FileWatch]:
    with FileWatch(root) as watch:
        yield watch


def queues() -> int:
    """Count the inotify instances of this process."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum("inotify" in os.readlink(link) for link in links if os.path.lexists(link))


def told(watch: FileWatch) -> list[tuple[str, str]]:
    return [(change.kind, change.path) for change in watch.read()]


def test_what_happens_in_a_directory_is_told(watch: FileWatch, disk: Path) -> None:
    watch.add("/app")
    file = disk / "app" / "file"

    file.touch()
    file.write_bytes(b"content")
    file.chmod(0o600)
    file.unlink()

    assert told(watch) == [
        ("create", "/app/file"),
        ("write", "/app/file"),
        ("chmod", "/app/file"),
        ("remove", "/app/file"),
    ]


def test_nothing_is_told_of_nothing(watch: FileWatch) -> None:
    watch.add("/app")

    assert told(watch) == []


def test_many_writes_are_told_as_one_until_something_else_happens(
    watch: FileWatch, disk: Path
) -> None:
    (disk / "app" / "file").touch()
    watch.add("/app")

    with (disk / "app" / "file").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x")
    (disk / "app" / "file").unlink()
    (disk / "app" / "file").touch()

    kinds = [kind for kind, _ in told(watch)]
    assert kinds == ["write", "remove", "create"]


def test_a_file_that_moves_leaves_one_name_and_takes_another(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "old").touch()
    watch.add("/app")

    (disk / "app" / "old").rename(disk / "app" / "new")

    assert told(watch) == [("rename", "/app/old"), ("create", "/app/new")]


def test_a_new_file_of_ours_is_told_as_created(watch: FileWatch, root: BoxRoot) -> None:
    watch.add("/app")

    with box_files.open_write(root, "/app/file", mode=0o600) as writer:
        writer.write(b"content")
        writer.commit()

    assert told(watch) == [("create", "/app/file")]


@pytest.mark.parametrize("path", ["/app", "/app/file"])
def test_a_file_that_we_replace_is_told_as_written(
    watch: FileWatch, root: BoxRoot, disk: Path, path: str
) -> None:
    (disk / "app" / "file").touch()
    watch.add(path)

    with box_files.open_write(root, "/app/file") as writer:
        writer.write(b"content")
        writer.commit()

    assert told(watch) == [("write", "/app/file")]


def test_a_watched_file_is_followed_through_deletion_and_replacement(
    watch: FileWatch, disk: Path
) -> None:
    file = disk / "app" / "file"
    file.touch()
    (disk / "app" / "other").touch()
    watch.add("/app/file")

    (disk / "app" / "other").write_bytes(b"not told")
    file.unlink()
    file.touch()

    assert told(watch) == [("remove", "/app/file"), ("create", "/app/file")]


def test_a_watched_link_tells_of_the_file_it_leads_to(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "real").touch()
    (disk / "link").symlink_to("app/real")
    watch.add("/link")

    (disk / "app" / "real").write_bytes(b"content")

    assert told(watch) == [("write", "/link")]


def test_a_recursive_watch_takes_in_new_directories(watch: FileWatch, disk: Path) -> None:
    watch.add("/app", recursive=True)

    (disk / "app" / "a" / "b").mkdir(parents=True)
    (disk / "app" / "a" / "b" / "early").touch()
    assert told(watch) == [
        ("create", "/app/a"),
        ("create", "/app/a/b"),
        ("create", "/app/a/b/early"),
    ]

    (disk / "app" / "a" / "b" / "late").touch()
    assert told(watch) == [("create", "/app/a/b/late")]


def test_a_plain_watch_does_not_look_below(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "sub").mkdir()
    watch.add("/app")

    (disk / "app" / "sub" / "file").touch()

    assert told(watch) == []


def test_a_directory_that_moves_is_told_by_its_new_name(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "old" / "deep").mkdir(parents=True)
    watch.add("/app", recursive=True)
    (disk / "app" / "old").rename(disk / "app" / "new")
    watch.read()

    (disk / "app" / "new" / "deep" / "file").touch()

    assert told(watch) == [("create", "/app/new/deep/file")]


def test_a_directory_that_moves_out_of_sight_is_told_no_more(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "sub").mkdir()
    watch.add("/app", recursive=True)
    (disk / "app" / "sub").rename(disk / "away")
    assert told(watch) == [("rename", "/app/sub")]

    (disk / "away" / "file").touch()

    assert told(watch) == []


def test_two_paths_to_one_directory_are_told_apart(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "sub").mkdir()
    watch.add("/app", recursive=True)
    watch.add("/app/sub")

    watch.remove("/app")
    (disk / "app" / "sub" / "file").touch()

    assert watch.paths == ("/app/sub",)
    assert told(watch) == [("create", "/app/sub/file")]


def test_a_path_that_goes_away_is_told_and_watched_no_more(watch: FileWatch, disk: Path) -> None:
    (disk / "app" / "sub").mkdir()
    watch.add("/app", recursive=True)

    shutil.rmtree(disk / "app")

    assert told(watch) == [("remove", "/app/sub"), ("remove", "/app")]
    assert watch.paths == ()


def test_a_path_that_is_moved_is_watched_no_more(watch: FileWatch, disk: Path) -> None:
    watch.add("/app")

    (disk / "app").rename(disk / "other")

    assert told(watch) == [("rename", "/app")]
    assert watch.paths == ()


def test_a_link_out_of_the_box_watches_nothing_of_the_hosts(watch: FileWatch, disk: Path) -> None:
    outside = disk.parent / "outside"
    outside.mkdir()
    (disk / "app" / "link").symlink_to(f"../../../../../../..{outside}")
    watch.add("/app", recursive=True)

    with pytest.raises(NotFound):
        watch.add("/app/link", recursive=True)
    (outside / "file").touch()

    assert told(watch) == []


def test_a_user_watches_what_the_user_may_read(root: BoxRoot, disk: Path) -> None:
    (disk / "app" / "roots").mkdir(mode=0o700)
    (disk / "app" / "open").mkdir()
    with FileWatch(BoxRoot(root.anchor, Credentials(USER, USER))) as watch:
        watch.add("/app", recursive=True)
        with pytest.raises(Denied):
            watch.add("/app/roots")

        (disk / "app" / "roots" / "file").touch()
        (disk / "app" / "open" / "file").touch()

        assert told(watch) == [("create", "/app/open/file")]


def test_too_many_directories_are_refused_and_none_is_kept(root: BoxRoot, disk: Path) -> None:
    for number in range(5):
        (disk / "app" / str(number)).mkdir()
    with FileWatch(root, watches_max=4) as watch:
        with pytest.raises(LimitReached):
            watch.add("/app", recursive=True)

        assert watch.paths == ()
        assert watch.add("/app") == "/app"


def test_directories_that_come_beyond_the_limit_are_told_as_missed(
    root: BoxRoot, disk: Path
) -> None:
    with FileWatch(root, watches_max=2) as watch:
        watch.add("/app", recursive=True)
        (disk / "app" / "a" / "b").mkdir(parents=True)

        changes = watch.read()

    assert changes[0] == FileChange("create", "/app/a", is_directory=True)
    assert changes[-1] == FileChange("overflow", "/app/a", is_directory=True)


def test_more_events_than_the_kernel_keeps_are_told_as_missed(watch: FileWatch, disk: Path) -> None:
    names_max = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watch.add("/app", recursive=True)
    file = disk / "app" / "file"
    for _ in range(names_max // 2 + 100):
        file.touch()
        file.unlink()

    kinds: set[str] = set()
    while changes := watch.read():
        kinds |= {change.kind for change in changes}

    assert "overflow" in kinds
    (disk / "app" / "after").touch()
    assert told(watch) == [("create", "/app/after")]


def test_a_task_waits_for_changes(watch: FileWatch, disk: Path) -> None:
    watch.add("/app")

    async def main() -> list[str]:
        waiting = asyncio.create_task(_next(watch))
        await asyncio.sleep(0)
        (disk / "app" / "file").touch()
        async with asyncio.timeout(10):
            return await waiting

    assert asyncio.run(main()) == ["/app/file"]


def test_waiting_ends_when_no_path_is_left(watch: FileWatch, disk: Path) -> None:
    watch.add("/app")
    (disk / "app").rmdir()

    assert asyncio.run(_next(watch)) == ["/app"]
    assert asyncio.run(_next(watch)) == []


def test_a_wait_can_be_cancelled(watch: FileWatch) -> None:
    watch.add("/app")

    async def main() -> None:
        async with asyncio.timeout(0):
            await watch.changes()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_closed_watch_holds_nothing(root: BoxRoot) -> None:
    before = queues()

    with FileWatch(root) as watch:
        watch.add("/app", recursive=True)
    watch.close()

    assert (watch.paths, watch.read()) == ((), ())
    assert queues() == before


async def _next(watch: FileWatch) -> list[str]:
    return [change.path for change in await watch.changes()]
