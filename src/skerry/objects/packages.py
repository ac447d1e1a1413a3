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

    def update(self, data: bytes | bytearray | memoryview) -> bytearray:
        """Take data in; return the packages that are whole and have another one after them."""
        self._waiting += data
        count = (len(self._waiting) - 1) // PACKAGE_BYTES if self._waiting else 0
        made = bytearray(count * _WHOLE_BYTES)
        with memoryview(self._waiting) as waiting, memoryview(made) as room:
            for index in range(count):
                plain = waiting[index * PACKAGE_BYTES : (index + 1) * PACKAGE_BYTES]
                into = room[index * _WHOLE_BYTES : (index + 1) * _WHOLE_BYTES]
                nonce = _nonce(self._number + index, is_last=False)
                with plain, into:
                    self._cipher.encrypt_into(nonce, plain, None, into)
        self._number += count
        del self._waiting[: count * PACKAGE_BYTES]
        return made

    def end(self) -> bytes:
        """Return the last package; there is none of no bytes."""
        if not self._waiting:
            return b""
        return self._cipher.encrypt(_nonce(self._number, is_last=True), self._waiting, None)


def pack(key: bytes, data: bytes) -> bytes:
    """Return all of data in packages."""
    packer = Packer(key)
    return b"".join((packer.update(data), packer.end()))


def unpack(
    key: bytes,
    size: int,
    offset: int,
    count: int,
    read: Callable[[int, int], Iterator[bytes | bytearray | memoryview]],
) -> Iterator[memoryview]:
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
        is_end = begin + len(waiting) >= size
        packages = -(-len(waiting) // _WHOLE_BYTES) if is_end else len(waiting) // _WHOLE_BYTES
        if not packages:
            continue
        packed = min(len(waiting), packages * _WHOLE_BYTES)
        plain = _unpacked(cipher, number, packages, waiting, packed, is_end=is_end)
        at = number * PACKAGE_BYTES
        yield memoryview(plain)[max(0, offset - at) : offset + count - at]
        del waiting[:packed]
        number, begin = number + packages, begin + packed
    if number < end:
        raise BadPackage(f"package {number} is not there")


def _unpacked(
    cipher: AESGCM, number: int, count: int, packages: bytearray, size: int, *, is_end: bool
) -> bytearray:
    """Return what the first bytes of packages hold. number: of the first one."""
    made = bytearray(size - count * TAG_BYTES)
    with memoryview(packages) as packed, memoryview(made) as room:
        for index in range(count):
            nonce = _nonce(number + index, is_last=is_end and index == count - 1)
            begin = index * _WHOLE_BYTES
            data = packed[begin : min(size, begin + _WHOLE_BYTES)]
            into = room[index * PACKAGE_BYTES : (index + 1) * PACKAGE_BYTES]
            with data, into:
                try:
                    cipher.decrypt_into(nonce, data, None, into)
                except InvalidTag:
                    raise BadPackage(f"package {number + index}") from None
    return made


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
