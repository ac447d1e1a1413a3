"""Carrying over what a file has beside its content: owner, mode, times, extended attributes.

Of the extended attributes only `user.*` and POSIX ACLs are carried: `trusted.*` is the host's, and
`security.*` (file capabilities, labels) is granted anew or not at all.
"""

import contextlib
import errno
import os
import stat as modes

from skerry.host.credentials import ROOT, Credentials
from skerry.host.rooted import handle_path

_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_PERMISSIONS = 0o777  # what a copy keeps where its owner may differ: no set-user-id


def copy_attributes(source: int, target: int, user: Credentials, *, preserve: bool) -> None:
    """Give target (open, a file or directory) the permissions of source, any descriptor of it.

    preserve: the owner too, as far as user may give files away, its times, ACLs and user
    attributes; without its owner a file has no set-user-id. Raises OSError.
    """
    status = os.fstat(source)
    if not preserve:
        set_mode(target, modes.S_IMODE(status.st_mode) & _PERMISSIONS)
        return
    kept = _give(target, status, user)
    set_mode(target, modes.S_IMODE(status.st_mode) & (0o7777 if kept else _PERMISSIONS))
    copy_extended_attributes(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def set_mode(target: int, mode: int) -> None:
    """Give an open file a mode, if it has another; to set the same would tell all who watch.

    Raises OSError.
    """
    if modes.S_IMODE(os.fstat(target).st_mode) != mode:
        os.fchmod(target, mode)


def set_owner(target: int, uid: int, gid: int) -> None:
    """Give an open file an owner and group, if it has others; its set-user-id is lost then.

    Raises OSError.
    """
    now = os.fstat(target)
    if (now.st_uid, now.st_gid) != (uid, gid):
        os.fchown(target, uid, gid)


def copy_extended_attributes(source: int, target: int) -> None:
    """Give target the user attributes and ACLs of source. Raises OSError."""
    path = handle_path(source)
    for name in _attribute_names(path):
        if name in _ACLS or name.startswith("user."):
            value = _attribute(path, name)
            if value is not None:
                os.setxattr(target, name, value)


def _attribute_names(path: str) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise


def _attribute(path: str, name: str) -> bytes | None:
    """Return a value; None if it was taken away since it was listed, or is its owner's alone."""
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EACCES):
            return None
        raise


def _give(target: int, status: os.stat_result, user: Credentials) -> bool:
    """Make target belong to who status says; tell whether it now does."""
    if user.uid == ROOT.uid:
        set_owner(target, status.st_uid, status.st_gid)
        return True
    # As `cp -p` of a user: the group where the user is in it, the owner never.
    with contextlib.suppress(PermissionError):
        set_owner(target, user.uid, status.st_gid)
    now = os.fstat(target)
    return (now.st_uid, now.st_gid) == (status.st_uid, status.st_gid)
