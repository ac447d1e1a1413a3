"""Importing images: sound ones arrive whole, hostile ones never reach beyond their tree."""

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry.base import Invalid, NotFound, SkerryError, TooLarge
from skerry.host.image_import import Imported, import_image
from skerry.testing.image_archives import (
    Member,
    as_directory,
    as_tar,
    both_layouts,
    digest,
    directory,
    docker_save,
    entry,
    hard_link,
    oci_layout,
    symbolic_link,
    tar,
)

pytestmark = pytest.mark.machine  # what is unpacked keeps its owners


def bring(tmp_path: Path, data: bytes | Path, **limits: int) -> tuple[Path, Imported]:
    """Import data into an empty tree inside a directory that nothing else may be written to."""
    source = data if isinstance(data, Path) else tmp_path / "source"
    if isinstance(data, bytes):
        source.write_bytes(data)
    tree = tmp_path / "pool" / "tree"
    tree.mkdir(parents=True)
    return tree, import_image(str(source), str(tree), lambda _: None, **limits)


def refused(tmp_path: Path, data: bytes | Path, **limits: int) -> SkerryError:
    with pytest.raises(SkerryError) as caught:
        bring(tmp_path, data, **limits)
    return caught.value


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


COMPRESSIONS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_a_tar_arrives_as_it_was_whatever_its_compression(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    headers = {"SCHILY.xattr.security.capability": capability.decode()}
    data = tar(
        directory("usr", mtime=1000),
        entry("usr/ping", b"ping", pax_headers=headers),
        entry("usr/sudo", b"sudo", mode=0o4755, uid=7, gid=8, mtime=2000),
        symbolic_link("bin", "usr"),
        hard_link("usr/doas", "usr/sudo"),
    )

    tree, imported = bring(tmp_path, compress(data))

    sudo = (tree / "usr/sudo").stat()
    assert (stat.S_IMODE(sudo.st_mode), sudo.st_uid, sudo.st_gid) == (0o4755, 7, 8)
    assert (sudo.st_mtime, sudo.st_nlink, (tree / "usr").stat().st_mtime) == (2000, 2, 1000)
    assert (tree / "bin").readlink() == Path("usr")
    assert os.getxattr(tree / "usr/ping", "security.capability") == capability
    assert imported.members == 5


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on btrfs, where images end up."""
    image, directory = tmp_path / "btrfs.img", tmp_path / "btrfs"
    directory.mkdir()
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_an_import_works_on_btrfs_too(tmp_path: Path, btrfs: Path) -> None:
    (tmp_path / "source").write_bytes(as_tar(oci_layout(BASE, OVER, compress=gzip.compress)))
    (btrfs / "tree").mkdir()

    imported = import_image(str(tmp_path / "source"), str(btrfs / "tree"), lambda _: None)

    assert imported.members == 11
    assert {"d", "e", "proc", "tmp"} < set(os.listdir(btrfs / "tree"))


def test_what_a_box_mounts_onto_is_there_whatever_was_imported(tmp_path: Path) -> None:
    tree, _ = bring(tmp_path, tar(entry("hello", b"x"), symbolic_link("proc", "../../etc")))

    assert {path.name for path in tree.iterdir() if path.is_dir() and not path.is_symlink()} == {
        *("dev", "etc", "proc", "root", "run", "sys", "tmp")
    }


def test_a_directory_is_copied_with_its_hard_links_holes_and_owners(tmp_path: Path) -> None:
    source = tmp_path / "rootfs"
    (source / "etc").mkdir(parents=True)
    (source / "etc/a").write_text("a")
    os.link(source / "etc/a", source / "etc/b")
    os.chown(source / "etc/a", 5, 6)
    with (source / "hole").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"middle")

    tree, _ = bring(tmp_path, source)

    assert (tree / "etc/a").samefile(tree / "etc/b")
    assert ((tree / "etc/a").stat().st_uid, (tree / "etc/a").stat().st_gid) == (5, 6)
    hole = (tree / "hole").stat()
    assert (hole.st_size, hole.st_blocks < 1000) == (1 << 30, True)


BASE = tar(directory("d"), entry("d/old"), entry("gone"), directory("e"), entry("e/old"))
OVER = tar(
    entry(".wh.gone"),
    entry("d/new"),
    entry("d/.wh..wh..opq"),
    entry("e/.wh.old"),
    entry("e/old"),
    entry(".wh..wh.plnk"),
)


def container_sources() -> list[tuple[str, Callable[[Path], bytes | Path]]]:
    layout = oci_layout(BASE, OVER)
    saved = docker_save([BASE, OVER, OVER], names=["a" * 64, "b" * 64, "c" * 64])
    return [
        ("layout in a directory", lambda path: as_directory(layout, path / "layout")),
        ("layout in a tar", lambda _: as_tar(layout)),
        ("layout in a compressed tar", lambda _: gzip.compress(as_tar(layout))),
        ("gzip layers", lambda _: as_tar(oci_layout(BASE, OVER, compress=gzip.compress))),
        ("zstd layers", lambda _: as_tar(oci_layout(BASE, OVER, compress=zstd))),
        ("old docker save", lambda _: tar(*saved)),
    ]


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name) for name, make in container_sources()]
)
def test_layers_hide_and_replace_what_lies_below(
    tmp_path: Path, make: Callable[[Path], bytes | Path]
) -> None:
    tree, imported = bring(tmp_path, make(tmp_path))

    assert not (tree / "gone").exists()
    assert [path.name for path in (tree / "d").iterdir()] == ["new"]
    assert [path.name for path in (tree / "e").iterdir()] == ["old"]
    assert not list(tree.rglob(".wh.*"))
    assert imported.config is not None


def test_how_a_container_image_wants_to_be_run_is_handed_on(tmp_path: Path) -> None:
    config = {"Env": ["PATH=/go/bin", "A=b=c"], "User": "app", "WorkingDir": "/srv"}

    _, imported = bring(tmp_path, as_tar(oci_layout(BASE, config=config)))

    assert imported.config is not None
    assert imported.config.environment == {"PATH": "/go/bin", "A": "b=c"}
    assert (imported.config.user, imported.config.directory) == ("app", "/srv")


def test_of_several_platforms_the_machines_own_is_taken(tmp_path: Path) -> None:
    foreign = oci_layout(tar(entry("foreign")), architecture="s390x")
    own = oci_layout(tar(entry("own")))

    tree, _ = bring(tmp_path, as_tar(both_layouts(foreign, own)))

    assert (tree / "own").exists()
    assert not (tree / "foreign").exists()


def test_a_whiteout_in_a_whole_root_is_only_a_file(tmp_path: Path) -> None:
    tree, _ = bring(tmp_path, tar(entry("a"), entry(".wh.a")))

    assert (tree / "a").exists()
    assert (tree / ".wh.a").exists()


def test_the_later_of_two_things_with_one_name_counts(tmp_path: Path) -> None:
    data = tar(entry("x", b"file"), directory("x"), entry("x/y"), entry("x", b"again"))

    tree, _ = bring(tmp_path, data)

    assert (tree / "x").read_bytes() == b"again"


def test_devices_are_left_out_and_strangers_become_nobody(tmp_path: Path) -> None:
    data = tar(
        entry("sda", type=tarfile.BLKTYPE, devmajor=8),
        entry("mem", type=tarfile.CHRTYPE, devmajor=1, devminor=1),
        entry("pipe", type=tarfile.FIFOTYPE, mode=0o620),
        entry("theirs", uid=1_000_000, gid=-5),
    )

    tree, _ = bring(tmp_path, data)

    assert not (tree / "sda").exists()
    assert not (tree / "mem").exists()
    assert stat.S_ISFIFO((tree / "pipe").stat().st_mode)
    assert ((tree / "theirs").stat().st_uid, (tree / "theirs").stat().st_gid) == (65534, 65534)


def test_paths_and_links_that_point_out_stay_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    data = tar(
        symbolic_link("up", "../../../outside"),
        symbolic_link("direct", str(outside)),
        directory("outside"),
        directory(str(outside)),
        entry("up/one", b"1"),
        entry("direct/two", b"2"),
        entry("/three", b"3"),
    )

    tree, _ = bring(tmp_path, data)

    assert list(outside.iterdir()) == []
    assert (tree / "outside/one").read_bytes() == b"1"
    assert (tree / str(outside).lstrip("/") / "two").read_bytes() == b"2"
    assert (tree / "three").read_bytes() == b"3"


HOSTILE: list[tuple[str, list[Member]]] = [
    ("a name that climbs", [entry("a/../../x")]),
    ("a NUL in a name", [entry("x", pax_headers={"path": "a\0b"})]),
    ("a link that climbs", [hard_link("x", "../../source")]),
    ("a link to nothing", [hard_link("x", "etc/shadow")]),
    ("a link through a link", [symbolic_link("l", "/../.."), hard_link("x", "l/source")]),
    ("a link to a directory", [directory("d"), hard_link("x", "d")]),
    ("a file in a file", [entry("f"), entry("f/g")]),
    ("a file beyond a broken link", [symbolic_link("l", "nowhere"), entry("l/g")]),
    ("a file beyond a loop", [symbolic_link("l", "l"), entry("l/g")]),
    ("a root that is a file", [entry("a"), entry(".")]),
    ("a root that is a link", [entry("a"), symbolic_link("./", "/etc")]),
    ("a name without end", [entry("x" * 300)]),
    ("a directory without end", [entry("d/" * 600 + "x")]),
    ("a header without end", [entry("x", pax_headers={"comment": "x" * 3_000_000})]),
]


@pytest.mark.parametrize("members", [pytest.param(m, id=name) for name, m in HOSTILE])
def test_hostile_archives_are_refused_and_touch_nothing(
    tmp_path: Path, members: list[Member]
) -> None:
    error = refused(tmp_path, tar(entry("first"), *members))

    assert (type(error), error.code) == (Invalid, "bad_image")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool", "source"]


HOSTILE_LAYERS: list[tuple[str, list[Member]]] = [
    ("hiding what is above", [entry(".wh...")]),
    ("hiding the directory itself", [entry("d/.wh..")]),
    ("hiding nothing", [entry("d/.wh.")]),
]


@pytest.mark.parametrize("members", [pytest.param(m, id=name) for name, m in HOSTILE_LAYERS])
def test_hostile_layers_are_refused(tmp_path: Path, members: list[Member]) -> None:
    assert refused(tmp_path, as_tar(oci_layout(BASE, tar(*members)))).code == "bad_image"


def test_hiding_through_a_link_that_points_out_removes_nothing_outside(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    lower = tar(symbolic_link("out", str(victim)), entry("x"))
    upper = tar(entry("out/.wh.file"), entry("out/.wh..wh..opq"))

    bring(tmp_path, as_tar(oci_layout(lower, upper)))

    assert (victim / "file").exists()


SOUND = tar(entry("one", b"1" * 5000), entry("two", b"2" * 5000), entry("three"))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


DAMAGED = [
    ("cut off in a file", SOUND[:3000]),
    ("cut off in a header", SOUND[:5800]),
    ("a damaged header in the middle", flipped(SOUND, 512 + 5120 + 3)),
    ("cut off gzip", gzip.compress(SOUND)[:-10]),
    ("damaged gzip", flipped(gzip.compress(SOUND), 60)),
    ("cut off xz", lzma.compress(SOUND)[:-10]),
    ("nothing", b""),
    ("no archive", b"hello\n" * 1000),
    ("an empty archive", tar()),
]


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in DAMAGED])
def test_damaged_archives_are_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data).code == "bad_image"


def test_a_number_that_turns_back_in_the_archive_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\x00"  # a size of -256, in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)

    assert refused(tmp_path, bytes(header) + bytes(1024)).code == "bad_image"


def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    bomb = gzip.compress(tar(entry("zeros", bytes(64 << 20))))

    error = refused(tmp_path, bomb, bytes_max=8 << 20)

    assert (type(error), error.code) == (TooLarge, "image_too_large")
    assert sum(path.stat().st_size for path in (tmp_path / "pool").rglob("*")) < 16 << 20


def test_too_many_files_are_stopped_at_the_limit(tmp_path: Path) -> None:
    error = refused(tmp_path, tar(*(entry(str(n)) for n in range(20))), members_max=10)

    assert error.details == {"members_max": 10}


def test_a_part_that_was_changed_is_refused(tmp_path: Path) -> None:
    layout = oci_layout(BASE)
    blobs = [path for path in layout if path.startswith("blobs/")]

    for number, path in enumerate(blobs):
        changed = {**layout, path: flipped(layout[path], 20)}
        (tmp_path / str(number)).mkdir()
        assert "does not match its digest" in str(refused(tmp_path / str(number), as_tar(changed)))


def test_a_layer_that_was_changed_in_a_docker_archive_is_refused(tmp_path: Path) -> None:
    members = docker_save([BASE], names=["a" * 64])
    (info, _), *rest = members
    other = tar(entry("other"), entry("more", bytes(len(BASE) - 3072)))
    info.size = len(other)

    assert "does not match its digest" in str(refused(tmp_path, tar((info, other), *rest)))


FOREIGN = [
    ("another architecture", as_tar(oci_layout(BASE, architecture="s390x"))),
    ("two images", as_tar(both_layouts(oci_layout(BASE), oci_layout(OVER)))),
    ("no layers", as_tar(oci_layout())),
    ("no index", as_tar({"oci-layout": b"{}"})),
    ("no JSON", as_tar({"index.json": b"\xff{"})),
    ("other JSON", as_tar({"index.json": b"[1]"})),
    ("deep JSON", as_tar({"index.json": b"[" * 100_000})),
    ("a digest of another kind", as_tar({"index.json": b'{"manifests":[{"digest":"md5:0"}]}'})),
    ("a digest that climbs", as_tar({"index.json": b'{"manifests":[{"digest":"sha256:../x"}]}'})),
    ("parts that are missing", as_tar({k: v for k, v in oci_layout(BASE).items() if "/" not in k})),
]


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in FOREIGN])
def test_container_images_that_cannot_run_here_are_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data).code == "bad_image"


def test_a_part_of_a_layout_that_is_a_link_out_of_it_is_missing(tmp_path: Path) -> None:
    layout = as_directory(oci_layout(BASE), tmp_path / "layout")
    (tmp_path / "stolen").write_bytes((layout / "index.json").read_bytes())
    (layout / "index.json").unlink()
    (layout / "index.json").symlink_to("../stolen")

    assert refused(tmp_path, layout).code == "bad_image"


def test_a_path_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert isinstance(refused(tmp_path / "a", tmp_path / "missing"), NotFound)
    assert refused(tmp_path / "b", tmp_path / "fifo").code == "bad_image"


def test_a_directory_that_holds_the_pool_is_refused(tmp_path: Path) -> None:
    assert "holds the pool" in str(refused(tmp_path, tmp_path))


def test_what_progress_raises_ends_the_import(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(as_tar(oci_layout(BASE)))
    (tmp_path / "tree").mkdir()

    def stop(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        import_image(str(tmp_path / "source"), str(tmp_path / "tree"), stop)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.integers(0, 6000), st.binary(min_size=1, max_size=8)), max_size=6)
)
def test_any_damage_is_either_harmless_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("fuzz")
    data = io.BytesIO(as_tar(oci_layout(BASE, OVER)) if len(changes) % 2 else SOUND)
    for position, text in changes:
        data.seek(position)
        data.write(text)

    with contextlib.suppress(Invalid, TooLarge):
        bring(tmp_path, data.getvalue())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool", "source"]


def test_an_archive_that_begins_with_a_config_is_a_container_image_too(tmp_path: Path) -> None:
    layer = tar(entry("hello", b"hi"))
    config = json.dumps({"rootfs": {"diff_ids": [digest(layer)]}}).encode()
    name = digest(config)
    saved = [{"Config": name, "RepoTags": None, "Layers": ["layer.tar.gz"]}]
    data = tar(
        entry(name, config),
        entry("layer.tar.gz", gzip.compress(layer)),
        entry("manifest.json", json.dumps(saved).encode()),
    )

    tree, _ = bring(tmp_path, data)

    assert (tree / "hello").read_bytes() == b"hi"


def test_a_container_image_in_an_unknown_order_is_not_taken_for_a_root(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        bring(tmp_path, tar(entry("c.json", b"{}"), entry("manifest.json", b"[]")))
    assert caught.value.code == "bad_image"
