"""Copies between a directory and a store of ours, with names and links that mean harm."""

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.base import Invalid, NotFound
from skerry.remotes.content import other_content
from skerry.remotes.copying import Done, End, carry_out, copy_one, items
from skerry.remotes.ends import Prefix
from skerry.remotes.model import File, Place
from skerry.remotes.s3 import connect
from skerry.remotes.sync_plan import newer_or_other_size, plan
from skerry.remotes.transfers import PART_BYTES, Moved
from skerry.remotes.trees import opened_tree
from tests.remotes.place import Shore, shore

BIG = bytes(range(256)) * (PART_BYTES // 256 * 2 + 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Shore]:
    with shore(tmp_path / "store") as made:
        made.bucket()
        yield made


def prefix(site: Shore, key: str = "") -> Prefix:
    return Prefix.at(site.client, Place("", "bkt", key))


def synced(source: End, target: End, *, deletes: bool = False, by_content: bool = False) -> Done:
    differs = other_content(source, target) if by_content else newer_or_other_size
    steps = plan(items(source), items(target), differs, deletes=deletes)
    return carry_out(source, target, steps, lambda _: None)


def tree_in(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_a_directory_goes_there_and_back(site: Shore, tmp_path: Path) -> None:
    made = tree_in(tmp_path / "a", one=b"1", d__two=b"22", d__e__big=BIG, empty=b"")
    with opened_tree(str(made), makes=False) as tree:
        assert synced(tree, prefix(site, "t")).files == 4
        assert synced(tree, prefix(site, "t")).files == 0
    with opened_tree(str(tmp_path / "back"), makes=True) as tree:
        assert synced(prefix(site, "t"), tree).files == 4
        assert synced(prefix(site, "t"), tree).files == 0

    for name in ("one", "d/two", "d/e/big", "empty"):
        assert (tmp_path / "back" / name).read_bytes() == (made / name).read_bytes()
    assert site.keys() == ["t/d/e/big", "t/d/two", "t/empty", "t/one"]


def test_contents_are_compared_without_fetching_them(site: Shore, tmp_path: Path) -> None:
    made = tree_in(tmp_path / "a", small=b"1", big=BIG, big2=BIG)
    with opened_tree(str(made), makes=False) as tree:
        synced(tree, prefix(site))
        os.utime(made / "big", (2**32, 2**32))
        (made / "small").write_bytes(b"2")
        (made / "big2").write_bytes(BIG[:-1] + b"!")
        os.utime(made / "small", (1, 1))

        done = synced(tree, prefix(site), by_content=True)

    assert done.files == 2
    assert (site.get("small"), site.get("big2")[-1:]) == (b"2", b"!")


def test_what_only_the_target_has_is_deleted_if_asked(site: Shore, tmp_path: Path) -> None:
    for key in ("t/a", "t/b", "other"):
        site.put(key)
    made = tree_in(tmp_path / "a", a=b"new")
    with opened_tree(str(made), makes=False) as tree:
        assert synced(tree, prefix(site, "t"), deletes=True).deleted == 1
        assert site.keys() == ["other", "t/a"]
        site.client.delete_object(Bucket="bkt", Key="t/a")

        assert synced(prefix(site, "t"), tree, deletes=True).deleted == 1
    assert [*made.iterdir()] == []


@pytest.mark.parametrize(
    "key", ["../out", "/out", "a/../../out", "a//b", "./x", "..", "a/./b", "n" * 300]
)
def test_keys_that_would_leave_the_directory_are_skipped(
    site: Shore, tmp_path: Path, key: str
) -> None:
    site.put(key)
    site.put("good", b"1")
    with opened_tree(str(tmp_path / "d" / "e"), makes=True) as tree:
        done = synced(prefix(site), tree)

    assert done.files == 1
    assert len(done.skipped) == 1
    found = [path for path in tmp_path.rglob("*") if "store" not in path.parts and path.is_file()]
    assert found == [tmp_path / "d" / "e" / "good"]


def test_links_are_not_followed_in_either_direction(site: Shore, tmp_path: Path) -> None:
    outside = tree_in(tmp_path / "outside", secret=b"secret")
    made = tree_in(tmp_path / "in", a=b"1")
    (made / "file").symlink_to(outside / "secret")
    (made / "folder").symlink_to(outside)
    site.put("t/folder/new")
    site.put("t/file", b"2")
    with opened_tree(str(made), makes=False) as tree:
        assert len(synced(tree, prefix(site, "up")).skipped) == 2
        done = synced(prefix(site, "t"), tree)

    assert site.keys() == ["t/file", "t/folder/new", "up/a"]
    assert [each.partition(":")[0] for each in done.skipped if "folder/new" in each] == [
        "folder/new"
    ]
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert (made / "file").read_bytes() == b"2"  # the link has made place for it


def test_a_file_where_a_directory_should_be_is_skipped(site: Shore, tmp_path: Path) -> None:
    site.put("a/b")
    site.put("a")
    site.put("c", b"1")
    with opened_tree(str(tmp_path / "d"), makes=True) as tree:
        done = synced(prefix(site), tree)

    assert (done.files, len(done.skipped)) == (2, 1)
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["a", "c"]


class Interrupt:
    """A watcher that is Ctrl-C once something has been moved."""

    def __init__(self) -> None:
        self._sent = False

    def __call__(self, now: Moved) -> None:
        if now.size_bytes and not self._sent:
            self._sent = True
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)


# s3transfer leaves the connections of what it gives up to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_interrupt_gives_up_uploads(site: Shore, tmp_path: Path) -> None:
    made = tree_in(tmp_path / "a", **{f"big{n}": BIG for n in range(4)})
    with opened_tree(str(made), makes=False) as tree:
        steps = plan(items(tree), [], newer_or_other_size, deletes=False)
        with pytest.raises(KeyboardInterrupt):
            carry_out(tree, prefix(site), steps, Interrupt())

    gc.collect()
    assert "Uploads" not in site.client.list_multipart_uploads(Bucket="bkt")


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_interrupt_leaves_no_half_file(site: Shore, tmp_path: Path) -> None:
    for number in range(4):
        site.put(f"big{number}", BIG)
    with opened_tree(str(tmp_path / "d"), makes=True) as tree:
        steps = plan(prefix(site).items(), [], newer_or_other_size, deletes=False)
        with pytest.raises(KeyboardInterrupt):
            carry_out(prefix(site), tree, steps, Interrupt())

    gc.collect()
    assert [path.name for path in (tmp_path / "d").iterdir() if path.read_bytes() != BIG] == []


def test_one_object_gets_the_name_of_its_file(site: Shore, tmp_path: Path) -> None:
    tree_in(tmp_path, **{"photo.html": b"1"})

    def copied(source: Place | File, target: Place | File) -> Done:
        return copy_one(source, target, lambda _: site.client, lambda _: None)

    copied(File(str(tmp_path / "photo.html")), Place("", "bkt", "d/"))
    copied(Place("", "bkt", "d/photo.html"), Place("", "bkt", "copy"))
    copied(Place("", "bkt", "copy"), File(f"{tmp_path}/"))
    assert (tmp_path / "copy").read_bytes() == b"1"
    assert site.client.head_object(Bucket="bkt", Key="copy")["ContentType"] == "text/html"
    for source, target, error in (
        (Place("", "bkt", "nix"), File(str(tmp_path / "x")), NotFound),
        (Place("", "bkt", "copy"), Place("", "nix", "x"), NotFound),
        (File(str(tmp_path)), Place("", "bkt", "x"), Invalid),
        (File("a"), File("b"), Invalid),
    ):
        with pytest.raises(error):
            copied(source, target)
    assert not (tmp_path / "x").exists()


def test_a_device_is_not_replaced_by_a_file(site: Shore, tmp_path: Path) -> None:
    site.put("pipe")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(FileExistsError):
            copy_one(
                Place("", "bkt", "pipe"), File(str(tmp_path / name)), lambda _: site.client,
                lambda _: None,
            )  # fmt: skip
    with opened_tree(str(tmp_path), makes=False) as tree:
        done = carry_out(
            prefix(site), tree, plan(prefix(site).items(), [], newer_or_other_size, deletes=False),
            lambda _: None,
        )  # fmt: skip

    assert (done.files, len(done.skipped)) == (0, 1)
    assert (tmp_path / "pipe").is_fifo()


def test_objects_go_from_store_to_store(site: Shore, tmp_path: Path) -> None:
    site.client.put_object(Bucket="bkt", Key="a", Body=BIG, ContentType="x/y", Metadata={"m": "v"})
    site.bucket("other")
    elsewhere = connect(site.remote)  # another client, as for another store
    target = Prefix.at(elsewhere, Place("", "other", ""))

    assert synced(prefix(site), target).files == 1
    assert site.get("a", "other") == BIG
    told = elsewhere.head_object(Bucket="other", Key="a")
    assert (told["ContentType"], told["Metadata"]) == ("x/y", {"m": "v"})
    assert synced(prefix(site), target).files == 0
    elsewhere.close()


def test_contents_are_compared_in_every_direction(site: Shore, tmp_path: Path) -> None:
    site.bucket("other")
    for key, data in (("same", BIG), ("else", b"1")):
        site.put(f"t/{key}", data)
        site.put(key, data if key == "same" else b"2", "other")
    other = Prefix.at(site.client, Place("", "other", ""))
    with opened_tree(str(tmp_path / "d"), makes=True) as tree:
        synced(prefix(site, "t"), tree)
        (tmp_path / "d" / "else").write_bytes(b"3")
        os.utime(tmp_path / "d" / "else", (2**32, 2**32))

        assert synced(prefix(site, "t"), tree, by_content=True).files == 1
    assert synced(prefix(site, "t"), other, by_content=True).files == 1
    assert (tmp_path / "d" / "else").read_bytes() == site.get("else", "other") == b"1"


def test_a_copy_in_parts_keeps_what_is_said_of_the_object(site: Shore) -> None:
    site.client.put_object(Bucket="bkt", Key="a", Body=BIG, ContentType="x/y", Metadata={"m": "v"})
    source, target = Place("", "bkt", "a"), Place("", "bkt", "b")

    copy_one(source, target, lambda _: site.client, lambda _: None)

    told = site.client.head_object(Bucket="bkt", Key="b")
    assert (told["ContentType"], told["Metadata"]) == ("x/y", {"m": "v"})
    assert told["ETag"].endswith('-3"')
    assert site.get("b") == BIG


def test_what_changes_meanwhile_comes_whole_or_not_at_all(site: Shore, tmp_path: Path) -> None:
    for key, data in (("gone", b"1"), ("small", b"1"), ("big", BIG)):
        site.put(key, data)
    listed = [*prefix(site).items()]
    site.client.delete_object(Bucket="bkt", Key="gone")
    site.put("small", b"longer")
    site.put("big", BIG[::-1])
    with opened_tree(str(tmp_path / "d"), makes=True) as tree:
        steps = plan(listed, [], newer_or_other_size, deletes=False)
        done = carry_out(prefix(site), tree, steps, lambda _: None)

    assert (done.files, len(done.skipped)) == (1, 2)
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "d").iterdir()] == [
        ("small", b"longer")
    ]
