"""Where a Skerry is reached: a URL and a token, or the administrator's socket in its directory.

Opens the streams (TCP, TLS or Unix); what is said on them is not its business.
"""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from skerry.base import Denied, Invalid, NotAvailable

DATA_DIRECTORY = "/var/lib/skerry"
_CONNECT_SECONDS_MAX = 10.0
_BUFFER_BYTES = 256 * 1024  # what one read of a socket returns at most
_UNIX_PATH_BYTES_MAX = 107
# A peer that is gone without a word (power, cable) is found within about a minute.
_KEEP_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One Skerry. Either socket_path is set, or host and port are. token goes into no message."""

    host: str = "localhost"
    port: int = 0
    tls: bool = False
    socket_path: str | None = None
    prefix: str = ""
    token: str | None = field(default=None, repr=False)

    @property
    def authority(self) -> str:
        """What stands in the Host header."""
        if self.socket_path is not None:
            return "skerry"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """How messages call it."""
        if self.socket_path is not None:
            return self.socket_path
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}"


def find_endpoint(
    url: str | None = None, token: str | None = None, data: str | None = None
) -> Endpoint:
    """Return where to find the Skerry that is meant.

    In this order: url, data (the directory of a Skerry on this machine), the environment's
    SKERRY_URL, its SKERRY_DATA, /var/lib/skerry. The token is token or the environment's
    SKERRY_TOKEN; the socket in a directory needs none. Raises Invalid(bad_url, bad_token).
    """
    environment = os.environ  # noqa: TID251 - the SDK is used outside the daemon, where config.py has no say
    if url is None and data is None:
        url = environment.get("SKERRY_URL") or None
        data = environment.get("SKERRY_DATA") or None
    if url is None:
        path = os.path.join(data or DATA_DIRECTORY, "admin.sock")
        return Endpoint(socket_path=path, token=_checked_token(token))
    return _parsed(url, _checked_token(token or environment.get("SKERRY_TOKEN") or None))


def _parsed(url: str, token: str | None) -> Endpoint:
    advice = "Write it like http://127.0.0.1:7070, https://host/prefix or unix:/path/admin.sock."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid("bad_url", f"{url!r} is no URL ({error}). {advice}") from error
    if parts.scheme == "unix" and parts.path:
        return Endpoint(socket_path=unquote(parts.path), token=token)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid("bad_url", f"{url!r} is no URL of a Skerry. {advice}")
    if parts.query or parts.fragment or parts.username is not None:
        raise Invalid("bad_url", f"The URL may hold no user, query or fragment. {advice}")
    tls = parts.scheme == "https"
    return Endpoint(
        host=parts.hostname,
        port=port or (443 if tls else 80),
        tls=tls,
        prefix=parts.path.rstrip("/"),
        token=token,
    )


def _checked_token(token: str | None) -> str | None:
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise Invalid("bad_token", "The token holds characters that no token has. Copy it again.")
    return token


async def open_streams(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect. Raises NotAvailable(no_connection), Denied(socket_denied)."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS_MAX):
            if endpoint.socket_path is not None:
                return await _open_unix(endpoint.socket_path)
            reader, writer = await asyncio.open_connection(
                endpoint.host,
                endpoint.port,
                limit=_BUFFER_BYTES,
                ssl=ssl.create_default_context() if endpoint.tls else None,
            )
    except PermissionError as error:
        raise Denied(
            "socket_denied",
            f"Only root may use {endpoint.shown}. Use sudo, or a URL with a token.",
        ) from error
    except TimeoutError as error:
        raise NotAvailable(
            "no_connection",
            f"{endpoint.shown} did not answer for {_CONNECT_SECONDS_MAX:g} s. Check the address.",
        ) from error
    except (OSError, ssl.SSLError, UnicodeError) as error:
        raise _unreachable(endpoint, error) from error
    _watch_for_death(writer.get_extra_info("socket"))
    return reader, writer


async def _open_unix(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a socket at a path of any length: the kernel itself takes 107 bytes only."""
    if len(os.fsencode(path)) <= _UNIX_PATH_BYTES_MAX:
        return await asyncio.open_unix_connection(path, limit=_BUFFER_BYTES)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        near = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
        return await asyncio.open_unix_connection(near, limit=_BUFFER_BYTES)
    finally:
        os.close(directory)


def _unreachable(endpoint: Endpoint, error: Exception) -> NotAvailable:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if endpoint.socket_path is None:
        advice = "Check the address and that Skerry listens there."
    else:
        advice = "Start one with `skerry up`, or name another with --data or --url."
    return NotAvailable(
        "no_connection", f"No Skerry answers at {endpoint.shown}: {reason}. {advice}"
    )


def _watch_for_death(connection: socket.socket) -> None:
    """Have the kernel look whether the peer lives; asyncio has set TCP_NODELAY already."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):  # not every system calls them so
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
