"""A tokenizer's files, as Hugging Face's libraries read them. It does not know how they make tokens."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from skerry_train.errors import BadData
from skerry_train.export.weights import as_json


def files_of(tokenizer_json: bytes, end: int | None, context_length: int) -> dict[str, bytes]:
    """Return a tokenizer's files by name. end: the token that ends a text; None if there is none."""
    config: dict[str, Any] = {
        # The class that takes everything from tokenizer.json and adds nothing of its own.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }
    if end is not None:
        text = Tokenizer.from_buffer(tokenizer_json).id_to_token(end)
        if text is None:
            raise BadData(f"the tokenizer has no token {end}, which is to end a text")
        config |= {"bos_token": text, "eos_token": text, "unk_token": text, "pad_token": text}
    special = {name: value for name, value in config.items() if name.endswith("_token")}
    return {
        "tokenizer.json": tokenizer_json,
        "tokenizer_config.json": as_json(config),
        "special_tokens_map.json": as_json(special),
    }
