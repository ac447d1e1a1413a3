"""Users of a box, by the text of its /etc/passwd and /etc/group. Pure.

Both files belong to root in the box, who may write anything: lines that make no sense are passed
over, as the C library does, and ids that the box does not have are refused later by the kernel.
"""

# Numbers as the kernel has them; (uid_t)-1 means "unchanged" to the calls that take one.
_ID_MAX = 2**32 - 2
_ID_DIGITS_MAX = 10
# setgroups(2) takes 65,536; a user in more groups than this exists only to make work.
_GROUPS_MAX = 1024


class User:
    """A line of /etc/passwd, and the further groups that the user is in."""

    def __init__(self, name: bytes, uid: int, gid: int, home: bytes, shell: bytes) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.home = home or b"/"
        self.shell = shell or b"/bin/sh"
        self.groups: list[int] = [gid]


def find_user(passwd: bytes, group: bytes, wanted: bytes | None) -> User | None:
    """Return the user of that name or number, None where there is none.

    wanted None is `box` where it exists, else root. A name goes before a number, and the first
    line that fits counts, as with the C library. A box without /etc/passwd has root.
    """
    if wanted is None:
        user = _search(passwd, b"box") or _search(passwd, b"root") or _search(passwd, b"0")
        user = user or User(b"root", 0, 0, b"/root", b"/bin/sh")
    else:
        user = _search(passwd, wanted)
        if user is None and wanted in {b"root", b"0"}:
            user = User(b"root", 0, 0, b"/root", b"/bin/sh")
    if user is not None:
        user.groups += _groups_of(group, user)
    return user


def _search(passwd: bytes, wanted: bytes) -> User | None:
    by_number = None
    for line in passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) != 7 or not fields[0]:
            continue
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is None or gid is None:
            continue
        if fields[0] == wanted:
            return User(fields[0], uid, gid, fields[5], fields[6])
        if by_number is None and _id(wanted) == uid:
            by_number = User(fields[0], uid, gid, fields[5], fields[6])
    return by_number


def _groups_of(group: bytes, user: User) -> list[int]:
    groups: list[int] = []
    for line in group.split(b"\n"):
        if user.name not in line:  # most lines, at the price of one search
            continue
        fields = line.split(b":")
        if len(fields) != 4 or user.name not in fields[3].split(b","):
            continue
        gid = _id(fields[2])
        if gid is not None and gid != user.gid and gid not in groups:
            groups.append(gid)
        if len(groups) == _GROUPS_MAX:
            break
    return groups


def _id(text: bytes) -> int | None:
    if not text.isdigit() or len(text) > _ID_DIGITS_MAX or int(text) > _ID_MAX:
        return None
    return int(text)
