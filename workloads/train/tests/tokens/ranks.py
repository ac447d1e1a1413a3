"""A small set of byte-pair ranks for tests, as tiktoken keeps them."""

from __future__ import annotations

import functools
from itertools import pairwise

TEXT = (
    "every effort moves you, and the effort that moves me moves the other efforts too. 12 34 été\n"
    * 3
)
END_TEXT = "<|endoftext|>"
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


@functools.cache
def ranks(count: int = 300) -> dict[bytes, int]:
    """Return ranks of all bytes and of the pairs that come up most, the simplest way there is."""
    known = {bytes([byte]): byte for byte in range(256)}
    words = [
        [bytes([byte]) for byte in word.encode()] for word in TEXT.replace(" ", "| ").split("|")
    ]
    while len(known) < count:
        counts: dict[tuple[bytes, bytes], int] = {}
        for word in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        left, right = max(counts, key=lambda pair: (counts[pair], pair))
        known[left + right] = len(known)
        for word in words:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == (left, right):
                    word[place : place + 2] = [left + right]
                place += 1
    return known
