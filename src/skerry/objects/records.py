"""What the log says, and how it is framed. Pure. The format is in docs/formats.md.

A record holds all that is known of one thing now, or that it is gone: the last record of a thing
counts. So the index can be made anew by reading the log from its beginning to its end.
"""

import struct
from collections.abc import Sequence
from typing import TypeAlias, TypeVar, cast

import msgspec
from awscrt.checksums import crc64nvme
from msgspec import Struct

from skerry.objects.model import Bucket, Key, Part, Upload, User, Version

# magic, kind, size of what is said, size of the data, serial, checksum of the data, of all else
_HEAD = struct.Struct("<3scIQQQQ")
_MAGIC = b"SKL"
HEAD_BYTES = _HEAD.size
_ALIGNMENT = 8
_SAID_BYTES_MAX = 16 << 20  # 10,000 parts and their sizes take half a megabyte
DATA_BYTES_MAX = 64 << 20
_T = TypeVar("_T")
Buffer: TypeAlias = bytes | bytearray | memoryview


def crc_of(data: Buffer, before: int = 0) -> int:
    """Return the CRC-64/NVME of data, that follows what has the checksum `before`."""
    return crc64nvme(cast("bytes", data), before)  # it takes any buffer, but says otherwise


class BucketGone(Struct, frozen=True, array_like=True):
    """A bucket is no more."""

    number: int


class VersionGone(Struct, frozen=True, array_like=True):
    """A version is no more."""

    bucket: int
    key: str
    version_id: str


class UploadGone(Struct, frozen=True, array_like=True):
    """An upload is no more, and its parts neither."""

    upload_id: str


class UserGone(Struct, frozen=True, array_like=True):
    """A user is no more."""

    name: str


class KeyGone(Struct, frozen=True, array_like=True):
    """An access key is no more."""

    access_key: str


class Counters(Struct, frozen=True, array_like=True):
    """The highest numbers that were given out: what had them may be gone, and its records too."""

    sequence: int
    bucket: int


Record: TypeAlias = (
    Counters | Bucket | BucketGone | Version | VersionGone | Upload | UploadGone | Part
    | User | UserGone | Key | KeyGone
)  # fmt: skip

_KINDS: dict[type[Record], bytes] = {
    Bucket: b"B", BucketGone: b"b", Version: b"V", VersionGone: b"v", Upload: b"U",
    UploadGone: b"u", Part: b"P", Counters: b"N", User: b"I", UserGone: b"i", Key: b"K",
    KeyGone: b"k",
}  # fmt: skip
_encoder = msgspec.msgpack.Encoder()
_decoders = {kind: msgspec.msgpack.Decoder(shape) for shape, kind in _KINDS.items()}


class BadRecord(Exception):
    """What lies there is no whole record."""


class Framed(Struct, frozen=True):
    """A record as it lies in the log. said: its bytes. data_size: of the data after them.

    serial: its place in the order of all records. data: what was read of it, with its checksum.
    """

    record: Record
    said: bytes
    serial: int
    data_size: int
    data: Buffer = b""
    data_crc: int = 0

    @property
    def size(self) -> int:
        """The bytes that it takes in the log."""
        return framed_size(len(self.said), self.data_size)


def say(record: Record) -> bytes:
    """Return what a record says, as bytes; `hear` is the way back."""
    return _encoder.encode(record)


def hear(said: bytes, shape: type[_T]) -> _T:
    """Return what was said, a record of that shape."""
    return msgspec.msgpack.decode(said, type=shape)


def frame(
    record: Record, said: bytes, serial: int, data: Sequence[Buffer] = (), data_crc: int = 0
) -> list[Buffer]:
    """Return the pieces of a record, to be written one after another. data_crc: of all data."""
    data_size = sum(len(piece) for piece in data)
    kind = _KINDS[type(record)]
    crc = crc_of(said, crc_of(_HEAD.pack(_MAGIC, kind, len(said), data_size, serial, data_crc, 0)))
    head = _HEAD.pack(_MAGIC, kind, len(said), data_size, serial, data_crc, crc)
    padding = -(HEAD_BYTES + len(said) + data_size) % _ALIGNMENT
    return [head, said, *data, bytes(padding)]


def framed_size(said_size: int, data_size: int) -> int:
    """Return how many bytes such a record takes."""
    size = HEAD_BYTES + said_size + data_size
    return size + -size % _ALIGNMENT


def head_sizes(head: Buffer) -> tuple[int, int]:
    """Return the sizes of what is said and of the data, from a head. Raises BadRecord."""
    if len(head) < HEAD_BYTES:
        raise BadRecord("too short")
    magic, kind, said_size, data_size, *_ = _HEAD.unpack_from(head)
    is_known = magic == _MAGIC and kind in _decoders
    if not is_known or said_size > _SAID_BYTES_MAX or data_size > DATA_BYTES_MAX:
        raise BadRecord("no head")
    return said_size, data_size


def read(data: Buffer, *, with_data: bool) -> Framed:
    """Return the record that data begins with. Raises BadRecord where its checksums do not fit.

    with_data: its data is there too, and is checked.
    """
    said_size, data_size = head_sizes(data)
    _, kind, _, _, serial, data_crc, crc = _HEAD.unpack_from(data)
    begin = HEAD_BYTES + said_size
    said = bytes(data[HEAD_BYTES:begin])
    fields = _HEAD.pack(_MAGIC, kind, said_size, data_size, serial, data_crc, 0)
    if len(said) < said_size or crc_of(said, crc_of(fields)) != crc:
        raise BadRecord("what is said does not fit its checksum")
    found: Buffer = b""
    if with_data:
        found = data[begin : begin + data_size]
        if len(found) < data_size or crc_of(found) != data_crc:
            raise BadRecord("the data does not fit its checksum")
    try:
        return Framed(_decoders[kind].decode(said), said, serial, data_size, found, data_crc)
    except msgspec.DecodeError as error:
        raise BadRecord(str(error)) from error
