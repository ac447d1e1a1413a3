"""Heads of requests: read without leniency, and written anew for the box. Pure.

What is sent to a box is made from what was understood, never copied whole, so that the box's
parser cannot find anything else in it. Who may send a request, and where to, is not known here.
"""

import re
from dataclasses import dataclass

from skerry.gateway.access import COOKIE, is_own_authorization, without_own_cookie
from skerry.gateway.grammar import (
    REQUEST_LINE,
    BadMessage,
    fields_of,
    length_of,
    list_of,
)

_HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_UPGRADE = re.compile(rb"[A-Za-z0-9._/-]{1,64}")

# They concern one connection only, or are said anew.
_OURS_TO_SAY = frozenset(
    {
        b"host", b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding",
        b"content-length", b"upgrade", b"http2-settings", b"expect", b"proxy-authorization",
        b"proxy-authenticate",
    }
)  # fmt: skip
# What proxies say of the way of a request, and what programs take for that.
FORWARDING = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip",
     b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-server", b"x-forwarded-ssl",
     b"x-forwarded-scheme", b"x-client-ip", b"x-cluster-client-ip", b"true-client-ip",
     b"proxy"}  # a CGI program sees it as HTTP_PROXY, and sends its own requests there
)  # fmt: skip
# Of these a client's Connection field cannot take anything away.
_KEPT = frozenset({b"authorization", b"cookie", b"origin", b"content-type", b"content-encoding"})


@dataclass(slots=True, kw_only=True)
class RequestFields:
    """What a request's header fields say. name: of the host, lower case, without port.

    end_to_end: the block of those that go on to the box; forwarding: what the client said of ways
    before it, by lower-case name.
    """

    host: bytes
    name: str
    length: int | None
    is_chunked: bool
    connection: frozenset[bytes]
    upgrade: bytes | None
    expects_continue: bool
    takes_trailers: bool
    authorization: bytes | None
    cookies: tuple[bytes, ...]
    accept: bytes
    user_agent: bytes
    origin: bytes | None
    is_preflight: bool
    end_to_end: bytes
    forwarding: dict[bytes, bytes]

    @property
    def has_body(self) -> bool:
        """Tell whether content follows the head."""
        return self.is_chunked or bool(self.length)


def request_line(line: bytes) -> tuple[bytes, bytes, bool]:
    """Return method, target and whether it is HTTP/1.1, of a line without its end.

    Raises BadMessage(bad_request_line, bad_version).
    """
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        version = line.rpartition(b" ")[2]
        if version.startswith(b"HTTP/") and not version.startswith(b"HTTP/1."):
            raise BadMessage("bad_version", "Speak HTTP/1.1 here.")
        raise BadMessage("bad_request_line", "The request line is no METHOD TARGET HTTP/1.1.")
    method, target, minor = match.groups()
    if method == b"CONNECT":
        raise BadMessage("bad_request_line", "This is no proxy to connect through.")
    return method, target, minor == b"1"


def origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """Return a target as the path and query that it is at the host.

    Raises BadMessage(bad_target).
    """
    if target[0] == 0x2F or (target == b"*" and method == b"OPTIONS"):
        return target
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https"):
        size = min((at for mark in b"/?" if (at := rest.find(mark)) >= 0), default=len(rest))
        if rest[:size].lower() == host.lower():
            path = rest[size:]
            return path if path[:1] == b"/" else b"/" + path
    raise BadMessage("bad_target", "A target is a path, or an address of the same host as Host.")


def request_fields(block: bytes, fields_max: int) -> RequestFields:
    """Return what the fields of a request's block say.

    Raises BadMessage(bad_header, bad_host, bad_content_length, bad_transfer_encoding, bad_expect),
    HeadTooLarge(too_many_headers).
    """
    fields = fields_of(block, fields_max)
    by_name: dict[bytes, list[bytes]] = {}
    for name, _, value in fields:
        by_name.setdefault(name, []).append(value)
    # Programs that see names as variables cannot tell these from the real ones.
    for name in (b"content_length", b"transfer_encoding"):
        if name in by_name:
            raise BadMessage("bad_header", f"The header {name.decode()} is no header.")
    host, name = _host(by_name.get(b"host", []))
    length, is_chunked = framing(by_name)
    connection = frozenset(list_of(by_name.get(b"connection", ())))
    return RequestFields(
        host=host,
        name=name,
        length=length,
        is_chunked=is_chunked,
        connection=connection,
        upgrade=_upgrade(by_name, connection, has_body=is_chunked or bool(length)),
        expects_continue=_expects(by_name.get(b"expect", [])),
        takes_trailers=b"trailers" in list_of(by_name.get(b"te", ())),
        authorization=_one(by_name, b"authorization"),
        cookies=tuple(by_name.get(b"cookie", ())),
        accept=b",".join(by_name.get(b"accept", ())).lower(),
        user_agent=_one(by_name, b"user-agent") or b"",
        origin=_one(by_name, b"origin"),
        is_preflight=b"origin" in by_name and b"access-control-request-method" in by_name,
        end_to_end=_end_to_end(fields, connection),
        forwarding={n: b", ".join(v) for n, v in by_name.items() if n in FORWARDING},
    )


def framing(by_name: dict[bytes, list[bytes]]) -> tuple[int | None, bool]:
    """Return the Content-Length, None without, and whether the body is in chunks.

    Raises BadMessage(bad_content_length, bad_transfer_encoding).
    """
    encodings = by_name.get(b"transfer-encoding")
    lengths = by_name.get(b"content-length")
    if encodings is None:
        return (None if lengths is None else length_of(lengths)), False
    if lengths is not None:
        raise BadMessage("bad_content_length", "Content-Length and Transfer-Encoding: send one.")
    if len(encodings) != 1 or encodings[0].lower() != b"chunked":
        raise BadMessage("bad_transfer_encoding", "The only Transfer-Encoding here is chunked.")
    return None, True


def forwarded_block(fields: RequestFields, peer: bytes, *, is_trusted: bool) -> bytes:
    """Return the fields that a box gets, but for Expect and Upgrade, whose turn is not always.

    peer: the client's address. is_trusted: the client is a proxy whose word about those before it
    counts; what others say of that is not passed on.
    """
    said = fields.forwarding if is_trusted else {}
    node = b'"[%b]"' % peer if b":" in peer else peer
    proto = said.get(b"x-forwarded-proto", b"http")
    way = b'for=%b;host="%b";proto=http' % (node, fields.host)
    lines = [b"Host: %b\r\n" % fields.host, fields.end_to_end]
    lines.append(b"X-Forwarded-For: %b\r\n" % _after(said.get(b"x-forwarded-for"), peer))
    lines.append(b"X-Forwarded-Host: %b\r\n" % said.get(b"x-forwarded-host", fields.host))
    lines.append(b"X-Forwarded-Proto: %b\r\n" % proto)
    lines.append(b"Forwarded: %b\r\n" % _after(said.get(b"forwarded"), way))
    if fields.takes_trailers:
        lines.append(b"TE: trailers\r\nConnection: TE\r\n" if not fields.upgrade else b"")
    if fields.is_chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif fields.length is not None:
        lines.append(b"Content-Length: %d\r\n" % fields.length)
    return b"".join(lines)


def client_of(fields: RequestFields, peer: bytes, *, is_trusted: bool) -> bytes:
    """Return the address of who sent a request: the peer, or whom a trusted proxy has it from."""
    said = fields.forwarding.get(b"x-forwarded-for", b"") if is_trusted else b""
    return said.rpartition(b",")[2].strip() or peer


def trailers_of(block: bytes, fields_max: int) -> bytes:
    """Return the block of trailers that may go on, of those after a body in chunks.

    Those that belong into a head are left out: a program that joins the two would be deceived.
    Raises BadMessage(bad_header), HeadTooLarge.
    """
    if not block:
        return b""
    return b"".join(
        b"%b: %b\r\n" % (written, value)
        for name, written, value in fields_of(block, fields_max)
        if not _belongs_into_a_head(name.replace(b"_", b"-"))
    )


def _belongs_into_a_head(name: bytes) -> bool:
    return (
        name in _OURS_TO_SAY
        or name in FORWARDING
        or name in _KEPT
        or name in (b"set-cookie", b"trailer", b"location", b"range", b"cache-control")
        or name.startswith((b"content-", b"access-control-"))
    )


def _end_to_end(fields: list[tuple[bytes, bytes, bytes]], connection: frozenset[bytes]) -> bytes:
    lines: list[bytes] = []
    for name, written, value in fields:
        if name in _OURS_TO_SAY or (name in connection and name not in _KEPT):
            continue
        if name.replace(b"_", b"-") in FORWARDING:
            continue
        if name == b"authorization" and is_own_authorization(value):
            continue
        kept = without_own_cookie(value) if name == b"cookie" and COOKIE in value else value
        if kept is not None:
            lines.append(b"%b: %b\r\n" % (written, kept))
    return b"".join(lines)


def _host(values: list[bytes]) -> tuple[bytes, str]:
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        raise BadMessage("bad_host", "Send one Host header, a name with or without a port.")
    return values[0], match[1].decode().lower().removesuffix(".")


def _upgrade(
    by_name: dict[bytes, list[bytes]], connection: frozenset[bytes], *, has_body: bool
) -> bytes | None:
    values = by_name.get(b"upgrade", [])
    if b"upgrade" not in connection or has_body or len(values) != 1:
        return None
    # Through h2c a client would speak to the box behind our back, with heads that nobody checks.
    if _UPGRADE.fullmatch(values[0]) is None or values[0].lower().startswith((b"h2", b"http")):
        return None
    return values[0]


def _expects(values: list[bytes]) -> bool:
    if not values:
        return False
    if len(values) != 1 or values[0].lower() != b"100-continue":
        raise BadMessage("bad_expect", "The only thing to Expect here is 100-continue.")
    return True


def _one(by_name: dict[bytes, list[bytes]], name: bytes) -> bytes | None:
    values = by_name.get(name, ())
    if len(values) > 1 and name == b"authorization":
        raise BadMessage("bad_header", "Send one Authorization header.")
    return values[0] if values else None


def _after(earlier: bytes | None, later: bytes) -> bytes:
    return later if earlier is None else b"%b, %b" % (earlier, later)
