"""Text and tokens: tokenizers, and data sets made of text.

Words: `Words` is a tokenizer, as it is used; a **document** is what a token of its own ends; a **piece**
is a part of one that is held at a time.
"""

from skerry_train.tokens.documents import SUFFIXES, find_files
from skerry_train.tokens.prepare import Wish, learn, prepare
from skerry_train.tokens.vocabulary import END, from_ranks, read_hub_tokenizer, size_of
from skerry_train.tokens.words import FILE, Words, learn_words, load_gpt2, load_words, parse_words

__all__ = [
    "END",
    "FILE",
    "SUFFIXES",
    "Wish",
    "Words",
    "find_files",
    "from_ranks",
    "learn",
    "learn_words",
    "load_gpt2",
    "load_words",
    "parse_words",
    "prepare",
    "read_hub_tokenizer",
    "size_of",
]
