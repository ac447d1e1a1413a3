"""What sessions leave behind when their holder is killed, and when old leftovers end at last.

A directory tells what it is, see `skerry.holder.rendezvous`. All calls block.
"""

import contextlib
import errno
import os
import time

from skerry.base import NotFound
from skerry.holder import frames, rendezvous
from skerry.host import cgroups
from skerry.host.holder_connection import dial

# A directory without a socket is a session that just begins, unless it is older than any start.
_START_S_MAX = 30.0
_DEATH_NS_MAX = 5 * 10**9
_PAUSE_S = 0.002
_ANSWER_S_MAX = 5.0
_GROUP_PREFIX = "exec-"


def sweep(directory: str, groups: list[str]) -> None:
    """Bury all dead sessions below directory, then remove empty exec groups in groups."""
    # Listed first: a session has its directory before its group, so a group that is listed here and
    # belongs to no session below is not one that just begins.
    paths = [
        f"{group}/{name}"
        for group in groups
        for name in cgroups.list_children(group)
        if name.startswith(_GROUP_PREFIX)
    ]
    alive = set[str]()
    for box_id in cgroups.list_children(directory):
        for session_id in cgroups.list_children(f"{directory}/{box_id}"):
            if not bury_if_dead(f"{directory}/{box_id}/{session_id}"):
                alive.add(_GROUP_PREFIX + session_id)
        with contextlib.suppress(OSError):  # some session is in it
            os.rmdir(f"{directory}/{box_id}")
    for path in paths:
        if os.path.basename(path) not in alive:
            _remove_if_empty(path)


def bury_if_dead(directory: str) -> bool:
    """End all that a session started if its holder is dead; return whether it is."""
    if _answers(directory) or not _is_old_enough(directory):
        return False
    with contextlib.suppress(FileNotFoundError):
        _kill_group(os.readlink(f"{directory}/{rendezvous.GROUP_LINK}"))
    for name in (rendezvous.SOCKET_NAME, rendezvous.GROUP_LINK):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/{name}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(directory)
    return True


def _answers(directory: str) -> bool:
    """Return whether a holder lives. One that is busy for long counts as living."""
    try:
        while True:
            with dial(directory) as connection:
                connection.settimeout(_ANSWER_S_MAX)
                # To be let in is not enough: a process that is being killed closes its connections
                # one after the other, the listening one perhaps last.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(frames.frame(frames.QUERY))
                    if connection.recv(1):
                        return True
    except TimeoutError:
        return True
    except NotFound:
        return False


def _is_old_enough(directory: str) -> bool:
    """Return whether what does not answer did begin: it has a socket, or has had its time."""
    if os.path.lexists(f"{directory}/{rendezvous.SOCKET_NAME}"):
        return True
    try:
        return time.time() - os.stat(directory).st_mtime > _START_S_MAX
    except FileNotFoundError:
        return False  # it ended by itself just now


def _kill_group(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        cgroups.write_value(f"{path}/cgroup.kill", "1")
    deadline_ns = time.monotonic_ns() + _DEATH_NS_MAX
    # One that does not die stays for the next sweep, which then finds no session to it.
    while not _remove_if_empty(path) and time.monotonic_ns() < deadline_ns:
        time.sleep(_PAUSE_S)


def _remove_if_empty(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
