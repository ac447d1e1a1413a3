"""A tokenizer as Hugging Face's libraries read it: `tokenizer.json` and what goes with it.

Ranks, as tiktoken keeps them, say only in which order pairs are joined; `tokenizer.json` wants every
pair. Both make the same tokens of a text. It does not know where ranks come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from skerry_train.errors import BadData

END = "<|endoftext|>"


def from_ranks(ranks: Mapping[bytes, int], end_text: str, end: int) -> bytes:
    """Return the `tokenizer.json` of GPT-2's kind of byte-pair ranks.

    end_text, end: the token that ends a text, as it is written and its number. The split into words is
    GPT-2's. Raises BadData if a token can not be joined from two of lower rank.
    """
    letters = _letters()
    names = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges: list[tuple[str, str]] = []
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1:
            left, right = _joined_from(token, ranks)
            merges.append((names[left], names[right]))
    tokenizer = Tokenizer(
        BPE(vocab={names[token]: rank for token, rank in ranks.items()}, merges=merges)
    )
    like_gpt2(tokenizer, end_text)
    if tokenizer.token_to_id(end_text) != end:
        raise BadData(
            f"the ranks have no place for {end_text} as token {end}, but as {tokenizer.token_to_id(end_text)}"
        )
    return tokenizer.to_str(pretty=False).encode()


def read_hub_tokenizer(folder: Path) -> bytes | None:
    """Return the `tokenizer.json` of a folder, or one made of its vocab.json and merges.txt; None if it has none.

    Raises BadData if it is damaged.
    """
    whole, vocab, merges = (
        folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt")
    )
    try:
        if whole.exists():
            return Tokenizer.from_buffer(whole.read_bytes()).to_str().encode()
        if not (vocab.exists() and merges.exists()):
            return None
        tokenizer = Tokenizer(BPE.from_file(str(vocab), str(merges)))
    except Exception as error:  # noqa: BLE001 - what the library raises has no name of its own
        raise BadData(f"the tokenizer in {folder} can not be read: {error}") from None
    return like_gpt2(tokenizer, END).to_str().encode()


def size_of(tokenizer_json: bytes) -> int:
    """Return how many tokens there are."""
    document = cast("dict[str, Any]", json.loads(tokenizer_json))
    added = [token["id"] for token in document.get("added_tokens", [])]
    return max([*document["model"]["vocab"].values(), *added], default=-1) + 1


def like_gpt2(tokenizer: Tokenizer, end_text: str = END) -> Tokenizer:
    """Have a tokenizer split text as GPT-2 does, and know the token that ends one."""
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(end_text, special=True, normalized=False)])
    return tokenizer


def _joined_from(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two tokens that are joined last where the token itself is not known yet."""
    parts = [bytes([byte]) for byte in token]
    limit = ranks[token]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], limit))
        if ranks.get(parts[best] + parts[best + 1], limit) >= limit:
            break
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    if len(parts) != 2 or not all(part in ranks for part in parts):
        raise BadData(
            f"the ranks have a token {token!r} that no two others make; is the file whole?"
        )
    return parts[0], parts[1]


def _letters() -> dict[int, str]:
    """Return the letter that stands for each byte: itself where it can be seen, else one from 256 on.

    Source: OpenAI's GPT-2, encoder.py, bytes_to_unicode.
    """
    seen = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }
