"""A box's root directory as one of its users sees it: what every file operation begins from.

Users come from the box's own /etc/passwd and /etc/group, which the box may fill with anything. What
is done with the files, this module does not know.
"""

import errno
import os
import stat as modes
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from skerry.base import Invalid
from skerry.host.credentials import ROOT, Credentials, acting_as
from skerry.host.file_errors import bad_path, errors_about, file_error
from skerry.host.rooted import HANDLE, held, open_within, reopen

DEFAULT_USER = "box"

# A table of users beyond this is read up to here: Debian's has 1 kB, and the box fills it.
_TABLE_BYTES_MAX = 1 << 20
_GROUPS_MAX = 256

# A box that has no table has no users but root. Any other failure must not make root of anybody.
_NO_TABLE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

ID_LAST = 65_535
"""A box has this many ids and one; higher numbers belong to nobody in it."""


class Anchor:
    """A descriptor of a root directory that stays open as long as anybody refers to this.

    A task that is cancelled goes on at once, while the thread that works for it does not. If the
    task closed the descriptor, the thread could find another box's disk under its number.
    """

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        """Take a copy of descriptor; the caller closes its own."""
        self.descriptor = os.dup(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class BoxRoot:
    """Where paths begin, and who asks.

    anchor: holds the top of a disk or a checkpoint. directory: where relative paths begin.
    """

    anchor: Anchor
    user: Credentials = ROOT
    directory: str = "/"

    @property
    def descriptor(self) -> int:
        """The O_PATH descriptor of the top, good while this BoxRoot is referred to."""
        return self.anchor.descriptor

    def absolute(self, path: str) -> str:
        """Return path as an absolute one, with no `.`, no `//` and no `/` at its end.

        `..` is left to the kernel, which knows the links. Raises Invalid(bad_path).
        """
        joined = path if path.startswith("/") else f"{self.directory}/{path}"
        try:
            encoded = os.fsencode(joined)
        except UnicodeEncodeError:
            raise bad_path(joined, "it holds characters that no file name can have") from None
        if b"\0" in encoded:
            raise bad_path(joined.replace("\0", "\\0"), "a path holds no NUL")
        return "/" + "/".join(part for part in joined.split("/") if part not in ("", "."))

    def named(self, path: str) -> str:
        """Return path as an absolute one that ends in a name. Raises Invalid(bad_path)."""
        where = self.absolute(path)
        if where == "/" or where.endswith("/.."):
            raise bad_path(where, "it must end in the name of a file or directory")
        return where


HOME = "~"
"""The directory that is the user's home."""


def enter(
    descriptor: int, *, user: str | None = None, as_root: bool = False, directory: str = "/"
) -> BoxRoot:
    """Return descriptor's directory as a user of the box sees it; descriptor may be closed then.

    user: a name or number; None is `box` where the box knows one, else root. as_root goes before
    it. directory: where relative paths begin, HOME for the user's own. Raises Invalid(bad_user,
    bad_path).
    """
    anchor = Anchor(descriptor)
    who = ROOT if as_root else find_user(anchor.descriptor, user)
    if directory == HOME:
        directory = _home(anchor.descriptor, who.uid)
    return BoxRoot(anchor, who, BoxRoot(anchor).absolute(directory))


def _home(descriptor: int, uid: int) -> str:
    """Return the home that the box's tables give a user; `/` for one who has none."""
    homes = (
        home for _, number, _, home in _users(_table(descriptor, "/etc/passwd")) if number == uid
    )
    return os.fsdecode(next(homes, b"")) or "/"


@contextmanager
def visiting(root: BoxRoot, where: str, flags: int = HANDLE) -> Generator[int]:
    """Open an absolute path as the root's user, and stay that user inside; close it at the end.

    Errors of the kernel name the path. Raises what `file_errors` makes of them.
    """
    with (
        acting_as(root.user),
        errors_about(where),
        held(open_within(root.descriptor, where, flags)) as handle,
    ):
        yield handle


def find_user(descriptor: int, user: str | None) -> Credentials:
    """Return the ids of a user by the tables of the box at descriptor; None as in `enter`.

    A number that the tables do not hold is taken as it is, with the group of the same number.
    Raises Invalid(bad_user).
    """
    wanted = os.fsencode(DEFAULT_USER if user is None else user)
    for name, uid, gid, _ in _users(_table(descriptor, "/etc/passwd")):
        if name == wanted or (user is not None and wanted == str(uid).encode()):
            groups = tuple(_groups(_table(descriptor, "/etc/group"), name))
            return _credentials(uid, gid, groups)
    if user is None:
        return ROOT
    number = _number(wanted)
    if number is None:
        raise Invalid("bad_user", f"The box has no user {user[:64]!r}. Add it, or name another.")
    return _credentials(number, number, ())


def _credentials(uid: int, gid: int, groups: Sequence[int]) -> Credentials:
    # Root's groups add nothing to what root may do.
    return ROOT if uid == 0 else Credentials(uid, gid, tuple(groups))


def _users(table: bytes) -> Iterator[tuple[bytes, int, int, bytes]]:
    """Yield name, uid, gid and home of each."""
    for line in table.split(b"\n"):
        fields = line.split(b":")
        if len(fields) < 4:
            continue
        uid, gid = _number(fields[2]), _number(fields[3])
        if fields[0] and uid is not None and gid is not None:
            yield fields[0], uid, gid, fields[5] if len(fields) > 5 else b""


def _groups(table: bytes, name: bytes) -> list[int]:
    found: list[int] = []
    for line in table.split(b"\n"):
        fields = line.split(b":")
        if len(fields) < 4 or name not in fields[3].split(b","):
            continue
        gid = _number(fields[2])
        if gid is not None and gid not in found:
            found.append(gid)
    return found[:_GROUPS_MAX]


def _number(text: bytes) -> int | None:
    if not 1 <= len(text) <= 5 or not text.isdigit():
        return None
    return int(text) if int(text) <= ID_LAST else None


def _table(descriptor: int, path: str) -> bytes:
    """Return the first MiB of a table; nothing where there is no such file."""
    try:
        handle = open_within(descriptor, path)
    except OSError as error:
        if error.errno in _NO_TABLE:
            return b""
        raise file_error(error.errno or errno.EIO, path) from error
    with held(handle), errors_about(path):
        if not modes.S_ISREG(os.fstat(handle).st_mode):
            return b""
        with held(reopen(handle, os.O_RDONLY)) as file:
            return os.pread(file, _TABLE_BYTES_MAX, 0)
