"""The little of HTTP that a page of pictures needs: what is asked for, and how an answer looks.

Pure functions over bytes. They do not know a socket. Source: RFC 9110 and 9112.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

REQUEST_BYTES_MAX = 8192  # a browser's are below 2 kB

_KINDS = {"html": "text/html; charset=utf-8", "svg": "image/svg+xml", "png": "image/png"}
# A page elsewhere whose name leads to this machine must not read ours, so only these names are answered.
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Request(NamedTuple):
    """What is asked for. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


def parse(data: bytes) -> Request | None:
    """Return the request whose head this is, None if it is none."""
    first, *lines = data.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        return None
    headers: dict[str, str] = {}
    for line in filter(None, lines):
        name, colon, value = line.partition(":")
        if not colon or name.strip().lower() in headers:
            return None
        headers[name.strip().lower()] = value.strip()
    return Request(parts[0], parts[1].partition("?")[0], headers)


def respond(request: Request | None, files: Mapping[str, bytes]) -> bytes:
    """Return the answer to a request for one of some files; `/` is `index.html`."""
    if request is None:
        return plain(HTTPStatus.BAD_REQUEST)
    if not is_for_us(request):
        return plain(HTTPStatus.MISDIRECTED_REQUEST)
    if request.method not in ("GET", "HEAD"):
        return plain(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD")
    name = request.path.removeprefix("/") or "index.html"
    if name not in files:
        return plain(HTTPStatus.NOT_FOUND)
    body = files[name]
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return _head(HTTPStatus.NOT_MODIFIED, f"ETag: {tag}")
    head = _head(
        HTTPStatus.OK,
        f"ETag: {tag}",
        f"Content-Type: {_KINDS[name.rpartition('.')[2]]}",
        f"Content-Length: {len(body)}",
    )
    return head if request.method == "HEAD" else head + body


def plain(status: HTTPStatus, *headers: str, text: str = "") -> bytes:
    """Return an answer of one line of text: the status itself, if none is given."""
    body = f"{text or status.phrase}\n".encode(errors="replace")
    kind = "Content-Type: text/plain; charset=utf-8"
    return _head(status, *headers, kind, f"Content-Length: {len(body)}") + body


def is_for_us(request: Request) -> bool:
    """Return whether the name that was asked is one of this machine for itself."""
    try:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return False
    return name in _OWN_NAMES


def _head(status: HTTPStatus, *headers: str) -> bytes:
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        *headers,
        "Cache-Control: no-cache",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Connection: close",
    )
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
