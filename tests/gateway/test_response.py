"""Heads of answers: a box is no more believed than a client."""

import pytest

from skerry.gateway.grammar import BadMessage
from skerry.gateway.response import response_fields, status_line


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.1 99 X", b"HTTP/1.1 1000 X", b"HTTP/1.1 0200 OK", b"HTTP/2 200 OK", b"ICY 200 OK",
     b"HTTP/1.1  200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1"],
)  # fmt: skip
def test_what_is_no_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(BadMessage):
        status_line(line)


def test_a_status_line_is_written_anew() -> None:
    assert status_line(b"HTTP/1.0 404 Not There") == (404, b"HTTP/1.1 404 Not There\r\n", False)
    assert status_line(b"HTTP/1.1 200") == (200, b"HTTP/1.1 200 \r\n", True)


def test_fields_of_one_connection_stay_there() -> None:
    fields = response_fields(
        b"Connection: close, X-Mine, Set-Cookie\r\nX-Mine: 1\r\nSet-Cookie: a=b\r\n"
        b"Content-Length: 3\r\nUpgrade: x\r\nServer: s\r\n",
        128,
    )

    assert fields.end_to_end == b"Set-Cookie: a=b\r\nServer: s\r\n"
    assert (fields.length, fields.is_last, fields.upgrade) == (3, True, b"x")


@pytest.mark.parametrize(
    "block",
    [b"Content-Length: 1\r\nContent-Length: 2\r\n", b"X: a\r\n b\r\n", b"X : y\r\n",
     b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", b"X: a\r\rb\r\n"],
)  # fmt: skip
def test_an_answer_that_could_mean_two_things_is_refused(block: bytes) -> None:
    with pytest.raises(BadMessage):
        response_fields(block, 128)
