"""The CRC of bytes that follow each other, from the CRCs of each. Pure.

To append n zero bits to a message multiplies its CRC, as a polynomial over GF(2), by x to the n
modulo the CRC's own polynomial; so the whole needs no byte again.
"""

import functools
from collections.abc import Sequence

from skerry.objects.model import Algorithm

# Bits reversed, as these checksums count them.
_POLYNOMIALS: dict[Algorithm, tuple[int, int]] = {
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}


def combined(algorithm: Algorithm, parts: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the CRC of all parts, given the CRC and the size in bytes of each."""
    width, _ = _POLYNOMIALS[algorithm]
    crc = 0
    for value, size in parts:
        crc = _times(algorithm, _zeros(algorithm, size), crc) ^ int.from_bytes(value, "big")
    return crc.to_bytes(width // 8, "big")


@functools.lru_cache(maxsize=1024)
def _zeros(algorithm: Algorithm, size: int) -> int:
    """Return x to the power of 8 * size, modulo the polynomial."""
    width, _ = _POLYNOMIALS[algorithm]
    one = 1 << (width - 1)
    result, power, bits = one, one >> 1, 8 * size
    while bits:
        if bits & 1:
            result = _times(algorithm, power, result)
        power = _times(algorithm, power, power)
        bits >>= 1
    return result


def _times(algorithm: Algorithm, a: int, b: int) -> int:
    """Return the product of two polynomials whose highest power is the lowest bit."""
    width, polynomial = _POLYNOMIALS[algorithm]
    product, bit = 0, 1 << (width - 1)
    while bit:
        if a & bit:
            product ^= b
        b = (b >> 1) ^ (polynomial if b & 1 else 0)
        bit >>= 1
    return product
