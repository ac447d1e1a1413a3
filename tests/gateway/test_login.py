"""Logging in by a browser: the login page on its own host, and the way back to the box."""

from __future__ import annotations

import urllib.parse

import msgspec
import pytest

from skerry.gateway.access import ticket_by_token
from skerry.gateway.control import Limits, Tokens
from tests.gateway.place import (
    BOX_ID,
    HOST,
    KEY,
    OTHER_ID,
    SECOND_NS,
    TOKEN_ID,
    TOKEN_TEXT,
    Place,
    gateway,
    run,
)
from tests.gateway.test_entry import FAR_NS, PRIVATE, answer, served, status_of

PAGE = b"/.well-known/skerry/login"
PAGE_HOST = b"Host: login.localhost:8080\r\n"


def form(token: str, more: bytes = b"", *, name: str = HOST.decode(), to: str = "/x") -> bytes:
    """Return the request with a filled-in login form."""
    body = urllib.parse.urlencode({"name": name, "to": to, "token": token}).encode()
    return b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        PAGE, PAGE_HOST, more, len(body), body,
    )  # fmt: skip


def location(head: bytes) -> str:
    return head.partition(b"\r\nLocation: ")[2].partition(b"\r\n")[0].decode()


async def follow(place: Place, head: bytes, more: bytes = b"") -> bytes:
    """Go where a redirect leads, as a browser does; return the head of what comes."""
    url = urllib.parse.urlsplit(location(head))
    target = f"{url.path}?{url.query}".encode()
    request = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, url.netloc.encode(), more)
    return (await answer(place, request))[1]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET %b?name=amber.localhost HTTP/1.1\r\n%b\r\n" % (PAGE, PAGE_HOST), 200),
        (b"GET %b?name=amber--3000.localhost HTTP/1.1\r\n%b\r\n" % (PAGE, PAGE_HOST), 200),
        (b"GET %b?name=evil.com HTTP/1.1\r\n%b\r\n" % (PAGE, PAGE_HOST), 404),
        (b"GET %b HTTP/1.1\r\n%b\r\n" % (PAGE, PAGE_HOST), 404),
        (b"GET / HTTP/1.1\r\n%b\r\n" % PAGE_HOST, 404),
        (b"PUT %b HTTP/1.1\r\n%b\r\n" % (PAGE, PAGE_HOST), 405),
        (form(TOKEN_TEXT), 303),
        (form("skerry_wrong"), 401),
        (form("skerry_wrong", b"Accept: text/html\r\n"), 401),
        (form(TOKEN_TEXT, name="evil.com"), 400),
        (form(TOKEN_TEXT, b"Origin: http://login.localhost:8080\r\n"), 303),
        (form(TOKEN_TEXT, b"Origin: http://amber.localhost:8080\r\n"), 403),
        (form(TOKEN_TEXT, b"Origin: null\r\n"), 403),
        (form("x" * 5000), 400),
        (b"POST %b HTTP/1.1\r\n%b\r\n" % (PAGE, PAGE_HOST), 400),
        (form(TOKEN_TEXT).replace(b"login.localhost", HOST), 404),
    ],
)  # fmt: skip
def test_the_login_page_answers(request_: bytes, status: int) -> None:
    assert status_of(request_, PRIVATE) == status


def test_a_browser_is_led_to_the_login_page_and_back_to_where_it_was() -> None:
    async def story() -> tuple[bytes, ...]:
        async with gateway(PRIVATE) as place:
            asked = b"GET /a?b=1&c HTTP/1.1\r\nHost: %b:8080\r\nAccept: text/html\r\n\r\n" % HOST
            led = (await answer(place, asked))[1]
            page = await follow(place, led)
            said = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location(led)).query))
            leaving = (await answer(place, form(TOKEN_TEXT, name=said["name"], to=said["to"])))[1]
            entered = await follow(place, leaving)
            cookie = entered.partition(b"Set-Cookie: ")[2].partition(b";")[0]
            seen, _ = await served(place, b"GET /a HTTP/1.1\r\nHOST\r\nCookie: %b\r\n\r\n" % cookie)
            return led, page, leaving, entered, seen

    led, page, leaving, entered, seen = run(story())
    assert location(led).startswith("http://login.localhost:8080/.well-known/skerry/login?")
    assert b"form-action 'self' http://amber.localhost:8080;" in page
    assert location(leaving).startswith("http://amber.localhost:8080/.well-known/skerry/enter?")
    assert b"Set-Cookie" not in leaving
    assert location(entered) == "/a?b=1&c"
    assert b"Cookie" not in seen


def test_a_box_on_its_own_domain_is_logged_in_to_at_the_address_of_the_machine() -> None:
    box = msgspec.structs.replace(PRIVATE, domains=("shop.test",))
    asked = b"GET /a HTTP/1.1\r\nHost: shop.test\r\nAccept: text/html\r\n\r\n"

    async def story() -> tuple[str, str]:
        async with gateway(box, login_url="https://login.example.com") as place:
            led = (await answer(place, asked))[1]
            leaving = (await answer(place, form(TOKEN_TEXT, name="shop.test")))[1]
            return location(led), location(leaving)

    led, leaving = run(story())
    assert led == "https://login.example.com/.well-known/skerry/login?name=shop.test&to=%2Fa"
    assert leaving.startswith("http://shop.test:8080/.well-known/skerry/enter?ticket=")


@pytest.mark.parametrize(
    ("to", "expected"),
    [("/a?b", "/a?b"), ("//evil.com", "/"), ("/\\evil.com", "/"), ("http://evil", "/"),
     ("/a\r\nX: y", "/")],
)  # fmt: skip
def test_a_login_leads_to_a_page_of_the_box_alone(to: str, expected: str) -> None:
    async def story() -> bytes:
        async with gateway(PRIVATE) as place:
            return await follow(place, (await answer(place, form(TOKEN_TEXT, to=to)))[1])

    assert location(run(story())) == expected


@pytest.mark.parametrize(
    ("box_id", "end_at_ns", "key"),
    [(OTHER_ID, FAR_NS, KEY), (BOX_ID, SECOND_NS, KEY), (BOX_ID, FAR_NS, b"x" * 32)],
)
def test_a_ticket_of_another_box_an_old_and_a_forged_one_are_none(
    box_id: str, end_at_ns: int, key: bytes
) -> None:
    ticket = ticket_by_token(key, box_id, TOKEN_ID, end_at_ns)
    target = b"/.well-known/skerry/enter?ticket=%b" % ticket

    assert status_of(b"GET %b HTTP/1.1\r\nHOST\r\n\r\n" % target, PRIVATE) == 401


def test_a_ticket_is_no_cookie_and_ends_with_its_token() -> None:
    ticket = ticket_by_token(KEY, BOX_ID, TOKEN_ID, FAR_NS)
    entering = b"GET /.well-known/skerry/enter?ticket=%b HTTP/1.1\r\nHOST\r\n\r\n" % ticket

    async def story() -> list[int]:
        async with gateway(PRIVATE) as place:
            as_cookie = b"GET / HTTP/1.1\r\nHOST\r\nCookie: skerry_access=%b\r\n\r\n" % ticket
            found = [(await answer(place, each))[0] for each in (as_cookie, entering)]
            place.tell(Tokens(()))
            await place.settled()
            return [*found, (await answer(place, entering))[0]]

    assert run(story()) == [401, 303, 401]


def test_a_login_behind_https_gives_a_cookie_for_https_alone() -> None:
    secure = b"X-Forwarded-Proto: https\r\n"

    async def story() -> tuple[bytes, bytes, bytes]:
        async with gateway(PRIVATE, trusted_proxies=("127.0.0.1",)) as place:
            leaving = (await answer(place, form(TOKEN_TEXT, secure)))[1]
            return leaving, await follow(place, leaving, secure), await follow(place, leaving)

    leaving, behind, plain = run(story())
    assert location(leaving).startswith("https://")
    assert b"; Secure\r\n" in behind
    assert b"; Secure" not in plain
    assert b"HttpOnly; SameSite=Lax" in plain


def test_a_cookie_counts_only_for_pages_of_the_box_itself() -> None:
    async def story() -> int:
        async with gateway(PRIVATE) as place:
            head = await follow(place, (await answer(place, form(TOKEN_TEXT)))[1])
            cookie = head.partition(b"Set-Cookie: ")[2].partition(b";")[0]
            asked = b"POST / HTTP/1.1\r\nHOST\r\nCookie: %b\r\nOrigin: http://%b\r\n\r\n"
            foreign = await answer(place, asked % (cookie, b"evil.localhost"))
            await served(place, asked % (cookie, HOST))
            return foreign[0]

    assert run(story()) == 401


def test_wrong_tokens_of_one_client_lock_out_no_other_behind_the_same_proxy() -> None:
    async def story() -> list[int]:
        limits = Limits(failed_logins_per_minute=1)
        async with gateway(PRIVATE, limits=limits, trusted_proxies=("127.0.0.1",)) as place:
            ways = [b"6.6.6.6", b"6.6.6.6", b"6.6.6.6, 7.7.7.7"]
            tries = [form("wrong", b"X-Forwarded-For: %b\r\n" % way) for way in ways]
            return [(await answer(place, each))[0] for each in tries]

    assert run(story()) == [401, 429, 401]


def test_wrong_tokens_are_not_tried_for_ever() -> None:
    async def story() -> list[int]:
        async with gateway(PRIVATE, limits=Limits(failed_logins_per_minute=2)) as place:
            return [(await answer(place, form(f"skerry_{n}")))[0] for n in range(4)]

    assert run(story()) == [401, 401, 429, 429]


def test_a_login_page_is_not_kept_busy_by_a_long_query() -> None:
    query = b"&".join([b"to=/x"] * 5000)

    assert status_of(b"GET %b?%b HTTP/1.1\r\n%b\r\n" % (PAGE, query, PAGE_HOST), PRIVATE) == 404
