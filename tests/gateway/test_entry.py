"""What a request gets from the gateway itself: share links, refusals, health."""

from __future__ import annotations

import msgspec
import pytest

from skerry.base.share_links import share_text
from skerry.gateway.control import Box, BoxChanged, Tokens
from tests.gateway.place import (
    ASLEEP,
    AWAKE,
    BOX_ID,
    HOST,
    KEY,
    SECOND_NS,
    TOKEN,
    TOKEN_TEXT,
    Peer,
    Place,
    gateway,
    run,
)

PRIVATE = msgspec.structs.replace(AWAKE, access="private")
FAR_NS = (1 << 33) * SECOND_NS
BEARER = b"Authorization: Bearer %b\r\n" % TOKEN_TEXT.encode()


async def answer(place: Place, request: bytes) -> tuple[int, bytes, bytes]:
    """Return status, head and body of the gateway's own answer to a request."""
    client = await place.ask(request)
    head = await client.head()
    size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
    return int(head[9:12]), head, await client.exactly(size)


def status_of(request: bytes, *boxes: Box) -> int:
    """Return the status of the gateway's own answer to one request."""

    async def story() -> int:
        async with gateway(*boxes) as place:
            return (await answer(place, request))[0]

    return run(story())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHOST\r\n\r\n", 401),
        (b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n", 404),
        (b"GET /.well-known/skerry/health HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n", 200),
        (b"POST /.well-known/skerry/health HTTP/1.1\r\nHOST\r\n\r\n", 405),
        (b"GET /.well-known/skerry/other HTTP/1.1\r\nHOST\r\n\r\n", 404),
        (b"GET /.well-known/skerry/login HTTP/1.1\r\nHOST\r\n\r\n", 404),
        (b"GET /?skerry_share=forged HTTP/1.1\r\nHOST\r\n\r\n", 401),
        (b"GET / HTTP/1.1\r\nHOST\r\nCookie: skerry_access=forged\r\n\r\n", 401),
    ],
)  # fmt: skip
def test_the_gate_answers_by_itself(request_: bytes, status: int) -> None:
    assert status_of(request_, PRIVATE) == status


def test_a_share_link_behind_https_gives_a_cookie_for_https_alone() -> None:
    text = share_text(KEY, BOX_ID, FAR_NS, 0).encode()

    async def story() -> bytes:
        async with gateway(PRIVATE, trusted_proxies=("127.0.0.1",)) as place:
            request = b"GET /?skerry_share=%b HTTP/1.1\r\nHOST\r\n%b\r\n"
            return (await answer(place, request % (text, b"X-Forwarded-Proto: https\r\n")))[1]

    assert b"; Secure\r\n" in run(story())


async def served(place: Place, request: bytes) -> tuple[bytes, Peer]:
    """Have a request answered by the box; return what the box saw of its head."""
    program = await place.program()
    client = await place.ask(request)
    box = await program.get()
    seen = await box.head()
    box.answer()
    await client.head()
    return seen, client


def test_a_share_link_leads_to_the_page_without_it_and_opens_the_box() -> None:
    async def story() -> tuple[bytes, bytes]:
        text = share_text(KEY, BOX_ID, FAR_NS, 0).encode()
        async with gateway(PRIVATE) as place:
            request = b"GET /a?x=1&skerry_share=%b HTTP/1.1\r\nHOST\r\n\r\n" % text
            _, head, _ = await answer(place, request)
            cookie = head.partition(b"Set-Cookie: ")[2].partition(b";")[0]
            seen, _ = await served(place, b"GET /a HTTP/1.1\r\nHOST\r\nCookie: %b\r\n\r\n" % cookie)
            return head, seen

    head, seen = run(story())
    assert b"\r\nLocation: /a?x=1\r\n" in head
    assert b"Cookie" not in seen


def test_a_revoked_token_is_refused_at_once_on_the_same_connection() -> None:
    async def story() -> bytes:
        async with gateway(PRIVATE) as place:
            request = b"GET / HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (HOST, BEARER)
            _, client = await served(place, request)
            await client.exactly(len(b"hello, world\n"))
            place.tell(Tokens(()))
            await place.settled()
            client.send(request)
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 401 ")


def test_a_token_that_may_only_read_gets_no_websocket() -> None:
    reading = msgspec.structs.replace(TOKEN, scopes=("read",))
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"

    async def story() -> int:
        async with gateway(PRIVATE, tokens=(reading,)) as place:
            request = b"GET / HTTP/1.1\r\nHOST\r\n%b%b\r\n" % (BEARER, upgrade)
            return (await answer(place, request))[0]

    assert run(story()) == 403


def test_what_needs_no_box_wakes_none() -> None:
    async def story() -> list[int]:
        preflight = b"Origin: http://x\r\nAccess-Control-Request-Method: PUT\r\n"
        requests = [
            b"OPTIONS / HTTP/1.1\r\nHOST\r\n" + preflight + b"\r\n",
            b"GET / HTTP/1.1\r\nHOST\r\nUser-Agent: kube-probe/1.30\r\n\r\n",
            b"GET /.well-known/skerry/health HTTP/1.1\r\nHOST\r\n\r\n",
        ]
        async with gateway(ASLEEP) as place:
            statuses = [(await answer(place, request))[0] for request in requests]
            assert place.gateway.site.boxes[BOX_ID].requests == 0
            return statuses

    assert run(story()) == [204, 200, 200]


def test_an_access_that_changes_holds_for_the_next_request_of_a_connection() -> None:
    async def story() -> bytes:
        async with gateway() as place:
            _, client = await served(place, b"GET / HTTP/1.1\r\nHOST\r\n\r\n")
            await client.exactly(len(b"hello, world\n"))
            place.tell(BoxChanged(PRIVATE))
            await place.settled()
            client.send(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST)
            return await client.head()

    assert run(story()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "change", [Tokens(()), BoxChanged(msgspec.structs.replace(PRIVATE, share_epoch=1))]
)
def test_a_tunnel_ends_when_what_opened_it_has_ended(change: Tokens | BoxChanged) -> None:
    text = share_text(KEY, BOX_ID, FAR_NS, 0).encode()
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"

    async def story() -> tuple[bytes, list[bool]]:
        async with gateway(PRIVATE) as place:
            _, head, _ = await answer(
                place, b"GET /?skerry_share=%b HTTP/1.1\r\nHOST\r\n\r\n" % text
            )
            cookie = b"Cookie: %b\r\n" % head.partition(b"Set-Cookie: ")[2].partition(b";")[0]
            program = await place.program()
            opened: list[Peer] = []
            for credential in (BEARER, cookie):
                client = await place.ask(
                    b"GET / HTTP/1.1\r\nHOST\r\n%b%b\r\n" % (credential, upgrade)
                )
                box = await program.get()
                await box.head()
                box.send(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % upgrade)
                await client.head()
                opened.append(client)
            by_token, by_link = opened
            ended, stays = (
                (by_token, by_link) if isinstance(change, Tokens) else (by_link, by_token)
            )
            place.tell(change)
            return await ended.rest(), [each.reader.at_eof() for each in (ended, stays)]

    assert run(story()) == (b"", [True, False])
