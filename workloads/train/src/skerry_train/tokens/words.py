"""A tokenizer: text to tokens and back.

Whatever it was made from, it is kept as Hugging Face's `tokenizer.json`. It does not know what is done
with the tokens.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel

from skerry_train.errors import BadData
from skerry_train.tokens.vocabulary import END, from_ranks, like_gpt2

FILE = "tokenizer.json"
_FILE_BYTES_MAX = 64 << 20

# GPT-2's ranks, as tiktoken knows them by the name r50k_base, and how many there are.
GPT2_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"
GPT2_RANKS = 50256


@dataclass(frozen=True)
class Words:
    """A tokenizer. eot: the token that ends a text."""

    tokenizer: Tokenizer
    eot: int

    @property
    def vocab_size(self) -> int:
        """Return how many tokens there are."""
        return self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens."""
        return self.tokenizer.encode(text).ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's tokens, made on all cores."""
        return [each.ids for each in self.tokenizer.encode_batch_fast(list(texts))]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that tokens stand for."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    def as_json(self) -> bytes:
        """Return it as Hugging Face's libraries read it."""
        return self.tokenizer.to_str().encode()


def load_words(path: Path) -> Words:
    """Read a tokenizer: `tokenizer.json`, a folder that holds one, or a file of ranks as tiktoken's.

    Raises BadData if it can not be read.
    """
    file = path / FILE if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadData(
            f"{file} can not be read ({error.strerror}); name a tokenizer by --tokenizer"
        ) from None
    if len(data) > _FILE_BYTES_MAX:
        raise BadData(f"{file} is larger than {_FILE_BYTES_MAX >> 20} MiB; is it a tokenizer?")
    return parse_words(data, str(file))


def parse_words(data: bytes, name: str) -> Words:
    """Make a tokenizer of a file's content. name: what errors call it."""
    try:
        made = data if data.lstrip()[:1] == b"{" else _from_ranks(data)
        tokenizer = Tokenizer.from_buffer(made)
    except BadData:
        raise
    except Exception as error:  # noqa: BLE001 - what the library raises has no name of its own
        raise BadData(f"{name} is no tokenizer: {error}") from None
    end = tokenizer.token_to_id(END)
    if end is None:
        raise BadData(f"{name} has no token {END}, which ends a text")
    return Words(tokenizer, end)


def load_gpt2(path: Path) -> Words:
    """Read GPT-2's own ranks. Raises BadData if the file is not bit for bit the one that OpenAI gave out."""
    if not path.is_file():
        raise BadData(
            f"there is no {path}; `scripts/gpt2-ranks` gets it, or make an own tokenizer with"
            " --tokenizer bpe"
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != GPT2_SHA256:
        raise BadData(f"{path} does not hold GPT-2's ranks; get it again with `scripts/gpt2-ranks`")
    return parse_words(data, str(path))


def learn_words(texts: Iterable[str], vocab_size: int) -> Words:
    """Make a byte-level tokenizer for texts like these, of at most so many tokens.

    The same texts give the same one. Any text can be told with it.
    """
    letters = ByteLevel.alphabet()
    if vocab_size < len(letters) + 1:
        raise BadData(
            f"a vocabulary of {vocab_size} has no room for {len(letters)} bytes and {END}"
        )
    tokenizer = like_gpt2(Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END],
        initial_alphabet=sorted(letters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer)
    end = tokenizer.token_to_id(END)
    assert end is not None, "the trainer was told of it"
    return Words(tokenizer, end)


def _from_ranks(data: bytes) -> bytes:
    """Return the tokenizer of tiktoken's ranks: a line for each, its bytes in base 64 and its number."""
    pairs = (line.split() for line in data.splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return from_ranks(ranks, END, len(ranks))
