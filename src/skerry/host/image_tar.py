"""Unpacking tar archives into a tree: a whole root filesystem, or one layer of a container image.

Python's tarfile reads the headers, through a view that bounds what they may take; everything that
is written is written by `image_tree`. Devices are left out: a box has a /dev of its own. Sockets
cannot be in a tar.

Layers follow the OCI image specification (layer.md): `.wh.NAME` removes what lower layers call
NAME, `.wh..wh..opq` all that lower layers have in its directory; what the same layer brings stays.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, cast

from skerry.base import Invalid
from skerry.host.image_blob import Budget, Stream
from skerry.host.image_tree import Metadata, Tree, normalized

_CHUNK_BYTES = 1024 * 1024
# Long names and extended attributes stand in headers, which tarfile keeps in memory: an attribute
# may have 64 KiB in Linux, a path 4 KiB. A sparse file's map stands there too.
_HEADER_BYTES_MAX = 2 * 1024 * 1024
_GLOBAL_HEADERS_MAX = 64  # key words that hold for all members; `git archive` writes one

_WHITEOUT, _OPAQUE, _WHITEOUT_META = ".wh.", ".wh..wh..opq", ".wh..wh."
_ATTRIBUTE = "SCHILY.xattr."  # how GNU tar, and with it all container tools, writes them
_ATTRIBUTES_KEPT = ("user.", "security.capability")


def unpack_root(stream: Stream, tree: Tree, budget: Budget) -> None:
    """Unpack the archive of a whole root filesystem.

    Raises Invalid(bad_image), TooLarge(image_too_large), LimitReached(disk_full).
    """
    for member in members(stream):
        budget.take_member()
        _unpack(member, normalized(member.name), stream, tree)


def unpack_layer(stream: Stream, tree: Tree, budget: Budget) -> None:
    """Apply a layer to the tree of the layers below it. Raises what `unpack_root` raises."""
    brought: set[str] = {""}
    for member in members(stream):
        budget.take_member()
        path = normalized(member.name)
        directory, _, name = path.rpartition("/")
        if name == _OPAQUE:
            tree.empty(directory, brought.__contains__)
        elif name.startswith(_WHITEOUT_META):
            continue  # book-keeping of a union filesystem that is gone
        elif name.startswith(_WHITEOUT):
            hidden = normalized(f"{directory}/{name.removeprefix(_WHITEOUT)}")
            if hidden == directory:
                raise Invalid("bad_image", f"/{path} hides nothing: the layer is damaged.")
            tree.remove(hidden, brought.__contains__)
        else:
            _unpack(member, path, stream, tree)
            _note(path, brought)


def members(stream: Stream) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive; the data of one may be read before the next is asked for.

    Raises Invalid(bad_image), TooLarge(image_too_large).
    """
    view = _HeaderView(stream)
    archive: tarfile.TarFile | None = None
    while True:
        view.allow(_HEADER_BYTES_MAX)
        try:
            if archive is None:
                archive = tarfile.TarFile(
                    fileobj=cast("IO[bytes]", view), encoding="utf-8", errors="surrogateescape"
                )
            member = archive.next()
        # tarfile promises only its own errors, but hostile headers find others: numbers that are
        # none or too large, text that is none, headers for headers without end.
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise Invalid(
                "bad_image", f"The image is no tar archive, or damaged: {error}."
            ) from error
        if member is None:
            # tarfile takes a header that it cannot read for the end.
            if view.last_read.strip(b"\0"):
                raise Invalid("bad_image", "The archive is damaged in the middle, or cut off.")
            return
        if member.size < 0 or len(archive.pax_headers) > _GLOBAL_HEADERS_MAX:
            raise Invalid("bad_image", "The archive's headers make no sense: it is damaged.")
        vars(archive)["members"].clear()  # it would remember them all
        yield member


def _unpack(member: tarfile.TarInfo, path: str, stream: Stream, tree: Tree) -> None:
    metadata = _metadata(member)
    if member.isdir():
        tree.directory(path, metadata)
    elif member.issym():
        tree.symbolic_link(path, member.linkname, metadata)
    elif member.islnk():
        tree.hard_link(path, normalized(member.linkname))
    elif member.isfifo():
        tree.fifo(path, metadata)
    elif member.isreg():
        tree.file(path, metadata, _writer(member, stream))


def _metadata(member: tarfile.TarInfo) -> Metadata:
    attributes = {
        key.removeprefix(_ATTRIBUTE): value.encode("utf-8", "surrogateescape")
        for key, value in member.pax_headers.items()
        if key.removeprefix(_ATTRIBUTE).startswith(_ATTRIBUTES_KEPT) and key.startswith(_ATTRIBUTE)
    }
    return Metadata(
        owner=member.uid,
        group=member.gid,
        mode=member.mode & 0o7777,
        modified_at_s=member.mtime,
        attributes=attributes,
    )


def _writer(member: tarfile.TarInfo, stream: Stream) -> Callable[[int], None]:
    """Return what copies the member's data to a descriptor; holes of sparse files stay holes."""
    parts: list[tuple[int, int]] = [(0, member.size)]
    if member.sparse is not None:
        parts = cast("list[tuple[int, int]]", member.sparse)  # the stubs say bytes

    def write(descriptor: int) -> None:
        stream.skip_to(member.offset_data)
        end = 0
        for offset, size in parts:
            if not 0 <= end <= offset <= offset + size <= member.size:
                raise Invalid("bad_image", "A sparse file's map makes no sense: it is damaged.")
            _copy(stream, descriptor, offset, size)
            end = offset + size
        os.ftruncate(descriptor, member.size)

    return write


def _copy(stream: Stream, descriptor: int, offset: int, size: int) -> None:
    while size > 0:
        data = stream.read(min(_CHUNK_BYTES, size))
        if not data:
            raise Invalid("bad_image", "The archive ends in the middle of a file: it is cut off.")
        size -= len(data)
        while data:
            count = os.pwrite(descriptor, data, offset)
            offset, data = offset + count, data[count:]


def _note(path: str, brought: set[str]) -> None:
    """Remember that path and the directories on the way to it are of this layer."""
    while path not in brought:
        brought.add(path)
        path = path.rpartition("/")[0]


class _HeaderView:
    """The stream as tarfile sees it: it goes only forward, and reads no more than it may."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._bytes_left = 0
        self.last_read = b""

    def allow(self, size: int) -> None:
        """Let the next headers take size bytes."""
        self._bytes_left = size

    def read(self, size: int) -> bytes:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise Invalid("bad_image", "A file's description in the archive is too long.")
        self.last_read = self._stream.read(size)
        return self.last_read

    def tell(self) -> int:
        return self._stream.position

    def seek(self, position: int) -> None:
        self._stream.skip_to(position)
