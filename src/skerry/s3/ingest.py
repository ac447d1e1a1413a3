"""Taking in the bytes of an object: decoded, counted, hashed, and put where they will lie.

Small ones stay in memory and become part of a record; big ones are written to a file as they come,
in a thread, while the next piece is on its way.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from awscrt import checksums

from skerry.base import Invalid, TooLarge
from skerry.objects.context import INLINE_BYTES_MAX
from skerry.objects.model import Algorithm, Checksum, Piece
from skerry.objects.packages import pack, plain_size
from skerry.objects.reading import opened_blocks
from skerry.objects.records import crc_of
from skerry.objects.sealing import SealedFile, scratch
from skerry.objects.uploads import Known
from skerry.objects.versions import Content
from skerry.s3.chunks import Chain, Chunks
from skerry.s3.signature import (
    STREAMING,
    STREAMING_TRAILER,
    UNSIGNED,
    UNSIGNED_TRAILER,
    signing_key,
)
from skerry.s3.xml_in import BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from skerry.objects import Objects, Row
    from skerry.objects.blocks import FileWriter
    from skerry.objects.records import Buffer
    from skerry.objects.sealing import Sealing
    from skerry.s3.call import Call

_A = TypeVar("_A")
_T = TypeVar("_T")

ALGORITHMS: dict[str, Algorithm] = {
    "crc32": "CRC32", "crc32c": "CRC32C", "crc64nvme": "CRC64NVME", "sha1": "SHA1",
    "sha256": "SHA256",
}  # fmt: skip
_SIZES: dict[Algorithm, int] = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
_HOP_BYTES = 1 << 20  # what a thread takes at once; less is hashed here
_HERE_BYTES = 64 << 10


class Digest(Protocol):
    """A checksum that is being made."""

    def update(self, data: bytes, /) -> None:
        """Take in data."""
        ...

    def digest(self) -> bytes:
        """Return the checksum."""
        ...


class _Crc:
    def __init__(self, algorithm: Algorithm) -> None:
        self._size = _SIZES[algorithm]
        self._function = {
            "CRC32": zlib.crc32, "CRC32C": checksums.crc32c, "CRC64NVME": checksums.crc64nvme,
        }[algorithm]  # fmt: skip
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def digest_of(algorithm: Algorithm) -> Digest:
    """Begin a checksum."""
    if algorithm == "SHA1":
        return hashlib.sha1(usedforsecurity=False)
    if algorithm == "SHA256":
        return hashlib.sha256()
    return _Crc(algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a client says of the bytes. sha256: in hexadecimal.

    algorithm: of a checksum that is sent, or comes as that trailer, or is to be made. checksum: None
    if it is not said yet. size_min: where the size is not known, and `size` is the most.
    """

    size: int
    md5: bytes | None = None
    sha256: str | None = None
    algorithm: Algorithm | None = None
    checksum: bytes | None = None
    trailer: str | None = None
    size_min: int | None = None


@dataclass(slots=True)
class Taken:
    """The bytes of an object, taken in. data: where they are not in a file.

    md5: or what is told in its place. sealing: by which they are encrypted, None if they are not.
    """

    piece: Piece
    data: list[bytes]
    md5: bytes
    checksum: Checksum | None
    sealing: Sealing | None = None

    def known(self) -> Known:
        """Return what is known of it as a part."""
        return Known(self.checksum, self.sealing.salt if self.sealing is not None else b"")

    def content(self) -> Content:
        """Return it as the content of a version."""
        size = self.piece.size if self.sealing is None else plain_size(self.piece.size)
        return Content(
            size=size, etag=self.md5.hex(), data=self.data, piece=self.piece,
            checksum=self.checksum, sealed=self.sealing.said if self.sealing is not None else b"",
        )  # fmt: skip


@dataclass(slots=True)
class _Hashes:
    md5: Digest = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    sha256: Digest | None = None
    checksum: Digest | None = None

    def update(self, data: bytes) -> None:
        self.md5.update(data)
        if self.sha256 is not None:
            self.sha256.update(data)
        if self.checksum is not None:
            self.checksum.update(data)


def _hashes(expected: Expected) -> _Hashes:
    return _Hashes(
        sha256=hashlib.sha256() if expected.sha256 else None,
        checksum=digest_of(expected.algorithm) if expected.algorithm else None,
    )


async def take(
    objects: Objects,
    body: AsyncIterator[bytes],
    expected: Expected,
    chunks: Chunks | None,
    sealing: Sealing | None = None,
) -> Taken:
    """Take in a body; what is too big for memory is in a file that is kept, or gone if this raises.

    chunks: decodes it, where it is encoded. sealing: encrypts it. Raises Invalid(body_size, bad_digest,
    content_mismatch, bad_chunk, request_timeout), Denied(signature_mismatch), and as writing does.
    """
    hashes = _hashes(expected)
    if expected.size <= INLINE_BYTES_MAX:
        data = await _in_memory(objects, body, expected, chunks, hashes)
        checksum = _checked(expected, hashes, chunks)
        return await _small(objects, data, hashes, checksum, sealing)
    file = scratch(objects, sealing)
    try:
        await _into_file(objects, body, expected, chunks, hashes, file)
        checksum = _checked(expected, hashes, chunks)
        piece = await _hop(objects, file.keep, objects.new_file_id())
    except BaseException:
        file.discard()
        raise
    return _taken(piece, [], hashes, checksum, sealing)


async def _in_memory(
    objects: Objects,
    body: AsyncIterator[bytes],
    expected: Expected,
    chunks: Chunks | None,
    hashes: _Hashes,
) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for each in _decoded(body, chunks):
        size += len(each)
        _check_size(size, expected, is_end=False)
        pieces.append(each)
    _check_size(size, expected, is_end=True)
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if size <= _HERE_BYTES:
        hashes.update(data)
    else:
        await _hop(objects, hashes.update, data)
    return data


async def _into_file(
    objects: Objects,
    body: AsyncIterator[bytes],
    expected: Expected,
    chunks: Chunks | None,
    hashes: _Hashes,
    file: FileWriter | SealedFile,
) -> None:
    def work(data: bytes) -> None:
        hashes.update(data)
        file.write(data)

    size = 0
    waiting: list[bytes] = []
    waiting_bytes = 0
    working: asyncio.Future[None] | None = None
    try:
        async for each in _decoded(body, chunks):
            size += len(each)
            _check_size(size, expected, is_end=False)
            waiting.append(each)
            waiting_bytes += len(each)
            if waiting_bytes >= _HOP_BYTES:
                if working is not None:
                    await working
                working = _hop(objects, work, b"".join(waiting))
                waiting, waiting_bytes = [], 0
        _check_size(size, expected, is_end=True)
    finally:
        if working is not None:
            await asyncio.wait([working])
    if working is not None:
        working.result()
    if waiting:
        await _hop(objects, work, b"".join(waiting))


async def _decoded(body: AsyncIterator[bytes], chunks: Chunks | None) -> AsyncIterator[bytes]:
    async for piece in body:
        if chunks is None:
            yield piece
            continue
        for each in chunks.feed(piece):
            yield each
    if chunks is not None and not chunks.done:
        raise Invalid("body_size", "The body ended before its last chunk.")


def _check_size(size: int, expected: Expected, *, is_end: bool) -> None:
    if expected.size_min is not None:
        if size > expected.size:
            raise Invalid("too_large", f"The file may have at most {expected.size} bytes.")
        if is_end and size < expected.size_min:
            raise Invalid("part_too_small", f"The file has at least {expected.size_min} bytes.")
        return
    if size > expected.size or (is_end and size < expected.size):
        raise Invalid("body_size", "The body is longer or shorter than the request says.")


def _checked(expected: Expected, hashes: _Hashes, chunks: Chunks | None) -> Checksum | None:
    """Return the checksum of the bytes, if it is asked for; all that is said of them holds."""
    if expected.md5 is not None and not hmac.compare_digest(expected.md5, hashes.md5.digest()):
        raise Invalid("bad_digest", "The body does not fit its Content-MD5.")
    if expected.sha256 and not _fits(hashes.sha256, expected.sha256):
        raise Invalid("content_mismatch", "The body does not fit x-amz-content-sha256.")
    if expected.algorithm is None or hashes.checksum is None:
        return None
    found, said = hashes.checksum.digest(), expected.checksum
    if expected.trailer is not None:
        text = chunks.trailers.get(expected.trailer) if chunks is not None else None
        if text is None:
            raise Invalid("bad_checksum", f"The trailer {expected.trailer} is missing.")
        said = checksum_value(expected.algorithm, text)
    if said is not None and not hmac.compare_digest(said, found):
        raise Invalid("bad_digest", f"The body does not fit its checksum {expected.algorithm}.")
    return Checksum(expected.algorithm, found)


def _fits(digest: Digest | None, said: str) -> bool:
    return digest is not None and hmac.compare_digest(digest.digest().hex(), said)


def checksum_value(algorithm: Algorithm, text: str) -> bytes:
    """Return the bytes of a checksum that is said in base 64. Raises Invalid(bad_checksum)."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != _SIZES[algorithm]:
        raise Invalid("bad_checksum", f"That is no checksum {algorithm}, in base 64.")
    return value


def md5_value(headers: Mapping[str, str]) -> bytes | None:
    """Return what Content-MD5 says, None if there is none. Raises Invalid(bad_md5)."""
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:
        raise Invalid("bad_md5", "Content-MD5 is the MD5 of the body, in base 64.")
    return value


async def copy_in(
    objects: Objects,
    row: Row,
    begin: int,
    size: int,
    like: Checksum | None,
    opened: Sealing | None = None,
    sealing: Sealing | None = None,
) -> Taken:
    """Take in a range of a version's bytes. like: a checksum of that algorithm is made.

    opened: of that version, if it is encrypted. sealing: encrypts what is taken. Raises Failed(data_unreadable, data_changed), and as writing does.
    """
    algorithm = like.algorithm if like is not None else None
    hashes = _hashes(Expected(size=size, algorithm=algorithm))
    with opened_blocks(objects, row, begin, size, opened) as blocks:
        if size <= INLINE_BYTES_MAX:
            data = await _hop(objects, b"".join, blocks)
            await _hop(objects, hashes.update, data)
            return await _small(objects, data, hashes, _sum(hashes, algorithm), sealing)
        file = scratch(objects, sealing)

        def work(each: Buffer) -> None:
            hashes.update(bytes(each))
            file.write(each)

        try:
            while (each := await _hop(objects, _next_of, blocks)) is not None:
                await _hop(objects, work, each)
            piece = await _hop(objects, file.keep, objects.new_file_id())
        except BaseException:
            file.discard()
            raise
    return _taken(piece, [], hashes, _sum(hashes, algorithm), sealing)


def _next_of(blocks: Iterator[Buffer]) -> Buffer | None:
    return next(blocks, None)


def _sum(hashes: _Hashes, algorithm: Algorithm | None) -> Checksum | None:
    if algorithm is None or hashes.checksum is None:
        return None
    return Checksum(algorithm, hashes.checksum.digest())


async def _small(
    objects: Objects, data: bytes, hashes: _Hashes, checksum: Checksum | None,
    sealing: Sealing | None,
) -> Taken:  # fmt: skip
    if sealing is not None and len(data) <= _HERE_BYTES:
        data = pack(sealing.key, data)
    elif sealing is not None:
        data = await _hop(objects, functools.partial(pack, sealing.key), data)
    piece = Piece(len(data), crc_of(data))
    return _taken(piece, [data] if data else [], hashes, checksum, sealing)


def _taken(
    piece: Piece, data: list[bytes], hashes: _Hashes, checksum: Checksum | None,
    sealing: Sealing | None,
) -> Taken:  # fmt: skip
    md5 = hashes.md5.digest()
    etag = md5 if sealing is None else sealing.etag(md5)
    return Taken(piece, data, etag, checksum, sealing)


async def read_small(call: Call, *, needs_digest: bool = False) -> bytes:
    """Return a body that is a document, of at most `xml_in.BYTES_MAX`.

    needs_digest: it must come with Content-MD5 or a checksum. Raises TooLarge, and as `take` does.
    """
    expected, chunks = expectations(call)
    if expected.size > BYTES_MAX:
        raise TooLarge("document_too_large", f"A document has at most {BYTES_MAX} bytes.")
    hashes = _hashes(expected)
    data = await _in_memory(call.objects, call.request.body.pieces(), expected, chunks, hashes)
    _checked(expected, hashes, chunks)
    if needs_digest and expected.md5 is None and expected.algorithm is None:
        raise Invalid("bad_checksum", "Send Content-MD5 or a checksum of the body.")
    return data


def expectations(call: Call) -> tuple[Expected, Chunks | None]:
    """Return what a request says of its body, and what decodes that, if it is encoded.

    Raises Invalid(no_length, bad_md5, bad_checksum, body_size).
    """
    headers = call.request.headers
    algorithm, checksum, trailer = _checksum_said(headers)
    payload = call.claim.payload if call.claim else _unclaimed_payload(headers)
    is_chunked = payload in (STREAMING, STREAMING_TRAILER, UNSIGNED_TRAILER)
    size = call.request.size
    chunks: Chunks | None = None
    if is_chunked:
        text = headers.get("x-amz-decoded-content-length", "")
        size = int(text) if text.isdecimal() and len(text) < 20 else None
        if size is not None:
            has_trailers = payload != STREAMING
            chain = _chain(call) if payload != UNSIGNED_TRAILER else None
            chunks = Chunks(chain, size, has_trailers=has_trailers)
    if size is None:
        raise Invalid(
            "no_length", "Send Content-Length or, with chunks, x-amz-decoded-content-length."
        )
    if trailer is not None and (chunks is None or payload == STREAMING):
        raise Invalid(
            "bad_checksum", "A checksum as a trailer needs a body in chunks with trailers."
        )
    return (
        Expected(
            size=size, md5=md5_value(headers), sha256=payload if len(payload) == 64 else None,
            algorithm=algorithm, checksum=checksum, trailer=trailer,
            size_min=call.request.size_min,
        ),
        chunks,
    )  # fmt: skip


def _unclaimed_payload(headers: Mapping[str, str]) -> str:
    """Return how a body that nobody signed is sent. PyArrow says of chunks only that they are."""
    is_chunked = "aws-chunked" in headers.get("content-encoding", "")
    return headers.get("x-amz-content-sha256", UNSIGNED_TRAILER if is_chunked else UNSIGNED)


def _chain(call: Call) -> Chain:
    claim = call.claim
    if claim is None:
        raise Invalid("bad_chunk", "Signed chunks need a signed request.")
    key = signing_key(call.secret, claim.date, claim.region, claim.service)
    return Chain(key, claim.moment, claim.scope, claim.signature)


def _checksum_said(
    headers: Mapping[str, str],
) -> tuple[Algorithm | None, bytes | None, str | None]:
    """Return algorithm, value and trailer of the checksum that a request has or wants."""
    said = [name for name in ALGORITHMS if f"x-amz-checksum-{name}" in headers]
    if len(said) > 1:
        raise Invalid("bad_checksum", "Send one checksum.")
    if said:
        algorithm = ALGORITHMS[said[0]]
        return algorithm, checksum_value(algorithm, headers[f"x-amz-checksum-{said[0]}"]), None
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    if trailer:
        algorithm = ALGORITHMS.get(trailer.removeprefix("x-amz-checksum-"))
        if algorithm is None:
            raise Invalid("bad_checksum", "x-amz-trailer names a checksum.")
        return algorithm, None, trailer
    return wanted_algorithm(headers), None, None


def wanted_algorithm(headers: Mapping[str, str]) -> Algorithm | None:
    """Return of which checksum a request wants one, beside those that it sends. Raises Invalid."""
    wanted = headers.get("x-amz-sdk-checksum-algorithm") or headers.get("x-amz-checksum-algorithm")
    if not wanted:
        return None
    algorithm = ALGORITHMS.get(wanted.lower())
    if algorithm is None:
        raise Invalid("bad_checksum", f"There is no checksum {wanted[:20]!r}.")
    return algorithm


def _hop(objects: Objects, work: Callable[[_A], _T], value: _A) -> asyncio.Future[_T]:
    return asyncio.get_running_loop().run_in_executor(objects.threads, work, value)
