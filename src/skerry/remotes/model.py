"""What a remote is, and how people write where an object lies. Pure.

Written as scp has it: a colon before the first slash makes it an object, `NAME:BUCKET/KEY` on the
remote of that name and `:BUCKET/KEY` on the one that is used when none is named. `s3://BUCKET/KEY`
is the latter too. Where only objects can be meant, `BUCKET/KEY` is enough.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from skerry.base import Invalid

LOCAL = "local"
"""The name of the store on this machine, which nobody adds."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_BUCKET_CHARACTERS_MAX = 255  # more than S3 takes, so that the remote itself says what is wrong
_KEY_BYTES_MAX = 1024


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """A store somewhere. kind: what it speaks. access_key: empty to ask as nobody.

    endpoint: a URL; empty for Backblaze's own. session_token: of temporary keys.
    has_checksums: False for a store that takes none but those of its oldest calls.
    """

    kind: Literal["s3", "b2"] = "s3"
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret: str = ""
    session_token: str = ""
    is_virtual_hosted: bool = False
    has_checksums: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies. remote, bucket, key: each may be empty if those after it are."""

    remote: str
    bucket: str = ""
    key: str = ""

    def __str__(self) -> str:
        return f"{self.remote}:{self.bucket}" + (f"/{self.key}" if self.key else "")


@dataclass(frozen=True, slots=True)
class File:
    """A path on this machine; `-` is standard input or output."""

    path: str

    @property
    def is_stream(self) -> bool:
        """Whether standard input or output is meant."""
        return self.path == "-"


def remote_name(text: str) -> str:
    """Return text if it can name a remote. Raises Invalid(bad_remote_name)."""
    if not _NAME.fullmatch(text):
        raise Invalid(
            "bad_remote_name",
            f"{text[:80]!r} names no remote. Write up to 63 of a-z, 0-9, '.', '_' and '-'.",
        )
    return text


def checked_endpoint(text: str) -> str:
    """Return a URL without its last slash. Raises Invalid(bad_endpoint)."""
    try:
        url = urlsplit(text)
        known = url.scheme in ("http", "https") and url.hostname and (url.port or 1) > 0
    except ValueError:
        known = False
    else:
        known = known and not (url.query or url.fragment or url.username or url.password)
    if not known or not text.isprintable():
        raise Invalid(
            "bad_endpoint", f"{text[:200]!r} is no endpoint. Write it like https://s3.example.com."
        )
    return text.rstrip("/")


def checked_region(text: str) -> str:
    """Return text if it can be a region. Raises Invalid(bad_region)."""
    if not _REGION.fullmatch(text):
        raise Invalid("bad_region", f"{text[:80]!r} is no region. Write it like us-east-1.")
    return text


def place(text: str) -> Place:
    """Return what text names where only objects or buckets can be meant.

    Raises Invalid(bad_address, bad_remote_name).
    """
    found = place_or_file(text)
    return found if isinstance(found, Place) else _place("", text)


def bucket_place(text: str) -> Place:
    """Return the place of a bucket. Raises Invalid(bad_address, bad_remote_name)."""
    found = place(text.rstrip("/"))
    if not found.bucket or found.key:
        raise Invalid(
            "bad_address", f"{text[:200]!r} names no bucket. Write BUCKET or NAME:BUCKET."
        )
    return found


def object_place(text: str) -> Place:
    """Return the place of an object. Raises Invalid(bad_address, bad_remote_name)."""
    found = place(text)
    if not found.key:
        raise Invalid(
            "bad_address", f"{text[:200]!r} names no object. Write BUCKET/KEY or NAME:BUCKET/KEY."
        )
    return found


def place_or_file(text: str) -> Place | File:
    """Return what text names where a file could be meant too.

    Raises Invalid(bad_address, bad_remote_name).
    """
    if not text:
        raise Invalid("bad_address", "An empty word names neither a file nor an object.")
    if text.startswith("s3://"):
        return _place("", text.removeprefix("s3://"))
    remote, colon, rest = text.partition(":")
    if colon and "/" not in remote:
        return _place(remote_name(remote) if remote else "", rest)
    return File(text)


def _place(remote: str, text: str) -> Place:
    bucket, _, key = text.partition("/")
    try:
        size = len(key.encode())
        bucket.encode()
    except UnicodeEncodeError:
        raise Invalid("bad_address", "The name of an object is UTF-8, and this is not.") from None
    if size > _KEY_BYTES_MAX or len(bucket) > _BUCKET_CHARACTERS_MAX:
        raise Invalid("bad_address", f"A key has at most {_KEY_BYTES_MAX} bytes.")
    if key and not bucket:
        raise Invalid("bad_address", f"{text[:200]!r} names no bucket. Write BUCKET/KEY.")
    return Place(remote, bucket, key)
