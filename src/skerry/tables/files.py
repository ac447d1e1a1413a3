"""The catalogue's own files: objects in the warehouse, written once, read whole."""

from __future__ import annotations

import asyncio
import hashlib
import zlib

from skerry.base import Invalid, NotFound, TooLarge
from skerry.objects import reading, versions
from skerry.objects.context import INLINE_BYTES_MAX
from skerry.objects.model import Bucket, Piece, Version
from skerry.objects.packages import pack
from skerry.objects.records import crc_of
from skerry.objects.sealing import Sealing, default_sealing, scratch, unseal
from skerry.objects.versions import Content, Told
from skerry.tables.context import Tables

_GZIP_END = ".gz.metadata.json"
_TOLD = Told(headers={"content-type": "application/json"})


async def read(tables: Tables, bucket: Bucket, key: str, bytes_max: int) -> bytes:
    """Return the bytes of an object. Raises NotFound(no_such_file), TooLarge, and as reading does."""
    try:
        row = versions.find(tables.objects, bucket, key)
    except NotFound:
        row = None
    if row is None or row.version.is_marker:
        raise NotFound("no_such_file", f"The file s3://{bucket.name}/{key} is not there.")
    size = row.version.size
    if size > bytes_max:
        raise TooLarge("file_too_large", f"A file of that kind has at most {bytes_max} bytes.")
    sealing = unseal(tables.objects, bucket.name, key, row.version.sealed, None)
    body = await reading.open_range(tables.objects, row, 0, size, sealing)
    if isinstance(body, bytes):
        return body
    return b"".join([bytes(piece) async for piece in body])


async def read_metadata(tables: Tables, bucket: Bucket, key: str, bytes_max: int) -> bytes:
    """Return a metadata file, inflated if it is compressed. Raises as `read`, and Invalid."""
    data = await read(tables, bucket, key, bytes_max)
    if not key.endswith(_GZIP_END):
        return data
    return await tables.think(lambda: _inflated(data, bytes_max))


async def write(tables: Tables, bucket: Bucket, key: str, data: bytes) -> Version:
    """Put an object, which is on disk when this returns. Raises as writing does."""
    content = await asyncio.get_running_loop().run_in_executor(
        tables.objects.threads, _content, tables, data,
        default_sealing(tables.objects, bucket, key),
    )  # fmt: skip
    return await versions.put(tables.objects, bucket.name, key, content, _TOLD)


def _content(tables: Tables, data: bytes, sealing: Sealing | None) -> Content:
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    size, sealed = len(data), sealing.said if sealing is not None else b""
    if size <= INLINE_BYTES_MAX:
        kept = data if sealing is None else pack(sealing.key, data)
        piece = Piece(len(kept), crc_of(kept))
        return Content(size=size, etag=etag, data=[kept], piece=piece, sealed=sealed)
    file = scratch(tables.objects, sealing)
    try:
        file.write(data)
        piece = file.keep(tables.objects.new_file_id())
    except BaseException:
        file.discard()
        raise
    return Content(size=size, etag=etag, piece=piece, sealed=sealed)


def _inflated(data: bytes, bytes_max: int) -> bytes:
    inflating = zlib.decompressobj(wbits=31)
    try:
        whole = inflating.decompress(data, bytes_max)
    except zlib.error:
        raise Invalid("bad_metadata", "The metadata file is not what its name says.") from None
    if inflating.unconsumed_tail:
        raise TooLarge("file_too_large", f"A file of that kind has at most {bytes_max} bytes.")
    return whole
