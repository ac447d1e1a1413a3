"""Importing an image: a directory, a tar of a root filesystem, an OCI layout, a `docker save` tar.

What is imported is not trusted, and it is only unpacked here: no program of it runs. The caller
makes the directory that is filled, and throws it away on failure. What an image is called and where
the pool keeps it, this file does not know.
"""

import os
import platform
import stat
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from skerry.base import Invalid, NotFound
from skerry.host import rooted
from skerry.host.image_archive import archive_parts, directory_parts, first_name
from skerry.host.image_blob import (
    Blob,
    Budget,
    Progress,
    is_compressed,
    opened,
    output_of,
    stream_of,
    whole_file,
)
from skerry.host.image_oci import (
    ImageConfig,
    OpenPart,
    is_container_part,
    read_container_image,
)
from skerry.host.image_tar import unpack_layer, unpack_root
from skerry.host.image_tree import Metadata, Tree, blaming, filling

BYTES_MAX = 64 * 1024**3  # of what is unpacked, all layers together
MEMBERS_MAX = 4_000_000  # a full Debian desktop has 400,000

# Go's names, which container images use.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# What a box's own mounts go onto, and where its identity is written. Images of one program may lack
# any of them.
_MOUNT_POINTS = ("dev", "proc", "sys")
_PLACES = {"etc": 0o755, "root": 0o700, "run": 0o755, "tmp": 0o1777}

# GNU tar, as the reader of a directory: holes, hard links, capabilities and owners by number.
_READ_DIRECTORY = (
    *("tar", "--create", "--file=-", "--format=posix", "--one-file-system", "--numeric-owner"),
    *("--sparse", "--xattrs", "--xattrs-include=user.*", "--xattrs-include=security.capability"),
    "--warning=no-file-ignored",
    ".",
)
_READ_DIRECTORY_CODES = (0, 1)  # 1: a file changed while it was read, as logs do
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought: how a container image wants to be run (None for others), and sizes.

    bytes_read counts what came out of the archives, with their headers.
    """

    config: ImageConfig | None
    bytes_read: int
    members: int


def import_image(
    path: str,
    tree: str,
    progress: Progress,
    *,
    bytes_max: int = BYTES_MAX,
    members_max: int = MEMBERS_MAX,
) -> Imported:
    """Fill the empty directory tree with what path holds; what it holds is told by looking at it.

    Space for a compressed archive of a container image is taken, while this runs, in the directory
    that tree lies in. progress is told how far it is; what it raises ends the import. Blocks for as
    long as it takes.

    Raises NotFound(no_such_path), Invalid(bad_image), TooLarge(image_too_large),
    LimitReached(disk_full), NotAvailable(command_missing).
    """
    if "\0" in path:
        raise Invalid("bad_path", "A path holds no NUL.")
    budget = Budget(bytes_max, members_max, progress)
    if os.path.commonpath((os.path.realpath(path), os.path.realpath(tree))) == os.path.realpath(
        path
    ):
        raise Invalid("bad_image", f"{path!r} holds the pool itself. Name a directory beside it.")
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with rooted.held(root), rooted.held(_open_source(path)) as source, filling(root) as target:
        config = _fill(source, os.path.dirname(tree), target, budget)
        # Opened anew: on btrfs an open directory does not list what came after it was opened.
        with rooted.held(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)) as filled:
            _make_places(filled, target)
        if target.strangers:
            progress(f"{target.strangers} owners above 65535 were replaced by nobody")
    return Imported(config, budget.bytes_taken, budget.members_taken)


def _open_source(path: str) -> int:
    # Without waiting, for a path may name a FIFO that nobody writes to.
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(
            "no_such_path", f"There is no {path!r} on the machine that Skerry runs on."
        ) from None
    except (OSError, ValueError) as error:
        raise Invalid("bad_image", f"{path!r} cannot be read: {error}.") from error


def _fill(source: int, scratch: str, tree: Tree, budget: Budget) -> ImageConfig | None:
    if stat.S_ISDIR(os.fstat(source).st_mode):
        if not {"index.json", "manifest.json"}.isdisjoint(os.listdir(source)):
            return _unpack_layers(directory_parts(source), tree, budget)
        _copy_directory(source, tree, budget)
        return None
    blob = whole_file(source)
    if not is_container_part(first_name(blob)):
        with opened(blob, budget) as stream:
            unpack_root(stream, tree, budget)
            stream.finish()
        return None
    with _seekable_archive(blob, scratch, budget) as archive:
        return _unpack_layers(archive_parts(archive, budget.members_max), tree, budget)


def _unpack_layers(open_part: OpenPart, tree: Tree, budget: Budget) -> ImageConfig:
    image = read_container_image(open_part, _architecture())
    for number, layer in enumerate(image.layers, 1):
        budget.progress(f"layer {number} of {len(image.layers)}")
        with open_part(layer.part) as blob:
            if blob is None:
                raise Invalid("bad_image", f"Its layer {layer.part[:100]!r} is missing.")
            with opened(blob, budget) as stream:
                unpack_layer(stream, tree, budget)
                digest = stream.finish()
        if layer.uncompressed_digest not in (None, digest):
            raise Invalid(
                "bad_image",
                f"Layer {number} does not match its digest {layer.uncompressed_digest}: the image "
                "is damaged. Fetch it again.",
            )
    return image.config


def _copy_directory(source: int, tree: Tree, budget: Budget) -> None:
    directory = rooted.handle_path(source)
    with output_of(_READ_DIRECTORY, subprocess.DEVNULL, directory) as process:
        stream = stream_of(process, budget, _READ_DIRECTORY_CODES)
        unpack_root(stream, tree, budget)
        stream.finish()


@contextmanager
def _seekable_archive(blob: Blob, scratch: str, budget: Budget) -> Generator[Blob]:
    """Return blob, or where it is compressed a file without a name that holds it decompressed."""
    if not is_compressed(blob):
        yield blob
        return
    budget.progress("decompressing the archive")
    # A budget of its own: what is in the archive is counted when it is unpacked from it.
    spending = Budget(budget.bytes_max, budget.members_max, budget.progress)
    with tempfile.TemporaryFile(dir=scratch) as file, opened(blob, spending) as stream:
        while data := stream.read(_CHUNK_BYTES):
            with blaming("the archive"):
                file.write(data)
        stream.finish()
        file.flush()
        yield whole_file(file.fileno())


def _make_places(root: int, tree: Tree) -> None:
    """Make what a box needs. Raises Invalid(bad_image) where no box could run what was imported."""
    there = {name: os.lstat(name, dir_fd=root).st_mode for name in os.listdir(root)}
    if not there:
        raise Invalid("bad_image", "There is nothing in it that a box could run.")
    has_directory = any(stat.S_ISDIR(mode) for mode in there.values())
    if not has_directory and any(map(is_container_part, there)):
        raise Invalid(
            "bad_image",
            "It looks like a container image in an order that is not known here. Save the image "
            "with `docker save` or `skopeo copy`.",
        )
    for name in _MOUNT_POINTS:
        if not stat.S_ISDIR(there.get(name, 0)):
            tree.directory(name, Metadata(mode=0o755))
    for name, mode in _PLACES.items():
        if name not in there:
            tree.directory(name, Metadata(mode=mode))


def _architecture() -> str:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)
