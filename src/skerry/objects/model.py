"""What buckets, versions and uploads are, and which names they may have. Pure.

A *version* is one state of an object: its bytes and what is said of them, or a delete marker. The
newest one of a key is *current*, the others are *former*. Where a bucket keeps no versions each
object is the version `null`, and the next one takes its place.
"""

import ipaddress
import re
from typing import Literal, TypeAlias

from msgspec import Struct

from skerry.base import Invalid
from skerry.objects.packages import plain_size

NULL_VERSION = "null"
KEY_BYTES_MAX = 1024
PARTS_MAX = 10_000
PART_BYTES_MAX = 5 << 30
OBJECT_BYTES_MAX = 50 << 40  # as AWS since December 2025

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_VERSION_ID = re.compile(r"[0-7][0-9a-f]{31}")
_RESERVED = re.compile(
    r"iceberg|xn--.*|sthree-.*|amzn-s3-demo-.*|.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)"
)

Versioning: TypeAlias = Literal["off", "enabled", "suspended"]
Algorithm: TypeAlias = Literal["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


class Bucket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bucket. owner: the account it belongs to. settings: documents by the name of what they set.

    number: what keys of the index begin with; a name may be used again, a number is not.
    """

    number: int
    name: str
    owner: str
    created_at_ns: int
    versioning: Versioning = "off"
    has_lock: bool = False
    settings: dict[str, bytes] = {}


class Checksum(Struct, frozen=True, array_like=True):
    """A checksum that a client may ask for. parts: of how many it is made, 0 if of the whole."""

    algorithm: Algorithm
    value: bytes
    parts: int = 0


class Lock(Struct, frozen=True, array_like=True):
    """What keeps a version from being deleted. until_ns: of the retention in that mode."""

    mode: Literal["GOVERNANCE", "COMPLIANCE", ""] = ""
    until_ns: int = 0
    is_held: bool = False


class Piece(Struct, frozen=True, array_like=True):
    """Bytes that lie in the record that tells of them or, if it is named, in a file of their own.

    crc: their CRC-64/NVME; of a file, that of the table of its blocks' checksums.
    """

    size: int
    crc: int
    file: str = ""


class Part(Struct, frozen=True, array_like=True):
    """A part of an upload: its bytes, their MD5 and what else is known of them.

    salt: of the key that they are encrypted with, empty if they are not; see `sealing`.
    """

    upload_id: str
    number: int
    piece: Piece
    md5: bytes
    modified_at_ns: int
    checksum: Checksum | None = None
    salt: bytes = b""

    @property
    def size(self) -> int:
        """How many bytes it has for its client; on disk there may be more."""
        return plain_size(self.piece.size) if self.salt else self.piece.size


class Version(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of an object. sequence: its place in the order of all writes.

    piece: where its bytes lie; None for a delete marker and for those that were uploaded in parts,
    which lie with those. part_sizes: of each, in their order. headers: what is said again with
    the bytes, such as cache-control; metadata: the user's own. sealed: how the bytes are encrypted,
    whose piece is larger then than `size`; see `sealing`.
    made_by: `copy` or `post`, empty for a put.
    """

    bucket: int
    key: str
    version_id: str
    sequence: int
    modified_at_ns: int
    size: int = 0
    etag: str = ""
    is_marker: bool = False
    piece: Piece | None = None
    upload_id: str = ""
    parts: tuple[tuple[int, int], ...] = ()
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    storage_class: str = ""
    checksum: Checksum | None = None
    lock: Lock | None = None
    sealed: bytes = b""
    made_by: str = ""


class Upload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A multipart upload under way, with what its object will have."""

    upload_id: str
    bucket: int
    key: str
    owner: str
    begun_at_ns: int
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    storage_class: str = ""
    algorithm: Algorithm | None = None
    is_whole: bool = False
    lock: Lock | None = None
    sealed: bytes = b""


class User(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody with access keys. policies: documents by name, which say what they may do."""

    name: str
    created_at_ns: int
    policies: dict[str, bytes] = {}


class Key(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access key of a user, and its secret."""

    access_key: str
    secret: str
    user: str
    created_at_ns: int
    is_active: bool = True


def new_version_id(sequence: int, entropy: bytes) -> str:
    """Return the id of the version with that place in the order of writes. entropy: 8 bytes."""
    return f"{sequence:016x}{entropy.hex()}"


def sequence_of(version_id: str) -> int:
    """Return the place in the order of writes that an id tells, 0 if it is none of ours."""
    return int(version_id[:16], 16) if _VERSION_ID.fullmatch(version_id) else 0


def bucket_name(text: str) -> str:
    """Return text if it may be a bucket's name. Raises Invalid(bad_bucket_name)."""
    if (
        _BUCKET.fullmatch(text) is None
        or ".." in text
        or _is_address(text)
        or _RESERVED.fullmatch(text)
    ):
        raise Invalid(
            "bad_bucket_name",
            f"{text[:80]!r} is no name for a bucket. Use 3 to 63 of a-z, 0-9, '-' and '.', "
            "beginning and ending with a letter or digit.",
        )
    return text


def object_key(text: str) -> str:
    """Return text if it may be an object's key. Raises Invalid(bad_key, key_too_long)."""
    if len(text.encode("utf-8", "surrogatepass")) > KEY_BYTES_MAX:
        raise Invalid("key_too_long", f"A key has at most {KEY_BYTES_MAX} bytes.")
    if not text or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Invalid("bad_key", "A key is text in UTF-8, without the character 0.")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
