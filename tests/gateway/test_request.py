"""Heads of requests: what is refused, and what a box gets to see."""

import pytest

from skerry.accounts.model import token_text
from skerry.base import new_id
from skerry.gateway.grammar import BadMessage, HeadTooLarge
from skerry.gateway.request import (
    forwarded_block,
    origin_form,
    request_fields,
    request_line,
    trailers_of,
)

HOST = b"Host: amber.localhost:8080\r\n"
TOKEN = token_text(new_id("tok", b"t" * 10), b"s" * 32).encode()


def for_box(block: bytes, *, is_trusted: bool = False, peer: bytes = b"10.0.0.9") -> bytes:
    return forwarded_block(request_fields(HOST + block, 128), peer, is_trusted=is_trusted)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"GET  / HTTP/1.1", "bad_request_line"),
        (b"GET /a b HTTP/1.1", "bad_request_line"),
        (b"get / HTTP/1.1", "bad_request_line"),
        (b"GET / HTTP/1.1 ", "bad_request_line"),
        (b"GET /\x00 HTTP/1.1", "bad_request_line"),
        (b"GET /\xff HTTP/1.1", "bad_request_line"),
        (b"GET /#part HTTP/1.1", "bad_request_line"),
        (b"GET / HTTP/1.2", "bad_request_line"),
        (b"GET / HTTP/2.0", "bad_version"),
        (b"CONNECT a:1 HTTP/1.1", "bad_request_line"),
        (b"GET /", "bad_request_line"),
    ],
)
def test_a_bad_request_line_is_refused(line: bytes, code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        request_line(line)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("block", "code"),
    [
        (b"", "bad_host"),
        (HOST + HOST, "bad_host"),
        (b"Host: a b\r\n", "bad_host"),
        (b"Host: a@b\r\n", "bad_host"),
        (b"Host: a/b\r\n", "bad_host"),
        (b"Host:\r\n", "bad_host"),
        (HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n", "bad_content_length"),
        (HOST + b"Content-Length: 1, 1\r\n", "bad_content_length"),
        (HOST + b"Content-Length: -1\r\n", "bad_content_length"),
        (HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "bad_content_length"),
        (HOST + b"Transfer-Encoding: gzip, chunked\r\n", "bad_transfer_encoding"),
        (HOST + b"Transfer-Encoding: identity\r\n", "bad_transfer_encoding"),
        (HOST + b"Transfer_Encoding: chunked\r\n", "bad_header"),
        (HOST + b"Content_Length: 3\r\n", "bad_header"),
        (HOST + b"Name : value\r\n", "bad_header"),
        (HOST + b" folded\r\n", "bad_header"),
        (HOST + b"X: a\nY: b\r\n", "bad_header"),
        (HOST + b"X: a\rb\r\n", "bad_header"),
        (HOST + b"X: \x00\r\n", "bad_header"),
        (HOST + b": value\r\n", "bad_header"),
        (HOST + b"no colon\r\n", "bad_header"),
        (HOST + b"Expect: something\r\n", "bad_expect"),
        (HOST + b"Authorization: a\r\nAuthorization: b\r\n", "bad_header"),
    ],
)
def test_a_bad_head_is_refused(block: bytes, code: str) -> None:
    with pytest.raises(BadMessage) as caught:
        request_fields(block, 128)
    assert caught.value.code == code


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(HeadTooLarge):
        request_fields(HOST + b"X: y\r\n" * 128, 128)


def test_a_box_gets_no_credentials_of_ours_and_keeps_its_own() -> None:
    ours = for_box(b"Authorization: Bearer " + TOKEN + b"\r\nCookie: a=b; skerry_access=x; c=d\r\n")
    theirs = for_box(b"Authorization: Basic eDp5\r\nCookie: a=b\r\n")

    assert b"Authorization" not in ours
    assert b"Cookie: a=b; c=d\r\n" in ours
    assert b"skerry" not in ours
    assert b"Authorization: Basic eDp5\r\nCookie: a=b\r\n" in theirs


@pytest.mark.parametrize(
    "value", [b"Bearer %b\xa0", b"Bearer\t%b", b"Token %b", b'Bearer "%b"', b"bearer  %b,x"]
)
def test_a_token_that_is_badly_written_stays_here_too(value: bytes) -> None:
    assert TOKEN not in for_box(b"Authorization: " + value % TOKEN + b"\r\n")


def test_what_strangers_say_of_their_way_is_replaced_by_what_is_known() -> None:
    said = b"X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 7.7.7.7\r\nForwarded: for=8.8.8.8\r\n"
    said += b"True-Client-IP: 9.9.9.9\r\nProxy: http://6.6.6.6\r\n"
    block = for_box(said + b"X-Real-IP: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n")

    assert b"X-Forwarded-For: 10.0.0.9\r\n" in block
    assert b"X-Forwarded-Host: amber.localhost:8080\r\n" in block
    assert b"X-Forwarded-Proto: http\r\n" in block
    assert b'Forwarded: for=10.0.0.9;host="amber.localhost:8080";proto=http\r\n' in block
    assert not any(forged in block for forged in (b"6.6.6.6", b"7.7.7.7", b"8.8.8.8", b"9.9.9.9"))


def test_a_trusted_proxy_is_believed_and_added_to() -> None:
    said = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.org\r\n"
    block = for_box(said, is_trusted=True, peer=b"::1")

    assert b"X-Forwarded-For: 6.6.6.6, ::1\r\n" in block
    assert b"X-Forwarded-Proto: https\r\n" in block
    assert b"X-Forwarded-Host: shop.org\r\n" in block
    assert b'Forwarded: for="[::1]";' in block


def test_fields_of_one_connection_stay_there() -> None:
    said = b"Connection: close, X-Mine, Content-Length, Cookie\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"
    block = for_box(said + b"Content-Length: 2\r\nCookie: a=b\r\nTE: trailers\r\n")

    assert b"X-Mine" not in block
    assert b"Keep-Alive" not in block
    assert b"Content-Length: 2\r\n" in block
    assert b"Cookie: a=b\r\n" in block
    assert b"TE: trailers\r\nConnection: TE\r\n" in block


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [(b"websocket", b"websocket"), (b"h2c", None), (b"HTTP/2.0", None), (b"a b", None)],
)
def test_only_protocols_that_end_at_the_box_may_be_asked_for(
    upgrade: bytes, expected: bytes | None
) -> None:
    block = HOST + b"Connection: keep-alive, Upgrade\r\nUpgrade: " + upgrade + b"\r\n"

    assert request_fields(block, 128).upgrade == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"http://amber.localhost:8080/a?b", b"/a?b"),
        (b"HTTP://AMBER.localhost:8080", b"/"),
        (b"http://amber.localhost:8080?q", b"/?q"),
        (b"http://other/", None),
        (b"ftp://amber.localhost:8080/", None),
        (b"amber.localhost:8080/", None),
        (b"*", None),
    ],
)
def test_a_target_is_of_the_same_host_or_refused(target: bytes, expected: bytes | None) -> None:
    if expected is not None:
        assert origin_form(b"GET", target, b"amber.localhost:8080") == expected
        return
    with pytest.raises(BadMessage):
        origin_form(b"GET", target, b"amber.localhost:8080")


def test_trailers_that_belong_into_a_head_are_left_out() -> None:
    block = b"X-Sum: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: x\r\nSet_Cookie: a\r\n"

    assert trailers_of(block, 128) == b"X-Sum: 1\r\n"
