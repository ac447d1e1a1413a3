"""Listening sockets: on an address of this machine, or at a path that only root may connect to."""

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from skerry.base import Invalid, NotAvailable

# A peer that is gone without a word, with nothing to send to it, is found in about a minute.
_KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


def listen_tcp(
    address: str, flag: str, options: Sequence[tuple[int, int]] = _KEEP_ALIVE
) -> socket.socket:
    """Return a socket bound to ADDRESS:PORT; its connections notice a peer that is gone.

    flag: what the address was given by, for messages. options: of TCP, for all connections. Raises
    Invalid(bad_setting), NotAvailable(address_in_use).
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Invalid("bad_setting", f"{flag} takes ADDRESS:PORT, not {address!r}.")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # On Linux a connection inherits these from the socket that it came by.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_NODELAY, 1), *options):
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        listener.bind((host, int(port)))
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "that is no host name"
        raise NotAvailable(
            "address_in_use",
            f"Skerry cannot listen on {address}: {reason}. Choose another with {flag}.",
        ) from None
    return listener


def listen_problem(address: str) -> str | None:
    """Return why nobody can listen at ADDRESS:PORT, None if somebody can."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen()
        except OSError as error:
            return error.strerror
    return None


def listen_unix(path: Path) -> socket.socket:
    """Return a Unix socket bound to path, in place of what is there; only root may connect."""
    forget_unix(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)  # from its first instant
    try:
        # By way of the directory's descriptor: a socket's path may have 107 bytes and no more.
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def forget_unix(path: Path) -> None:
    """Remove a socket from its path, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def url_of(listener: socket.socket) -> str:
    """Return the address that a socket is bound to, as a URL without path."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
