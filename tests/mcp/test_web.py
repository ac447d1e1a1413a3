"""The door over HTTP: who is let in, what of a session others see, and what is refused."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from skerry import client
from skerry.base import Invalid, NotAvailable
from skerry.mcp import serve_web, web
from tests.api import site as sites
from tests.api.site import Site
from tests.mcp.door import INITIALIZE, Door, opened, tell

LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the message that calls a tool."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params}


async def session(door: Door, scope: str = "write") -> str:
    """Open a session; return its id."""
    answer = await door.post(INITIALIZE, scope)
    assert answer.status == 200, answer.body
    return answer.headers["mcp-session-id"]


@pytest.fixture(autouse=True)
def own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the door has a token in the environment, which nobody else ever gets to use."""
    monkeypatch.setenv("SKERRY_TOKEN", "skerry_tok_0000000000000000_" + "0" * 64)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer  ", "Basic eDp5", "Bearer a b", "skerry_x"],
)
def test_without_a_token_nobody_is_let_in(tmp_path: Path, authorization: str) -> None:
    async def story(door: Door) -> None:
        for message in (INITIALIZE, LIST):
            answer = await door.post(message, None, Authorization=authorization)
            assert (answer.status, answer.json()["error"]) == (401, "no_token")

    tell(tmp_path, story)


def test_a_token_that_is_none_opens_no_session(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        door.site.tokens["wrong"] = "skerry_tok_0000000000000000_" + "0" * 64

        answer = await door.post(INITIALIZE, "wrong")

        assert (answer.status, answer.json()["error"]) == (401, "bad_token")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    tell(tmp_path, story)


def test_beside_the_administrators_socket_nobody_is_the_administrator(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.tokens["wrong"] = "skerry_tok_0000000000000000_" + "0" * 64
        async with opened(site, daemon=f"unix:{site.socket_path}") as door:
            assert (await door.post(INITIALIZE, None)).status == 401
            assert (await door.post(INITIALIZE, "wrong")).status == 401
            own = await session(door, "read")
            answer = await door.post(call("stop_box", box="dev"), "read", mcp_session_id=own)
            assert b"scope_missing" in answer.body

    sites.tell(tmp_path, story)


def test_two_tokens_at_once_are_two_too_many(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        right = door.site.tokens["write"]
        body = json.dumps(INITIALIZE)
        lines = [
            "POST /mcp HTTP/1.1", "Host: localhost", "Connection: close",
            "Content-Type: application/json", f"Content-Length: {len(body)}",
            f"Authorization: Bearer {right}", "Authorization: Bearer other", "", body,
        ]  # fmt: skip

        assert (await door.raw("\r\n".join(lines).encode())).startswith(b"HTTP/1.1 401 ")

    tell(tmp_path, story)


def test_a_session_is_of_the_token_that_opened_it(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        own = await session(door, "admin")

        theirs = await door.post(call("list_boxes"), "write", mcp_session_id=own)
        unknown = await door.post(call("list_boxes"), "write", mcp_session_id="0" * 32)
        mine = await door.post(call("list_boxes"), "admin", mcp_session_id=own)

        assert (theirs.status, mine.status) == (404, 200)
        assert theirs.body == unknown.body
        assert b"dev" in mine.body

    tell(tmp_path, story)


def test_another_token_ends_no_session(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        own = await session(door, "admin")
        request = (
            f"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {door.site.tokens['write']}\r\nmcp-session-id: {own}\r\n\r\n"
        )

        assert (await door.raw(request.encode())).startswith(b"HTTP/1.1 404 ")
        assert (await door.post(LIST, "admin", mcp_session_id=own)).status == 200

    tell(tmp_path, story)


def test_each_request_has_the_rights_of_its_own_token(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        own = await session(door, "read")
        token_id = (await door.site.call("GET", "/v1/tokens")).json()[0]["id"]
        before = await door.post(call("list_boxes"), "read", mcp_session_id=own)
        await door.site.call("DELETE", f"/v1/tokens/{token_id}")

        after = await door.post(call("list_boxes"), "read", mcp_session_id=own)

        assert (b"dev" in before.body, b"bad_token" in after.body) == (True, True)

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example:7071"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "[::1]:7071"}, 200),
        ({"Host": "boxes.example.com", "Origin": "https://boxes.example.com"}, 200),
    ],
)
def test_a_page_in_a_browser_reaches_the_door_under_its_own_names_only(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async def story(door: Door) -> None:
        assert (await door.post(INITIALIZE, **headers)).status == status

    tell(tmp_path, story, hosts=["boxes.example.com"])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"7", b'"x"', b"[" * 100_000, b"\xff\xfe", b'{"jsonrpc": "1.0"}',
        b'{"jsonrpc": "2.0", "id": {}, "method": "tools/list"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": 7}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 1}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "no/such"}',
        json.dumps([INITIALIZE, INITIALIZE]).encode(),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused_and_the_session_goes_on(tmp_path: Path, body: bytes) -> None:
    async def story(door: Door) -> None:
        own = await session(door)

        answer = await door.post(body, mcp_session_id=own)

        assert answer.status in (200, 202, 400, 413), answer.body
        assert b"Traceback" not in answer.body
        assert (await door.post(LIST, mcp_session_id=own)).status == 200

    tell(tmp_path, story)


def test_a_body_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        answer = await door.post(INITIALIZE, Content_Length=str(1 << 40))

        assert answer.status == 413

    tell(tmp_path, story)


def test_a_head_that_is_too_large_ends_the_connection(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        with pytest.raises(ConnectionError):
            await door.raw(b"POST /mcp HTTP/1.1\r\nX: " + b"x" * (1 << 20))

    tell(tmp_path, story)


def test_who_sends_no_head_or_no_body_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_HEAD_S_MAX", 0.05)
    monkeypatch.setattr(web, "_BODY_S_MAX", 0.05)

    async def story(door: Door) -> None:
        token = door.site.tokens["write"]
        for sent in (
            b"",
            b"POST /mcp HTTP/1.1\r\nHost:",
            f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{".encode(),
        ):
            async with asyncio.timeout(10):
                try:
                    await door.raw(sent)
                except ConnectionError:
                    continue

    tell(tmp_path, story)


def test_sessions_are_only_so_many_of_each_token_and_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_SESSIONS_MAX", 5)
    monkeypatch.setattr(web, "_SESSIONS_OF_ONE_MAX", 3)

    async def story(door: Door) -> None:
        for scope, count in (("write", 3), ("read", 2)):  # who has many leaves some to others
            answers = await asyncio.gather(*(door.post(INITIALIZE, scope) for _ in range(9)))
            let_in = [each for each in answers if each.status == 200]
            assert {each.status for each in answers} == {200, 503}
            assert len(let_in) == count
            used = let_in[0].headers["mcp-session-id"]
            assert (await door.post(LIST, scope, mcp_session_id=used)).status == 200

    tell(tmp_path, story)


def test_a_session_that_nobody_uses_ends_and_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_IDLE_S", 0.05)
    monkeypatch.setattr(web, "_SESSIONS_OF_ONE_MAX", 1)

    async def story(door: Door) -> None:
        own = await session(door)
        async with asyncio.timeout(10):
            while (await door.post(INITIALIZE)).status == 503:
                pass

        assert (await door.post(LIST, mcp_session_id=own)).status == 404

    tell(tmp_path, story)


def test_other_paths_have_nothing(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        token = door.site.tokens["write"]
        for path in ("/", "/mcp/", "/mcp/..", "/v1/boxes"):
            request = (
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Authorization: Bearer {token}\r\n\r\n"
            )
            assert (await door.raw(request.encode())).startswith(b"HTTP/1.1 404 ")

    tell(tmp_path, story)


def test_a_daemon_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        door.site.stop.set()
        async with asyncio.timeout(10):
            while (answer := await door.post(INITIALIZE)).status != 503:
                await asyncio.sleep(0)

        assert answer.json()["error"] in ("no_connection", "stopping", "connection_lost")

    tell(tmp_path, story)


def test_sessions_do_not_see_each_others_calls(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async with door.agent() as one, door.agent() as other:
            calls = [
                agent.call_tool("create_box", {"name": name})
                for agent, name in ((one, "a"), (other, "b"))
            ]
            results = await asyncio.gather(*calls)

        assert [result.structured_content["name"] for result in results] == ["a", "b"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("listen", "error"),
    [("7071", Invalid), ("localhost:x", Invalid), ("127.0.0.1:99999", Invalid), ("192.0.2.1:0", NotAvailable)],
)  # fmt: skip
def test_an_address_that_is_none_is_told(listen: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(serve_web(client.connect, listen=listen, hosts=(), ready=print))
