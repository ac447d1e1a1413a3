"""Heads of responses: read as strictly as those of requests, and written anew for the client.

Pure. A box is no more to be trusted than a client: what it answers must have one meaning.
"""

from dataclasses import dataclass

from skerry.gateway.grammar import STATUS_LINE, BadMessage, fields_of, list_of
from skerry.gateway.request import framing

_CONNECTION_ONLY = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding",
     b"content-length", b"upgrade"}
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class ResponseFields:
    """What a response's header fields say. end_to_end: the block of those for the client."""

    length: int | None
    is_chunked: bool
    is_last: bool
    keeps_alive: bool
    upgrade: bytes | None
    end_to_end: bytes


def status_line(line: bytes) -> tuple[int, bytes, bool]:
    """Return status, the line to send and whether it is HTTP/1.1, of a line without its end.

    Raises BadMessage(bad_status_line).
    """
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise BadMessage("bad_status_line", "The answer begins with no status.")
    minor, status, reason = match.groups()
    return int(status), b"HTTP/1.1 %b %b\r\n" % (status, reason or b""), minor == b"1"


def response_fields(block: bytes, fields_max: int) -> ResponseFields:
    """Return what the fields of a response's block say.

    Raises BadMessage(bad_header, bad_content_length, bad_transfer_encoding), HeadTooLarge.
    """
    fields = fields_of(block, fields_max)
    by_name: dict[bytes, list[bytes]] = {}
    for name, _, value in fields:
        by_name.setdefault(name, []).append(value)
    length, is_chunked = framing(by_name)
    connection = frozenset(list_of(by_name.get(b"connection", ())))
    upgrade = by_name.get(b"upgrade", [])
    return ResponseFields(
        length=length,
        is_chunked=is_chunked,
        is_last=b"close" in connection,
        keeps_alive=b"keep-alive" in connection,
        upgrade=b", ".join(upgrade) if upgrade else None,
        end_to_end=b"".join(
            b"%b: %b\r\n" % (written, value)
            for name, written, value in fields
            if name not in _CONNECTION_ONLY and (name not in connection or name == b"set-cookie")
        ),
    )
