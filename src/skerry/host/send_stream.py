"""What changed between two disks, read from the stream that btrfs sends. Pure: bytes in, paths out.

The format is that of `fs/btrfs/send.h`, version 1. The stream is a list of commands that turn the
old tree into the new one, under names that change on the way: a new file begins as `o257-7-0`, and
what is in the way of another is moved aside first. So the commands are carried out here on a tree
of just the names that they touch; what has another place at the end than at the start is a change.
Of a file that had several names before, changed contents are told under one of them.

New times alone are no change: whatever is made in a directory gives it some, reading may too, and
the kernel tells of times also where it only wrote an inode again.
"""

import struct

from skerry.base import Failed, LimitReached
from skerry.host.seam import DiskChange

_MAGIC = b"btrfs-stream\0"
_VERSION_BYTES = 4
_HEADER = struct.Struct("<IHI")  # length of the attributes, command, checksum
_ATTRIBUTE = struct.Struct("<HH")  # type, length

_OF_NO_INTEREST = frozenset({2, 20})  # the name of the snapshot itself, times
_MAKE = frozenset({3, 4, 5, 6, 7, 8})  # file, directory, node, FIFO, socket, symbolic link
_RENAME, _LINK, _UNLINK, _RMDIR = 9, 10, 11, 12
_CONTENT = frozenset({15, 16, 17, 22})  # write, clone, truncate, update_extent
_METADATA = frozenset({13, 14, 18, 19})  # set and remove xattr, chmod, chown
_END = 21
_PATH, _PATH_TO, _PATH_LINK = 15, 16, 17  # attribute types

# For each change at most this many things are kept in memory: itself, the names that it had for a
# while, and directories on the way.
_KEPT_PER_CHANGE = 8


class _Inode:
    """A thing that was touched. old_path: where it was in the old tree, None for what is new."""

    __slots__ = ("birth", "children", "content", "metadata", "names", "old_path")

    def __init__(self, old_path: bytes | None, birth: "_Name | None") -> None:
        self.old_path = old_path
        self.birth = birth
        self.names: set[_Name] = set() if birth is None else {birth}
        self.children: dict[bytes, _Inode | None] = {}  # None: the old name is gone
        self.content = self.metadata = False


_Name = tuple[_Inode, bytes]  # a directory, and a name in it


class SendStream:
    """Reads a stream piece by piece: `feed` it, then ask for the `changes`, changes_max at most."""

    def __init__(self, changes_max: int) -> None:
        self._changes_max = changes_max
        self._pending = bytearray()
        self._begun = False
        self._ended = False
        self._top = _Inode(b"", None)
        self._touched = [self._top]
        self._kept = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises Failed(bad_send_stream), LimitReached(too_many_changes) as soon as that is certain.
        """
        self._pending += data
        position = 0
        if not self._begun:
            position = len(_MAGIC) + _VERSION_BYTES
            if len(self._pending) < position:
                return
            if not self._pending.startswith(_MAGIC):
                raise _unreadable("it does not begin like one")
            self._begun = True
        while len(self._pending) - position >= _HEADER.size:
            length, command, _ = _HEADER.unpack_from(self._pending, position)
            end = position + _HEADER.size + length
            if end > len(self._pending):
                break
            self._take(command, _attributes(self._pending, position + _HEADER.size, end))
            position = end
        del self._pending[:position]

    def changes(self) -> list[DiskChange]:
        """Return all changes, in order of path, once the whole stream was fed.

        A thing that moved is `renamed`, and said to be `modified` or `metadata` besides if it is
        that too; what lies in a directory that moved is not named. A thing put in the place of one
        that is gone is `modified`. Raises Failed(bad_send_stream), LimitReached(too_many_changes).
        """
        if not self._ended:
            raise _unreadable("it ended too soon")
        deleted: set[bytes] = set()
        moved: list[tuple[bytes, bytes | None]] = []  # to, from; from None: it is new
        found: list[DiskChange] = []
        for inode in self._touched:
            _follow(inode, deleted, moved)
            if inode.old_path is not None and (inode.names or inode is self._top):
                if inode.content:
                    found.append(DiskChange(_text(_place(inode)), "modified"))
                elif inode.metadata:
                    found.append(DiskChange(_text(_place(inode)), "metadata"))
        found += [_moved(path, old_path, deleted) for path, old_path in moved]
        replaced = {path for path, _ in moved}
        found += [DiskChange(_text(path), "deleted") for path in deleted - replaced]
        if len(found) > self._changes_max:
            raise self._too_many()
        return sorted(found, key=lambda change: (change.path, change.kind != "renamed"))

    def _take(self, command: int, attributes: dict[int, bytes]) -> None:
        if command == _END:
            self._ended = True
        elif command in _OF_NO_INTEREST:
            pass
        elif command in _MAKE:
            self._put(self._new(_Inode(None, None)), attributes[_PATH])
        elif command == _LINK:
            self._put(self._look_up(attributes[_PATH_LINK]), attributes[_PATH])
        elif command == _RENAME:
            self._put(self._remove(attributes[_PATH]), attributes[_PATH_TO])
        elif command in (_UNLINK, _RMDIR):
            self._remove(attributes[_PATH])
        elif command in _CONTENT:
            self._look_up(attributes[_PATH]).content = True
        elif command in _METADATA:
            self._look_up(attributes[_PATH]).metadata = True
        else:
            raise _unreadable(f"it has a command {command}")

    def _new(self, inode: _Inode) -> _Inode:
        self._touched.append(inode)
        self._count()
        return inode

    def _count(self) -> None:
        self._kept += 1
        if self._kept > self._changes_max * _KEPT_PER_CHANGE:
            raise self._too_many()

    def _look_up(self, path: bytes) -> _Inode:
        inode = self._top
        for name in path.split(b"/") if path else ():
            inode = self._child(inode, name)
        return inode

    def _child(self, directory: _Inode, name: bytes) -> _Inode:
        if name in directory.children:
            found = directory.children[name]
        elif directory.old_path is not None:
            # Not seen so far, so it is the one that the old tree has there.
            found = self._new(_Inode(directory.old_path + b"/" + name, (directory, name)))
            directory.children[name] = found
        else:
            found = None
        if found is None:
            raise _unreadable("it speaks of a file that is not there")
        return found

    def _parent(self, path: bytes) -> _Name:
        above, _, name = path.rpartition(b"/")
        return self._look_up(above), name

    def _put(self, inode: _Inode, path: bytes) -> None:
        directory, name = self._parent(path)
        in_the_way = directory.children.get(name)
        if in_the_way is not None:
            in_the_way.names.discard((directory, name))
        directory.children[name] = inode
        inode.names.add((directory, name))
        self._count()

    def _remove(self, path: bytes) -> _Inode:
        directory, name = self._parent(path)
        inode = self._child(directory, name)
        directory.children[name] = None
        inode.names.discard((directory, name))
        return inode

    def _too_many(self) -> LimitReached:
        return LimitReached(
            "too_many_changes",
            f"More than {self._changes_max} files changed. Compare states that are closer together.",
            {"limit": self._changes_max},
        )


def _attributes(data: bytearray, position: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while position + _ATTRIBUTE.size <= end:
        kind, length = _ATTRIBUTE.unpack_from(data, position)
        position += _ATTRIBUTE.size
        if kind in (_PATH, _PATH_TO, _PATH_LINK):  # file times and the like are of no interest
            found[kind] = bytes(data[position : position + length])
        position += length
    return found


def _follow(inode: _Inode, deleted: set[bytes], moved: list[tuple[bytes, bytes | None]]) -> None:
    """Find out where a thing went: add it to what was deleted or moved."""
    gone = inode.birth is not None and inode.birth not in inode.names
    fresh = sorted(
        _path(directory, name)
        for directory, name in inode.names
        if (directory, name) != inode.birth
    )
    source = inode.old_path if gone else None
    if source is not None and not fresh:
        deleted.add(source)
    for path in fresh:
        moved.append((path, source))
        source = None  # it moved to the first, the others are names in addition


def _place(inode: _Inode) -> bytes:
    """Return where in the new tree an old thing is: where it was if it can be, else its first."""
    if not inode.names:
        return b""  # the top, which has no name
    if inode.birth in inode.names:
        assert inode.birth is not None
        return _path(*inode.birth)
    return min(_path(directory, name) for directory, name in inode.names)


def _path(directory: _Inode, name: bytes) -> bytes:
    """Return the path in the new tree of a name in a directory, which itself has one name only."""
    parts = [name]
    while directory.names:
        ((directory, name),) = directory.names
        parts.append(name)
    return b"/" + b"/".join(reversed(parts))


def _moved(path: bytes, old_path: bytes | None, deleted: set[bytes]) -> DiskChange:
    if old_path is not None:
        return DiskChange(_text(path), "renamed", _text(old_path))
    return DiskChange(_text(path), "modified" if path in deleted else "added")


def _text(path: bytes) -> str:
    return (path or b"/").decode("utf-8", "surrogateescape")


def _unreadable(reason: str) -> Failed:
    return Failed("bad_send_stream", f"The kernel's list of changes cannot be read: {reason}.")
