"""What a box's files answer: as the box's user and as its root, to honest and to hostile boxes."""

import contextlib
import os
import socket
import stat as modes
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skerry.base import Conflict, Denied, Invalid, NotFound, SkerryError, TooLarge
from skerry.host import box_files
from skerry.host.box_files import BoxRoot, Credentials
from skerry.host.credentials import acting_as
from skerry.host.rooted import held

pytestmark = pytest.mark.machine

USER = 1000


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A box's disk with a user `box`, and beside it a file of the host's."""
    disk = tmp_path / "disk"
    home = disk / "home" / "box"
    home.mkdir(parents=True)
    (disk / "etc").mkdir()
    (disk / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nbox:x:1000:1000::/home/box:\n")
    (disk / "etc" / "group").write_text("root:x:0:\nbox:x:1000:\nstaff:x:50:box,other\n")
    (disk / "etc" / "shadow").write_text("the box's")
    (disk / "etc" / "shadow").chmod(0o600)
    os.chown(home, USER, USER)
    (tmp_path / "canary").write_text("the host's")
    return disk


@pytest.fixture
def descriptor(disk: Path) -> Iterator[int]:
    descriptor = os.open(disk, os.O_PATH)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def box(descriptor: int) -> BoxRoot:
    """The disk as its user sees it, from the home directory."""
    return box_files.enter(descriptor, directory="/home/box")


@pytest.fixture
def root(descriptor: int) -> BoxRoot:
    return box_files.enter(descriptor, as_root=True, directory="/home/box")


def put(box: BoxRoot, path: str, content: bytes = b"content", *, mode: int | None = None) -> None:
    with box_files.open_write(box, path, mode=mode) as writer:
        writer.write(content)
        writer.commit()


def get(box: BoxRoot, path: str) -> bytes:
    with box_files.open_read(box, path) as reader:
        return b"".join(iter(reader.read, b""))


def refusal(call: Callable[[], object]) -> tuple[str, object]:
    """Return the code and the errno of the error that call ends with."""
    with pytest.raises(SkerryError) as caught:
        call()
    return caught.value.code, caught.value.details.get("errno")


def open_below(disk: Path) -> int:
    """Count the descriptors of this process that stand for something on the disk."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith(str(disk)) for link in links if os.path.lexists(link))


@contextmanager
def swapping(here: Path, target: str) -> Generator[None]:
    """Exchange a directory and a link to target under one name, without a pause."""
    real, link = here.with_name("real"), here.with_name("link")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for other in (real, link):
                with contextlib.suppress(OSError):  # what is tested deletes and makes things too
                    real.mkdir(exist_ok=True)
                    if not link.is_symlink():
                        link.symlink_to(target)
                    other.rename(here)
                    here.rename(other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# -- who acts --


def test_the_default_user_is_box_with_its_groups(descriptor: int) -> None:
    assert box_files.find_user(descriptor, None) == Credentials(USER, USER, (50,))


def test_without_a_user_box_root_acts(disk: Path, descriptor: int) -> None:
    (disk / "etc" / "passwd").unlink()

    assert box_files.find_user(descriptor, None) == box_files.ROOT


@pytest.mark.parametrize("name", ["1000", "box"])
def test_a_user_goes_by_name_or_number(descriptor: int, name: str) -> None:
    assert box_files.find_user(descriptor, name).uid == USER


def test_an_unknown_number_is_a_user_with_its_own_group(descriptor: int) -> None:
    assert box_files.find_user(descriptor, "4242") == Credentials(4242, 4242)


@pytest.mark.parametrize("name", ["nobody-here", "70000", "-1", "", "1e3"])
def test_an_unknown_name_is_no_user(descriptor: int, name: str) -> None:
    assert refusal(lambda: box_files.find_user(descriptor, name))[0] == "bad_user"


@pytest.mark.parametrize(
    "table",
    [
        b"box\n",
        b"box:x:-1:0:\n",
        b"box:x:99999999999999999999:0:\n",
        b"box:x:\xff\xfe:0\n",
        b"\0" * 5000,
        b"box:x:1000:65536:\n",
    ],
)
def test_a_hostile_table_names_nobody(disk: Path, descriptor: int, table: bytes) -> None:
    (disk / "etc" / "passwd").write_bytes(table)

    assert box_files.find_user(descriptor, None) == box_files.ROOT


def test_a_table_that_is_a_fifo_or_the_hosts_is_not_read(disk: Path, descriptor: int) -> None:
    table = disk / "etc" / "passwd"
    table.unlink()
    table.symlink_to("../../../../../etc/host-passwd")
    assert box_files.find_user(descriptor, None) == box_files.ROOT

    table.unlink()
    os.mkfifo(table)
    assert box_files.find_user(descriptor, None) == box_files.ROOT


def test_a_user_loses_the_powers_of_root_over_files_and_gets_them_back() -> None:
    def powers() -> int:
        with open("/proc/thread-self/status") as status:
            return next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))

    chown, override, search, owner, immutable, mknod = 0, 1, 2, 3, 9, 27
    mask = sum(1 << each for each in (chown, override, search, owner, immutable, mknod))
    before = powers()
    with acting_as(Credentials(USER, USER, (50,))):
        assert powers() & mask == 0
    assert powers() == before
    assert os.getgroups() != [50]


def test_only_one_thread_acts_as_the_user(box: BoxRoot, disk: Path) -> None:
    started, acting = threading.Event(), threading.Event()
    told: list[str] = []

    def read() -> None:
        started.set()
        acting.wait(10)
        told.append((disk / "etc/shadow").read_text())

    thread = threading.Thread(target=read)
    thread.start()
    started.wait(10)
    with acting_as(box.user):
        acting.set()
        thread.join()

    assert told == ["the box's"]


def test_the_kernel_checks_the_users_permissions(box: BoxRoot, root: BoxRoot) -> None:
    denied = ("permission_denied", "EACCES")

    assert refusal(lambda: box_files.open_read(box, "/etc/shadow")) == denied
    assert refusal(lambda: box_files.open_write(box, "/etc/shadow")) == denied
    assert refusal(lambda: box_files.open_write(box, "/etc/new")) == denied
    assert refusal(lambda: box_files.delete(box, "/etc/shadow")) == denied
    assert refusal(lambda: box_files.rename(box, "/etc/shadow", "mine")) == denied
    assert refusal(lambda: box_files.change_mode(box, "/etc/shadow", 0o666))[1] == "EPERM"
    assert refusal(lambda: box_files.change_owner(box, "/etc", uid=USER, gid=None))[1] == "EPERM"
    assert get(root, "/etc/shadow") == b"the box's"


def test_what_a_user_makes_is_the_users(box: BoxRoot, root: BoxRoot) -> None:
    put(box, "mine")
    put(root, "roots")

    assert box_files.stat(box, "mine").uid == USER
    assert box_files.make_directory(box, "folder").gid == USER
    assert box_files.stat(box, "roots").uid == 0


# -- reading --


def test_a_file_is_read_in_parts(box: BoxRoot) -> None:
    put(box, "data", b"0123456789")

    with box_files.open_read(box, "data", start=2, stop=8) as reader:
        assert (reader.read(4), reader.read(4), reader.read(4)) == (b"2345", b"67", b"")


def test_a_range_ends_with_the_file(box: BoxRoot) -> None:
    put(box, "data", b"0123456789")

    with box_files.open_read(box, "data", start=10, stop=99) as reader:
        assert (reader.stop, reader.read()) == (10, b"")


@pytest.mark.parametrize(("start", "stop"), [(11, None), (-1, None), (5, 4)])
def test_a_range_that_is_none_is_refused(box: BoxRoot, start: int, stop: int | None) -> None:
    put(box, "data", b"0123456789")

    assert refusal(lambda: box_files.open_read(box, "data", start=start, stop=stop))[0] == (
        "bad_range"
    )


def test_a_file_that_shrinks_ends_early(box: BoxRoot, disk: Path) -> None:
    put(box, "data", b"0123456789")

    with box_files.open_read(box, "data") as reader:
        os.truncate(disk / "home/box/data", 3)
        assert (reader.read(), reader.read()) == (b"012", b"")


def test_neither_fifo_nor_socket_nor_device_is_opened(root: BoxRoot, disk: Path) -> None:
    os.mkfifo(disk / "fifo")
    os.mknod(disk / "null", modes.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(disk / "socket")[-100:] if len(str(disk)) > 90 else str(disk / "socket"))
        for name in ("/fifo", "/null", "/socket"):
            assert refusal(lambda n=name: box_files.open_read(root, n))[0] == "not_a_regular_file"
            assert refusal(lambda n=name: box_files.open_write(root, n))[0] == "not_a_regular_file"
            assert box_files.stat(root, name).kind == "other"


@pytest.mark.parametrize(
    ("path", "code", "number"),
    [
        ("missing", "no_such_path", "ENOENT"),
        ("/home", "is_a_directory", "EISDIR"),
        ("/etc/passwd/below", "not_a_directory", "ENOTDIR"),
        ("nul\0", "bad_path", "EINVAL"),
        ("\ud800", "bad_path", "EINVAL"),
        ("x" * 256, "bad_path", "ENAMETOOLONG"),
        ("x/" * 2048, "bad_path", "ENAMETOOLONG"),
    ],
)
def test_an_error_has_a_code_and_an_errno(box: BoxRoot, path: str, code: str, number: str) -> None:
    assert refusal(lambda: box_files.open_read(box, path)) == (code, number)


# -- writing --


def test_a_new_file_has_the_mode_of_files(box: BoxRoot) -> None:
    put(box, "plain")
    put(box, "private", mode=0o600)

    assert box_files.stat(box, "plain").mode == 0o644
    assert box_files.stat(box, "private").mode == 0o600


def test_a_replaced_file_keeps_owner_mode_and_attributes(root: BoxRoot, disk: Path) -> None:
    file = disk / "home/box/tool"
    file.write_text("old")
    os.chown(file, USER, 50)
    file.chmod(0o4750)
    os.setxattr(file, "user.note", b"kept")

    put(root, "tool", b"new")

    entry = box_files.stat(root, "tool")
    assert (entry.uid, entry.gid, entry.mode) == (USER, 50, 0o4750)
    assert (file.read_text(), os.getxattr(file, "user.note")) == ("new", b"kept")


def test_a_user_who_writes_takes_set_user_id_away(box: BoxRoot, disk: Path) -> None:
    put(box, "tool")
    (disk / "home/box/tool").chmod(0o4755)

    put(box, "tool", b"new")

    assert box_files.stat(box, "tool").mode == 0o755


def test_a_reader_sees_the_old_or_the_new_file_whole(box: BoxRoot) -> None:
    put(box, "data", b"old")

    with box_files.open_read(box, "data") as reader:
        put(box, "data", b"newer")
        assert reader.read() == b"old"
    assert get(box, "data") == b"newer"


def test_a_file_with_two_names_is_filled_and_keeps_them(box: BoxRoot, disk: Path) -> None:
    put(box, "one", b"the longer old content")
    os.link(disk / "home/box/one", disk / "home/box/two")

    put(box, "one", b"new")

    assert get(box, "two") == b"new"


def test_a_writable_file_of_somebody_else_stays_theirs(box: BoxRoot, disk: Path) -> None:
    file = disk / "home/box/shared"
    file.write_text("old content")
    file.chmod(0o666)

    put(box, "shared", b"new")

    assert (file.read_bytes(), file.stat().st_uid) == (b"new", 0)


def test_a_writable_file_in_a_closed_directory_is_written(box: BoxRoot, disk: Path) -> None:
    (disk / "opt").mkdir(mode=0o755)
    (disk / "opt" / "mine").write_text("old")
    os.chown(disk / "opt" / "mine", USER, USER)

    put(box, "/opt/mine", b"new")

    assert (get(box, "/opt/mine"), os.listdir(disk / "opt")) == (b"new", ["mine"])


def test_a_file_that_its_owner_may_not_write_is_not_replaced(box: BoxRoot) -> None:
    put(box, "fixed", mode=0o444)

    assert refusal(lambda: put(box, "fixed", b"new")) == ("permission_denied", "EACCES")


def test_a_link_is_made_and_takes_the_place_of_a_file(box: BoxRoot, disk: Path) -> None:
    put(box, "here")
    for target in ("/etc/passwd", "nowhere"):
        made = box_files.make_link(box, "here", target)
        assert (made.kind, made.target) == ("symlink", target)
    assert os.readlink(disk / "home/box/here") == "nowhere"
    assert [each.name for each in box_files.list_directory(box, ".")] == ["here"]


def test_no_link_takes_the_place_of_a_directory(box: BoxRoot) -> None:
    box_files.make_directory(box, "there")
    with pytest.raises(Conflict):
        box_files.make_link(box, "there", "x")
    assert [each.name for each in box_files.list_directory(box, ".")] == ["there"]


def test_relative_paths_may_begin_at_the_home(descriptor: int) -> None:
    assert box_files.enter(descriptor, directory=box_files.HOME).directory == "/home/box"
    own = box_files.enter(descriptor, as_root=True, directory=box_files.HOME)
    assert own.directory == "/root"


def test_writing_a_link_writes_what_it_leads_to(box: BoxRoot, disk: Path) -> None:
    home = disk / "home/box"
    (home / "folder").mkdir()
    os.chown(home / "folder", USER, USER)
    (home / "link").symlink_to("folder/new")

    put(box, "link", b"through")

    assert (home / "link").is_symlink()
    assert (home / "folder" / "new").read_bytes() == b"through"


def test_an_aborted_write_leaves_nothing(box: BoxRoot, disk: Path) -> None:
    put(box, "data", b"old")
    before = open_below(disk)

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionError

    def upload() -> None:
        with box_files.open_write(box, "data") as writer:
            for chunk in chunks():
                writer.write(chunk)

    with pytest.raises(ConnectionError):
        upload()

    assert os.listdir(disk / "home/box") == ["data"]
    assert (get(box, "data"), open_below(disk)) == (b"old", before)


def test_a_finished_write_leaves_nothing_else(box: BoxRoot, disk: Path) -> None:
    before = open_below(disk)

    for content in (b"one", b"two"):
        put(box, "data", content)

    assert (os.listdir(disk / "home/box"), open_below(disk)) == (["data"], before)


def test_a_write_over_the_limit_is_refused_and_leaves_nothing(box: BoxRoot, disk: Path) -> None:
    with box_files.open_write(box, "data", size_bytes_max=4) as writer:
        writer.write(b"1234")
        with pytest.raises(TooLarge):
            writer.write(b"5")

    assert os.listdir(disk / "home/box") == []


def test_a_full_disk_ends_a_write_and_keeps_the_old_content(tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", disk], check=True)
    try:
        with held(os.open(disk, os.O_PATH)) as descriptor:
            root = box_files.enter(descriptor, as_root=True)
        put(root, "data", b"old")

        assert refusal(lambda: put(root, "data", bytes(1 << 20))) == ("pool_full", "ENOSPC")
        assert (get(root, "data"), os.listdir(disk)) == (b"old", ["data"])
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_directory_that_takes_the_name_meanwhile_is_kept(box: BoxRoot, disk: Path) -> None:
    with box_files.open_write(box, "data") as writer:
        writer.write(b"new")
        (disk / "home/box/data").mkdir()

        assert refusal(writer.commit) == ("is_a_directory", "EISDIR")

    assert os.listdir(disk / "home/box") == ["data"]


def test_a_close_waits_for_a_write_in_another_thread(box: BoxRoot) -> None:
    writer = box_files.open_write(box, "data")
    thread = threading.Thread(target=writer.write, args=(bytes(8 << 20),))
    thread.start()
    thread.join()
    writer.abort()
    writer.abort()

    with pytest.raises(AssertionError):
        writer.write(b"late")


def test_a_root_outlives_the_descriptor_that_it_was_entered_by(disk: Path) -> None:
    before = open_below(disk)
    with held(os.open(disk, os.O_PATH)) as descriptor:
        root = box_files.enter(descriptor)

    assert box_files.stat(root, "/etc").kind == "directory"
    del root
    assert open_below(disk) == before


def test_what_a_cancelled_task_left_open_is_closed(box: BoxRoot, disk: Path) -> None:
    put(box, "data")
    before = open_below(disk)

    box_files.open_read(box, "data")
    box_files.open_write(box, "data")

    assert open_below(disk) == before


# -- names --


def test_stat_tells_of_what_a_link_leads_to_or_of_the_link(box: BoxRoot, disk: Path) -> None:
    put(box, "data", b"12345")
    (disk / "home/box/link").symlink_to("data")

    followed, link = box_files.stat(box, "link"), box_files.stat(box, "link", follow=False)

    assert (followed.kind, followed.size_bytes, followed.target) == ("file", 5, None)
    assert (link.kind, link.path, link.target) == ("symlink", "/home/box/link", "data")


def test_the_root_directory_has_a_name(box: BoxRoot) -> None:
    assert (box_files.stat(box, "/").name, box_files.stat(box, "/").path) == ("/", "/")


def test_a_directory_lists_its_entries_by_name(box: BoxRoot, disk: Path) -> None:
    put(box, "b")
    (disk / "home/box/a").mkdir()
    (disk / "home/box/c").symlink_to("/etc/shadow")

    entries = box_files.list_directory(box, ".//")

    assert [(e.path, e.kind) for e in entries] == [
        ("/home/box/a", "directory"),
        ("/home/box/b", "file"),
        ("/home/box/c", "symlink"),
    ]


def test_a_file_lists_itself(box: BoxRoot) -> None:
    put(box, "data")

    assert [e.name for e in box_files.list_directory(box, "data")] == ["data"]


def test_a_name_that_is_no_utf8_can_be_listed_and_read(box: BoxRoot, disk: Path) -> None:
    (disk / "home/box" / os.fsdecode(b"\xff\xfe")).write_bytes(b"odd")

    (entry,) = box_files.list_directory(box, "")

    assert os.fsencode(entry.name) == b"\xff\xfe"
    assert get(box, entry.path) == b"odd"


def test_a_directory_too_large_to_tell_is_refused(
    box: BoxRoot, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skerry.host.file_entry.LIST_ENTRIES_MAX", 50)
    for number in range(51):
        (disk / "home/box" / str(number)).touch()

    assert refusal(lambda: box_files.list_directory(box, "."))[0] == "too_many_entries"
    assert refusal(lambda: box_files.list_tree(box, "."))[0] == "too_many_entries"


def test_a_tree_is_listed_by_pattern(box: BoxRoot) -> None:
    box_files.make_directory(box, "src/inner", parents=True)
    for name in ("src/one.py", "src/inner/two.py", "src/inner/two.txt"):
        put(box, name)

    found = box_files.list_tree(box, "src", pattern="*.py")

    assert [entry.path[9:] for entry in found] == ["/src/inner/two.py", "/src/one.py"]


def test_directories_are_made_with_their_parents(box: BoxRoot) -> None:
    made = box_files.make_directory(box, "a/b/../c", mode=0o700, parents=True)

    assert (made.mode, made.uid) == (0o700, USER)
    assert box_files.stat(box, "a/b").kind == "directory"
    assert box_files.make_directory(box, "a/c", parents=True).kind == "directory"


def test_a_directory_that_is_there_or_has_no_parent_is_refused(box: BoxRoot) -> None:
    put(box, "file")

    assert refusal(lambda: box_files.make_directory(box, "x/y"))[1] == "ENOENT"
    assert refusal(lambda: box_files.make_directory(box, "file"))[1] == "EEXIST"
    assert refusal(lambda: box_files.make_directory(box, "file/x", parents=True))[1] == "ENOTDIR"


def test_a_rename_replaces_a_file(box: BoxRoot, disk: Path) -> None:
    put(box, "old", b"content")
    put(box, "new", b"replaced")

    moved = box_files.rename(box, "old", "new")

    assert (moved.path, get(box, "new")) == ("/home/box/new", b"content")
    assert os.listdir(disk / "home/box") == ["new"]


def test_a_rename_names_the_path_that_is_wrong(box: BoxRoot) -> None:
    box_files.make_directory(box, "full/inner", parents=True)
    box_files.make_directory(box, "empty")

    assert refusal(lambda: box_files.rename(box, "gone", "x"))[1] == "ENOENT"
    assert refusal(lambda: box_files.rename(box, "full", "full/inner/x"))[1] == "EINVAL"
    assert refusal(lambda: box_files.rename(box, "empty", "full"))[1] == "ENOTEMPTY"
    with pytest.raises(NotFound, match="/home/box/no/x"):
        box_files.rename(box, "empty", "no/x")


@pytest.mark.parametrize("path", ["/", "..", "a/..", "/.."])
def test_what_is_changed_must_have_a_name(box: BoxRoot, path: str) -> None:
    for call in (box_files.delete, box_files.open_write, box_files.make_directory):
        with pytest.raises(Invalid):
            call(box, path)


# -- hostile boxes --


def test_links_out_of_the_box_reach_files_in_it(root: BoxRoot, disk: Path) -> None:
    host = str(disk.parent / "canary")
    for number, target in enumerate((host, "../../../../canary", "/../canary", "../../canary")):
        link = f"link{number}"
        (disk / "home/box" / link).symlink_to(target)
        assert refusal(lambda n=link: box_files.open_read(root, n))[1] == "ENOENT"
        assert refusal(lambda n=link: box_files.change_mode(root, n, 0o777))[1] == "ENOENT"
        box_files.delete(root, link, recursive=True)

    assert (disk.parent / "canary").read_text() == "the host's"


def test_writing_through_a_link_out_of_the_box_stays_inside(root: BoxRoot, disk: Path) -> None:
    (disk / "home/box/link").symlink_to("../../../../canary")

    put(root, "link", b"overwritten")

    assert (disk / "canary").read_bytes() == b"overwritten"
    assert (disk.parent / "canary").read_text() == "the host's"


@pytest.mark.parametrize("operation", ["write", "delete", "copy", "mode", "owner", "mkdir", "move"])
def test_a_directory_swapped_for_a_link_leads_no_operation_out(
    root: BoxRoot, disk: Path, operation: str
) -> None:
    outside = disk.parent / "outside"
    outside.mkdir(mode=0o700)
    (outside / "canary").write_text("the host's")
    put(root, "source", b"x")
    calls: dict[str, Callable[[], object]] = {
        "write": lambda: put(root, "swap/canary"),
        "delete": lambda: box_files.delete(root, "swap/canary", recursive=True),
        "copy": lambda: box_files.copy(root, "/home/box", "/copied", recursive=True),
        "mode": lambda: box_files.change_mode(root, "/home/box", 0o777, recursive=True),
        "owner": lambda: box_files.change_owner(root, "/home/box", uid=7, gid=7, recursive=True),
        "mkdir": lambda: box_files.make_directory(root, "swap/new/deep", parents=True),
        "move": lambda: box_files.rename(root, "source", "swap/moved"),
    }

    with swapping(disk / "home/box/swap", f"../../../../../../../..{outside}"):
        for _ in range(150):
            try:
                calls[operation]()
            except SkerryError as error:
                assert error.details["errno"] in _SWAPPED  # noqa: PT017 - it may also go well

    assert os.listdir(outside) == ["canary"]
    assert (outside / "canary").read_text() == "the host's"
    assert (outside.stat().st_uid, outside.stat().st_mode & 0o777) == (0, 0o700)


_SWAPPED = {"ENOENT", "ENOTDIR", "ELOOP", "EEXIST", "ENOTEMPTY", "EISDIR", "EINVAL"}


def test_deleting_a_tree_that_the_box_turns_into_links_ends_and_stays_inside(
    root: BoxRoot, disk: Path
) -> None:
    outside = disk.parent / "outside"
    (outside / "real" / "deep").mkdir(parents=True)
    tree = disk / "home/box/tree"
    for number in range(40):
        (tree / f"branch{number}" / "deep").mkdir(parents=True)

    with swapping(tree / "swap", f"../../../../../../../../..{outside}"):
        for _ in range(20):
            try:
                box_files.delete(root, "tree", recursive=True)
            except SkerryError as error:
                assert error.details["errno"] in _SWAPPED  # noqa: PT017 - it may also go well
            tree.mkdir(exist_ok=True)

    assert (outside / "real" / "deep").is_dir()


def test_the_thread_is_itself_again_after_any_error(box: BoxRoot) -> None:
    for path in ("missing", "/etc/shadow", "nul\0", "/etc"):
        refusal(lambda p=path: box_files.open_read(box, p))

    with open("/proc/thread-self/status") as status:
        ids = next(line for line in status if line.startswith("Uid")).split()[1:]
    assert ids == ["0", "0", "0", "0"]


def test_an_error_of_the_kernel_has_a_sentence_for_people(box: BoxRoot) -> None:
    with pytest.raises(Denied, match=r"/etc/shadow: the user may not do this"):
        box_files.open_read(box, "/etc/shadow")
