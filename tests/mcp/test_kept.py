"""Output that is kept up to a size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.mcp.kept import Kept


def kept(size_max: int, *pieces: bytes) -> Kept:
    """Return what is kept of pieces."""
    found = Kept(size_max)
    for piece in pieces:
        found.add(piece)
    return found


def test_what_fits_is_kept_whole() -> None:
    found = kept(10, b"01234", b"56789")

    assert (found.text(), found.cut_bytes) == ("0123456789", 0)


def test_of_more_the_middle_is_left_out_and_a_line_says_so() -> None:
    found = kept(10, b"0123456789abcdef")

    assert found.text() == "01234\n[... 6 of 16 bytes are left out here ...]\nbcdef"
    assert found.cut_bytes == 6


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("offset", range(4))
def test_no_character_is_cut_through(character: str, offset: int) -> None:
    found = kept(64, b"x" * offset + character.encode() * 100)

    assert "\N{REPLACEMENT CHARACTER}" not in found.text()


def test_what_is_no_text_shows_as_such() -> None:
    assert kept(10, b"a\xff\x80b").text() == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"


@given(st.lists(st.binary(max_size=50)), st.integers(2, 40))
def test_the_size_is_bounded_however_it_comes(pieces: list[bytes], size_max: int) -> None:
    found, whole = kept(size_max, *pieces), b"".join(pieces)

    assert found.size_bytes == len(whole)
    assert found.cut_bytes == max(0, len(whole) - size_max)
    if not found.cut_bytes:
        assert found.text() == whole.decode("utf-8", "replace")
    assert len(found._head) + len(found._tail) <= 3 * size_max
