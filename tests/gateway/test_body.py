"""Bodies in pieces: wherever they are cut, the same content comes out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.gateway.body import Chunked, Endless, Measured, chunk, last_chunk
from skerry.gateway.grammar import BadMessage

CHUNKED = (
    b"3\r\nabc\r\n1a;name=value\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1"
)
CONTENT = b"abcabcdefghijklmnopqrstuvwxyz"


def fed(body: Chunked | Measured, data: bytes, cuts: list[int]) -> bytes:
    """Feed data cut at the given places; what comes after the end is added to the rest."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    content = b""
    for begin, end in itertools.pairwise(places):
        if body.done:
            body.rest += data[begin:end]
        elif begin != end:
            content += body.feed(data[begin:end])
    return content


@given(st.lists(st.integers(0, len(CHUNKED)), max_size=6))
def test_chunks_are_read_wherever_they_are_cut(cuts: list[int]) -> None:
    body = Chunked()

    assert fed(body, CHUNKED, cuts) == CONTENT
    assert (body.done, body.trailers, body.rest) == (True, b"X: y\r\n", b"GET / HTTP/1.1")


@given(st.lists(st.integers(0, 20), max_size=4))
def test_a_body_of_known_length_ends_there(cuts: list[int]) -> None:
    body = Measured(5)

    assert fed(body, b"12345and what follows", cuts) == b"12345"
    assert (body.done, body.rest) == (True, b"and what follows")


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
def test_what_is_written_in_chunks_is_read_again(first: bytes, second: bytes) -> None:
    body = Chunked()

    assert body.feed(chunk(first) + chunk(second) + last_chunk(b"A: b\r\n")) == first + second
    assert (body.done, body.trailers) == (True, b"A: b\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n", b"g\r\n", b"0x3\r\nabc\r\n", b"+3\r\nabc\r\n", b"-3\r\nabc\r\n", b" 3\r\nabc\r\n",
        b"3\nabc\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n\r", b"1111111111111111\r\n", b"3;\x00\r\n",
        b"1" * 600, b"0\r\n" + b"X: y\r\n" * 2000,
    ],
)  # fmt: skip
def test_what_two_parsers_may_read_in_two_ways_is_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        Chunked().feed(data)


def test_a_body_without_length_goes_on() -> None:
    body = Endless()

    assert (body.feed(b"anything"), body.done) == (b"anything", False)
