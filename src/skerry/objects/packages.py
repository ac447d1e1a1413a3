"""Encrypted bytes: packages one after another, of which a range is read without the rest. Pure.

Each package is encrypted by itself with AES-256-GCM. Its nonce is its number and whether it is the
last, as in STREAM (Hoang and others, 2015), so that packages which are missing, moved or added are
noticed as well as bytes that have changed. A key is used for one sequence of packages only.
"""

from collections.abc import Callable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PACKAGE_BYTES = 64 << 10  # small ranges cost little, and tags 0.02 % of the room
TAG_BYTES = 16
_WHOLE_BYTES = PACKAGE_BYTES + TAG_BYTES


class BadPackage(Exception):
    """What lies there is not what was encrypted with that key."""


def plain_size(size: int) -> int:
    """Return how many bytes were encrypted, from how many there are of packages."""
    return size - -(-size // _WHOLE_BYTES) * TAG_BYTES


class Packer:
    """Encrypts bytes as they come."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0
        self._waiting = bytearray()

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take data in; return the packages that are whole and have another one after them."""
        self._waiting += data
        made: list[bytes] = []
        at = 0
        with memoryview(self._waiting) as waiting:
            while len(waiting) - at > PACKAGE_BYTES:
                made.append(self._packed(waiting[at : at + PACKAGE_BYTES], is_last=False))
                at += PACKAGE_BYTES
        del self._waiting[:at]
        return b"".join(made)

    def end(self) -> bytes:
        """Return the last package; there is none of no bytes."""
        return self._packed(self._waiting, is_last=True) if self._waiting else b""

    def _packed(self, data: bytearray | memoryview, *, is_last: bool) -> bytes:
        packed = self._cipher.encrypt(_nonce(self._number, is_last=is_last), data, None)
        self._number += 1
        return packed


def pack(key: bytes, data: bytes) -> bytes:
    """Return all of data in packages."""
    packer = Packer(key)
    return packer.update(data) + packer.end()


def unpack(
    key: bytes,
    size: int,
    offset: int,
    count: int,
    read: Callable[[int, int], Iterator[bytes | bytearray | memoryview]],
) -> Iterator[bytes]:
    """Yield a range of what was encrypted. size: of all packages.

    read: yields the bytes of packages, from an offset on, so many. Raises BadPackage.
    """
    if count == 0:
        return
    if 0 < size % _WHOLE_BYTES <= TAG_BYTES:
        raise BadPackage("the last package is no more than a tag")
    cipher = AESGCM(key)
    number, end = offset // PACKAGE_BYTES, -(-(offset + count) // PACKAGE_BYTES)
    begin, waiting = number * _WHOLE_BYTES, bytearray()
    for block in read(begin, min(end * _WHOLE_BYTES, size) - begin):
        waiting += block
        made: list[bytes] = []
        while waiting and len(waiting) >= min(_WHOLE_BYTES, size - number * _WHOLE_BYTES):
            nonce = _nonce(number, is_last=size <= (number + 1) * _WHOLE_BYTES)
            try:
                plain = cipher.decrypt(nonce, bytes(waiting[:_WHOLE_BYTES]), None)
            except InvalidTag:
                raise BadPackage(f"package {number}") from None
            del waiting[:_WHOLE_BYTES]
            at = number * PACKAGE_BYTES
            made.append(plain[max(0, offset - at) : offset + count - at])
            number += 1
        if made:
            yield b"".join(made)
    if number < end:
        raise BadPackage(f"package {number} is not there")


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
