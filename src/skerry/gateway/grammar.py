"""The grammar of HTTP/1.1 heads, without leniency: RFC 9110 and 9112, less what parsers differ on.

A block is the header fields of a head, each line with its end, without the empty line after them.
What fields mean is not known here.
"""

import re
from collections.abc import Iterable

from skerry.base import Invalid, TooLarge

_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[^\x00-\x08\x0a-\x1f\x7f]"  # all but control characters; a tab is none

# Possessive, so that no input makes them look at a byte twice.
_BLOCK = re.compile(rb"(?:%b++:%b*+\r\n)*+" % (_NAME, _VALUE))
_FIELD = re.compile(rb"(%b++):(%b*+)\r\n" % (_NAME, _VALUE))
_BARE = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")

NAME = re.compile(_NAME + rb"++")
REQUEST_LINE = re.compile(rb"([A-Z][A-Z_-]{0,31}) ([\x21\x22\x24-\x7e]++) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (%b*+))?" % _VALUE)
LENGTH = re.compile(rb"[0-9]{1,18}")


class BadMessage(Invalid):
    """A message that two parsers may read in two ways, or that is none."""


class HeadTooLarge(TooLarge):
    """A head with more bytes or fields than are taken."""


def fields_of(block: bytes, fields_max: int) -> list[tuple[bytes, bytes, bytes]]:
    """Return the fields of a block: name in lower case, name as it is, value.

    Raises BadMessage(bad_header), HeadTooLarge(too_many_headers).
    """
    if _BLOCK.fullmatch(block) is None:
        raise BadMessage("bad_header", _what_is_wrong(block))
    found = _FIELD.findall(block)
    if len(found) > fields_max:
        raise HeadTooLarge("too_many_headers", f"A message may have {fields_max} headers.")
    return [(name.lower(), name, value.strip(b" \t")) for name, value in found]


def has_bare_line_end(data: bytes, at: int) -> bool:
    """Tell whether a carriage return or line feed stands alone in data from `at` on.

    A carriage return that is the last of data may yet get its line feed.
    """
    return _BARE.search(data, at) is not None


def list_of(values: Iterable[bytes]) -> list[bytes]:
    """Return the elements of a comma-separated list that may go over several fields, lower case."""
    return [
        word for value in values for part in value.split(b",") if (word := part.strip().lower())
    ]


def length_of(values: list[bytes]) -> int:
    """Return what the Content-Length fields say. Raises BadMessage(bad_content_length)."""
    if len(values) != 1 or LENGTH.fullmatch(values[0]) is None:
        raise BadMessage("bad_content_length", "Send one Content-Length, a number, or none.")
    return int(values[0])


def _what_is_wrong(block: bytes) -> str:
    for line in block.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            return "A header goes on in a second line. Write it in one."
        if b"\n" in line or b"\r" in line:
            return "Lines end with a carriage return and a line feed, both."
        name = line.partition(b":")[0]
        if line and NAME.fullmatch(name) is None:
            return "A header's name has characters that no name may have, such as a space."
    return "A header's value has control characters."
