"""Copies of trees. The box's disk is a directory here."""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest

from skerry import wire
from skerry.base import NotFound
from skerry.client import Transfer, TransferProgress
from skerry.client.calls import Calls
from skerry.client.endpoint import Endpoint
from skerry.client.file_calls import Content, FileCalls
from skerry.client.pull import pull
from skerry.client.push import push


class Disk(FileCalls):
    """The files of a box, in a local directory."""

    def __init__(self, root: Path) -> None:
        super().__init__(Calls(Endpoint()), "dev")
        self.root = root
        self.written: list[str] = []
        self.on_open: Callable[[str], None] = lambda _: None

    def local(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def entry(self, path: str) -> wire.Entry:
        found = self.local(path).lstat()
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
        kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
        return wire.Entry(
            name=os.path.basename(path), path=path, type=kind, size=found.st_size,  # type: ignore[arg-type]
            mode=f"{stat.S_IMODE(found.st_mode):04o}", mod_time="", is_dir=kind == "directory",
            uid=0, gid=0,
            target=os.readlink(self.local(path)) if kind == "symlink" else None,
        )  # fmt: skip

    async def listing(self, path: str, *, as_root: bool = False) -> wire.Listing:
        path = "/" + path.strip("/")
        if not self.local(path).exists():
            raise NotFound("file_not_found", "No.", {"path": path})
        if not self.local(path).is_dir():
            return wire.Listing(path=path, entries=[self.entry(path)], count=1)
        below = path.rstrip("/")
        entries = [self.entry(f"{below}/{name}") for name in sorted(os.listdir(self.local(path)))]
        return wire.Listing(path=path, entries=entries, count=len(entries))

    @contextlib.asynccontextmanager
    async def open(
        self, path: str, *, start: int | None = None, end: int | None = None, as_root: bool = False
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        self.on_open(path)
        if not self.local(path).exists():
            raise NotFound("file_not_found", "No.", {"path": path})

        async def pieces() -> AsyncIterator[bytes]:
            yield self.local(path).read_bytes()

        yield pieces()

    async def write(
        self, path: str, content: Content, *, mode: int = 0o644, parents: bool = True,
        as_root: bool = False,
    ) -> wire.Written:  # fmt: skip
        assert not isinstance(content, str)
        data = content if isinstance(content, bytes) else b"".join([p async for p in content])
        self.local(path).parent.mkdir(parents=True, exist_ok=True)
        self.local(path).write_bytes(data)
        self.local(path).chmod(mode)
        self.written.append(path)
        return wire.Written(path=path, size=len(data), mode="")

    async def make_directory(
        self, path: str, *, mode: int = 0o755, parents: bool = True, as_root: bool = False
    ) -> None:
        self.local(path).mkdir(parents=True, exist_ok=True)

    async def make_link(self, path: str, target: str, *, as_root: bool = False) -> None:
        self.local(path).symlink_to(target)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "disk" / "home").mkdir(parents=True)
    return Disk(tmp_path / "disk")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def pushed(disk: Disk, local: Path, remote: str) -> Transfer:
    return asyncio.run(push(disk, str(local), remote, as_root=False, watcher=None))


def pulled(disk: Disk, remote: str, local: Path | str) -> Transfer:
    return asyncio.run(pull(disk, remote, str(local), as_root=False, watcher=None))


def a_tree(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "big").write_bytes(os.urandom(3_000_000))
    (root / "deep" / "run").write_text("#!/bin/sh\n")
    (root / "deep" / "run").chmod(0o755)
    (root / "deep" / "er" / "ü b").write_text("")


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.stat().st_mode) if path.is_file() else 0,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
    }


def test_a_tree_goes_in_and_comes_out_the_same(disk: Disk, here: Path) -> None:
    a_tree(here / "tree")
    assert pushed(disk, here / "tree", "/home/tree").files == 3
    done = pulled(disk, "/home/tree", here / "back")

    assert (done.files, done.skipped) == (3, ())
    assert contents(here / "back") == contents(here / "tree")


@pytest.mark.parametrize(
    ("remote", "arrives"),
    [("/home/x", "/home/x"), ("/home/new/", "/home/new/file"), ("/home", "/home/file")],
)
def test_a_file_goes_to_a_path_or_into_a_directory(
    disk: Disk, here: Path, remote: str, arrives: str
) -> None:
    (here / "file").write_text("text")
    pushed(disk, here / "file", remote)

    assert disk.written == [arrives]


def test_a_file_comes_to_a_path_or_into_a_directory(
    disk: Disk, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk.root / "file").write_text("text")
    monkeypatch.chdir(here)
    pulled(disk, "/file", "name")
    pulled(disk, "/file", ".")

    assert sorted(path.name for path in here.iterdir()) == ["file", "name"]


def test_no_link_below_what_is_pushed_is_followed(disk: Disk, here: Path) -> None:
    (here / "tree").mkdir()
    (here / "tree" / "file").write_text("text")
    (here / "secret").write_text("of this machine")
    (here / "tree" / "link").symlink_to(here / "secret")
    (here / "tree" / "nothing").symlink_to("nowhere")
    os.mkfifo(here / "tree" / "pipe")
    (here / "tree" / "loop").symlink_to(".")
    done = pushed(disk, here / "tree", "/home/t")

    assert sorted(disk.written) == ["/home/t/file"]
    assert [each.rpartition("/")[2].partition(":")[0] for each in done.skipped] == ["pipe"]
    links = {name: disk.local(f"/home/t/{name}").readlink() for name in ("link", "loop", "nothing")}
    assert links == {"link": here / "secret", "loop": Path(), "nothing": Path("nowhere")}


def test_a_directory_of_links_alone_is_made(disk: Disk, here: Path) -> None:
    (here / "tree" / "bin").mkdir(parents=True)
    (here / "tree" / "bin" / "vi").symlink_to("vim")

    pushed(disk, here / "tree", "/home/t")

    assert disk.local("/home/t/bin/vi").readlink() == Path("vim")


def test_links_stay_links_on_the_way_out(disk: Disk, here: Path) -> None:
    (disk.root / "home" / "link").symlink_to("/etc/passwd")
    pulled(disk, "/home", here / "out")

    assert os.readlink(here / "out" / "link") == "/etc/passwd"


def test_nothing_is_written_through_a_link_of_a_former_copy(disk: Disk, here: Path) -> None:
    outside = here / "outside"
    outside.mkdir()
    (disk.root / "home" / "trap").symlink_to(outside)
    pulled(disk, "/home", here)
    (disk.root / "home" / "trap").unlink()
    (disk.root / "home" / "trap").mkdir()
    (disk.root / "home" / "trap" / "file").write_text("evil")

    with pytest.raises(OSError, match="trap"):
        pulled(disk, "/home", here)

    assert list(outside.iterdir()) == []


def test_a_file_replaces_a_link_of_its_name(disk: Disk, here: Path) -> None:
    (here / "precious").write_text("precious")
    (here / "file").symlink_to("precious")
    (disk.root / "file").write_text("new")
    pulled(disk, "/file", here / "file")

    assert (here / "precious").read_text() == "precious"
    assert not (here / "file").is_symlink()


def test_set_user_id_does_not_come_out(disk: Disk, here: Path) -> None:
    (disk.root / "su").write_text("")
    (disk.root / "su").chmod(0o4755)
    pulled(disk, "/su", here / "su")

    assert stat.S_IMODE((here / "su").stat().st_mode) == 0o755


def test_a_copy_that_fails_leaves_no_part(disk: Disk, here: Path) -> None:
    (disk.root / "file").write_text("new")
    disk.on_open = lambda path: (_ for _ in ()).throw(OSError(5, "broken", path))

    with pytest.raises(OSError, match="broken"):
        pulled(disk, "/file", here / "file")

    assert list(here.iterdir()) == []


def test_a_file_that_vanishes_meanwhile_is_told(disk: Disk, here: Path) -> None:
    for name in ("a", "b"):
        (disk.root / "home" / name).write_text(name)
    disk.on_open = lambda path: os.unlink(disk.local(path)) if path.endswith("a") else None
    done = pulled(disk, "/home", here / "out")

    assert [path.name for path in (here / "out").iterdir()] == ["b"]
    assert len(done.skipped) == 1


def test_what_is_not_there_is_an_error(disk: Disk, here: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pushed(disk, here / "nothing", "/home")
    with pytest.raises(NotFound):
        pulled(disk, "/nothing", here)


def test_progress_ends_at_the_total(disk: Disk, here: Path) -> None:
    a_tree(here / "tree")
    seen: list[TransferProgress] = []
    asyncio.run(push(disk, str(here / "tree"), "/t", as_root=False, watcher=seen.append))

    assert (seen[-1].files_done, seen[-1].bytes_done, seen[-1].bytes_total) == (
        3,
        3_000_010,
        3_000_010,
    )
