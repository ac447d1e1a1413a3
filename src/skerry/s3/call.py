"""One call: what it is about, who makes it, and what handlers need to answer it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid
from skerry.objects import buckets
from skerry.s3.connection import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.objects import Objects
    from skerry.objects.model import Bucket
    from skerry.s3.connection import Request
    from skerry.s3.identity import Identity
    from skerry.s3.keyring import Keyring
    from skerry.s3.signature import Claim

XML = "application/xml"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LENGTHS = ("content-length", "transfer-encoding")
_XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. bucket, key: empty where there is none. query: decoded, the first of each name.

    claim and secret: by which it was signed, None and empty where it was not. keyring: knows the
    keys of others.
    """

    objects: Objects
    request: Request
    bucket: str
    key: str
    query: Mapping[str, str]
    identity: Identity
    claim: Claim | None
    secret: str
    region: str
    request_id: str
    keyring: Keyring

    def header(self, name: str) -> str | None:
        """Return a header, by its name in lower case."""
        return self.request.headers.get(name)

    def number(self, name: str, default: int, highest: int) -> int:
        """Return a number of the query; what is above the highest is that. Raises Invalid."""
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if not text.isdecimal() or len(text) > 10 or int(text) > 2**31 - 1:
            raise Invalid("bad_argument", f"{name} is a number from 0 to {highest}.")
        return min(int(text), highest)


def xml(text: str, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return an answer with an XML document."""
    return Response(
        status,
        [("Content-Type", XML), *(headers or [])],
        (_XML_HEAD + text).encode("utf-8", "replace"),
    )


def empty(status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return an answer without a body."""
    return Response(status, headers or [])


def iso(at_ns: int) -> str:
    """Return a moment as XML has it: `2026-01-31T12:00:00.123Z`."""
    seconds, rest = divmod(at_ns, 10**9)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"


def http_date(at_ns: int) -> str:
    """Return a moment as headers have it."""
    return formatdate(at_ns // 10**9, usegmt=True)


def seconds_of(text: str) -> int | None:
    """Return the seconds since 1970 of a date in a header, None if it is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def is_header(name: str, value: str) -> bool:
    """Tell whether what came elsewhere may become a header, which may be told again in answers."""
    return _TOKEN.fullmatch(name) is not None and _CONTROL.search(value) is None


def header_of(value: str) -> str:
    """Return text as headers are read: each character is a byte of its UTF-8."""
    return value.encode("utf-8", "replace").decode("latin-1")


def checksum_header(algorithm: str) -> str:
    """Return the name of the header with a checksum."""
    return f"x-amz-checksum-{algorithm.lower()}"


def bucket_of(call: Call) -> Bucket:
    """Return the bucket of a call. Raises NotFound(no_such_bucket)."""
    return buckets.find(call.objects, call.bucket)


def check_length(call: Call) -> None:
    """Raise Invalid(no_length) where nobody said how long a body is that is to be kept.

    HTTP takes that for no body, and so an empty object would stand in the place of another.
    """
    is_form = call.request.size_min is not None  # of which the size is that of the whole
    if not is_form and call.request.headers.keys().isdisjoint(_LENGTHS):
        raise Invalid("no_length", "Send Content-Length, 0 too.")


def expect_owner(call: Call, bucket: str, header: str) -> None:
    """Raise Denied(access_denied) where a bucket is not of whom a header of that name expects."""
    expected = call.header(header)
    if expected is None or not bucket or not buckets.is_there(call.objects, bucket):
        return
    if buckets.find(call.objects, bucket).owner != expected:
        raise Denied("access_denied", "The bucket has another owner than you expect.")
