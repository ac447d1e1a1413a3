"""A tokenizer for tests: one token for each of the first letters of Unicode."""

from __future__ import annotations

from collections.abc import Sequence


class Letters:
    """Text to code points and back; 199 ends a text."""

    eot = 199
    vocab_size = 200

    def encode(self, text: str) -> list[int]:
        return [min(ord(letter), 198) for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))
