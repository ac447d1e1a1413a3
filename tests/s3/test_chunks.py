"""Chunks without signatures: trailers, and whatever else may come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import SkerryError
from skerry.s3.chunks import Chunks

WHOLE = b"4\r\nabcd\r\n2\r\nef\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_data_and_trailers_are_found_however_they_are_cut(cuts: list[int]) -> None:
    decoder, found, places = Chunks(None, 6, has_trailers=True), b"", [0, *sorted(cuts), len(WHOLE)]

    for begin, end in itertools.pairwise(places):
        found += b"".join(decoder.feed(WHOLE[begin:end]))

    assert (found, decoder.done) == (b"abcdef", True)
    assert decoder.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n", b"-1\r\n", b"4;chunk-signature=00\r\nabcd\r\n", b"4\nabcd\n", b"4\r\nabcdX\r\n",
        b"7\r\nabcdefg", b"ffffffff\r\n", b"fffffffff\r\n", b"0\r\n\r\n", b"4\r\nabcd\r\n0\r\n\r\n",
        WHOLE + b"x", b"6\r\nabcdef\r\n0\r\nno colon\r\n\r\n", b"1" * 200,
        b"6\r\nabcdef\r\n0\r\n" + b"a:b\r\n" * 9 + b"\r\n", b"6\r\nabcdef\r\n0\r\n" + b"a" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_body_of_six_bytes_is_refused(body: bytes) -> None:
    with pytest.raises(SkerryError) as caught:
        Chunks(None, 6, has_trailers=True).feed(body)

    assert caught.value.code in ("bad_chunk", "body_size")


@given(st.binary(max_size=100))
def test_noise_ends_in_an_error_or_waits_for_more(noise: bytes) -> None:
    decoder = Chunks(None, 6, has_trailers=True)
    try:
        found = b"".join(decoder.feed(noise))
    except SkerryError:
        return
    assert len(found) <= 6
