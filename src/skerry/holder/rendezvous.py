"""The place where a session is found: a directory with its socket, and a link to its group.

A directory whose socket answers is a session. One whose socket does not answer was left by a holder
that was killed; what its link names must then be killed too. A holder removes the link as soon as
its command ended and left something running on purpose, so nothing else is killed by mistake.
"""

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket

SOCKET_NAME = "sock"
GROUP_LINK = "group"

_BACKLOG = 64
_TRIES = 10  # the directory of the box goes whenever it is empty, perhaps just before it is needed


class Rendezvous:
    """The directory of one session."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._listener: socket | None = None

    def open(self) -> None:
        """Begin to listen."""
        # Below its own directory the name is short: paths of sockets end at 108 bytes.
        os.chdir(self._directory)
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        listener.bind(SOCKET_NAME)
        listener.listen(_BACKLOG)
        os.chdir("/")
        self._listener = listener

    @property
    def descriptor(self) -> int:
        """Return what becomes readable when somebody calls."""
        assert self._listener is not None, "it is open"
        return self._listener.fileno()

    def accept(self) -> socket | None:
        """Return who called, None where they hung up again."""
        assert self._listener is not None, "it is open"
        try:
            descriptor = _accept(self._listener)
        except OSError:
            return None
        return socket(fileno=descriptor)

    def spare_leftovers(self) -> None:
        """Take note that what still runs in the group may stay there."""
        _unlink(f"{self._directory}/{GROUP_LINK}")

    def remove(self) -> None:
        """Stop listening and leave nothing."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        _unlink(f"{self._directory}/{SOCKET_NAME}")
        _unlink(f"{self._directory}/{GROUP_LINK}")
        try:
            os.rmdir(self._directory)
        except FileNotFoundError:
            return


def make_rendezvous(directory: str, group_path: str) -> Rendezvous:
    """Make the directory, and the link before there is a group: none is ever forgotten.

    Raises FileExistsError where there is such a session.
    """
    for _ in range(_TRIES):
        try:
            os.mkdir(directory, 0o700)
        except FileNotFoundError:
            _make_parent(directory)
        else:
            break
    os.symlink(group_path, f"{directory}/{GROUP_LINK}")
    return Rendezvous(directory)


def _accept(listener: socket) -> int:
    # The C module's own name for it, which `socket.accept` is made of; type stubs leave it out.
    return listener._accept()[0]  # noqa: SLF001  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def _make_parent(directory: str) -> None:
    try:
        os.mkdir(os.path.dirname(directory), 0o700)
    except FileExistsError:
        return


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
