"""A tokenizer comes out of its ranks the same, and Hugging Face's libraries read it."""

from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from skerry_train.errors import BadData
from skerry_train.export import tokenizer_files, write_folder
from skerry_train.tokens import from_ranks, size_of
from tests.tokens.ranks import END_TEXT, PATTERN, TEXT, ranks

OURS = tiktoken.Encoding(
    "small", pat_str=PATTERN, mergeable_ranks=ranks(), special_tokens={END_TEXT: 300}
)
THEIRS = Tokenizer.from_buffer(from_ranks(ranks(), END_TEXT, 300))


@given(
    st.text()
    | st.text(alphabet="every fort mvsu,'12é\n\t ")
    | st.sampled_from([TEXT, "  a  ", "don't"])
)
def test_text_becomes_the_same_tokens_and_comes_back(text: str) -> None:
    if END_TEXT in text:
        return

    assert THEIRS.encode(text).ids == OURS.encode_ordinary(text)
    assert THEIRS.decode(THEIRS.encode(text).ids) == text


def test_the_end_is_one_token() -> None:
    assert THEIRS.encode(f"you{END_TEXT}me").ids == OURS.encode(
        f"you{END_TEXT}me", allowed_special="all"
    )


def test_hugging_face_reads_the_files(tmp_path: Path) -> None:
    made = from_ranks(ranks(), END_TEXT, 300)
    write_folder(tmp_path / "t", tokenizer_files(made, 300, 64))

    theirs = AutoTokenizer.from_pretrained(tmp_path / "t")

    assert theirs(TEXT).input_ids == OURS.encode_ordinary(TEXT)
    assert theirs.decode(OURS.encode_ordinary(TEXT)) == TEXT
    assert (theirs.eos_token_id, theirs.bos_token_id, theirs.model_max_length) == (300, 300, 64)
    assert (len(theirs), size_of(made)) == (301, 301)


def test_ranks_with_a_hole_are_told() -> None:
    broken = {token: rank for token, rank in ranks().items() if rank != 260}

    with pytest.raises(BadData):
        from_ranks(broken, END_TEXT, 300)


def test_an_end_that_the_tokenizer_has_not_is_told() -> None:
    with pytest.raises(BadData, match="no token 999"):
        tokenizer_files(from_ranks(ranks(), END_TEXT, 300), 999, 64)
