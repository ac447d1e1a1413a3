"""What the server itself answers: too many, too slow, too long, no HTTP, wrong tokens, the end."""

import asyncio
import contextlib
import dataclasses
import json
import socket
import struct
from pathlib import Path

import pytest

from skerry.api.protocol import is_lost
from skerry.api.race import race
from skerry.base import NotFound
from tests.api.site import LIMITS, Site, parsed, tell

HANDSHAKE = (
    "GET /v1/boxes/dev/exec?cmd=a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
)


def test_a_method_that_a_path_does_not_take_is_told_those_it_takes(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        answer = await site.call("PATCH", "/v1/boxes/dev")

        assert (answer.status, answer.json()["error"]) == (405, "bad_method")
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE"}

    tell(tmp_path, story)


def test_head_answers_like_get_without_the_body(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        answer = await site.call("HEAD", "/v1/sprites/dev/exec")

        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["sprite-version"] == "0.0.1-rc46"

    tell(tmp_path, story)


def test_every_answer_has_a_date_and_is_not_to_be_kept(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for answer in (await site.call("GET", "/healthz"), parsed(await site.raw(b"x\r\n\r\n"))):
            assert answer.headers["cache-control"] == "no-store"
        answer = await site.call("GET", "/healthz", scope=None)

        assert answer.headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"

    tell(tmp_path, story)


def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        data = await site.raw((one * 20 + last).encode())

        assert data.count(b"HTTP/1.1 200 OK") == 21

    tell(tmp_path, story)


def test_a_connection_goes_on_after_a_body_that_was_refused(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        body = b"x" * ((1 << 20) + 1)
        first = f"POST /v1/boxes HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        first += f"Authorization: Bearer {site.tokens['write']}\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        data = await site.raw(first.encode() + body + last)

        assert data.startswith(b"HTTP/1.1 413")
        assert b"HTTP/1.1 200 OK" in data

    tell(tmp_path, story)


def test_a_body_that_would_be_refused_is_not_asked_for(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        data = await site.raw(
            f"POST /v1/boxes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
            f"Expect: 100-continue\r\nConnection: close\r\n"
            f"Authorization: Bearer {site.tokens['write']}\r\n\r\n".encode()
        )

        assert data.startswith(b"HTTP/1.1 413")

    tell(tmp_path, story)


def test_there_are_only_so_many_connections(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        held = [await asyncio.open_connection(*site.address) for _ in range(3)]
        refused = parsed(await site.raw(b""))
        assert (refused.status, refused.json()["error"]) == (503, "too_many_connections")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()

    tell(tmp_path, story, dataclasses.replace(LIMITS, connections_max=3))


def test_strangers_who_fill_their_connections_do_not_lock_the_owner_out(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        _, held = await asyncio.open_connection(*site.address)
        reader, writer = await asyncio.open_unix_connection(site.socket_path)
        writer.write(b"GET /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = parsed(await reader.read())
        writer.close()
        held.close()

        assert (answer.status, len(answer.json())) == (200, 3)

    tell(tmp_path, story, dataclasses.replace(LIMITS, connections_max=1))


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-"])
def test_headers_that_do_not_come_are_not_waited_for(tmp_path: Path, begun: bytes) -> None:
    async def story(site: Site) -> None:
        answer = parsed(await site.raw(begun))

        assert (answer.status, answer.json()["error"]) == (408, "headers_too_slow")

    tell(tmp_path, story, dataclasses.replace(LIMITS, header_wait_ns=10**7))


def test_a_second_requests_headers_are_not_waited_for_either(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        data = await site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP")

        assert data.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in data

    tell(tmp_path, story, dataclasses.replace(LIMITS, header_wait_ns=10**8))


def test_requests_that_do_not_wait_for_answers_are_cut(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000
        said = b""
        with contextlib.suppress(ConnectionResetError):
            said = await site.raw(flood)
        assert said.count(b" 200 OK") < 100
        assert (await site.call("GET", "/healthz", scope=None)).status == 200

    tell(tmp_path, story)


def test_unfinished_headers_have_a_limit_over_all_connections(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        begun = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (4 << 20)
        held: list[asyncio.StreamWriter] = []
        readers: list[asyncio.StreamReader] = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*site.address)
            writer.write(begun)
            await writer.drain()
            held.append(writer)
            readers.append(reader)
        said = await asyncio.gather(*(reader.read(12) for reader in readers))
        assert b"HTTP/1.1 503" in said
        for writer in held:
            writer.close()

    limits = dataclasses.replace(LIMITS, header_bytes_max=8 << 20, header_wait_ns=2 * 10**9)
    tell(tmp_path, story, limits)


def test_a_path_that_is_too_long_for_a_websocket_is_refused(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        head = b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        data = await site.raw(head + b"Connection: Upgrade\r\n\r\n")
        assert data.startswith(b"HTTP/1.1 414")

    tell(tmp_path, story)


def test_trailers_are_neither_kept_nor_endless(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        head = b"POST /v1/boxes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        some = await site.raw(head + b"X-T: 1\r\n" * 9 + b"\r\n" + last)
        with contextlib.suppress(ConnectionResetError):  # it is cut while it still sends
            await site.raw(head + b"X-T: 1\r\n" * 300_000)

        assert some.startswith(b"HTTP/1.1 401")
        assert b"HTTP/1.1 200 OK" in some
        assert (await site.call("GET", "/healthz", scope=None)).status == 200

    tell(tmp_path, story)


def test_a_refused_body_that_never_ends_holds_no_connection(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        data = await site.raw(b"POST /v1/boxes HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")

        assert data.startswith(b"HTTP/1.1 401")

    tell(tmp_path, story, dataclasses.replace(LIMITS, idle_wait_ns=3600 * 10**9))


def test_a_half_closed_connection_is_closed(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(b"GET /v1/boxes HTTP/1.1\r\nHost: x\r\n")
        writer.write_eof()

        assert await reader.read() == b""
        writer.close()

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GET /" + b"x" * (2 << 20), 414, "request_line_too_long"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414, "path_too_long"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 400_000, 431, "headers_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "bad_request"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "bad_request"),
        (HANDSHAKE.encode() + b"\r\n", 400, "bad_handshake"),
        (HANDSHAKE.encode() + b"A: b\r\n" * 200 + b"\r\n", 431, "bad_handshake"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_the_server_refuses_is_told_in_the_one_shape(
    tmp_path: Path, data: bytes, status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        answer = parsed(await site.raw(data))

        assert (answer.status, answer.json()["error"]) == (status, code)
        assert answer.json()["message"].endswith(".")
        assert answer.headers["sprite-version"] == "0.0.1-rc46"

    tell(tmp_path, story)


def test_wrong_tokens_are_slowed_down_and_right_ones_never(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        wrong = {"Authorization": "Bearer wrong"}
        told = [
            (await site.call("GET", "/v1/boxes", headers=wrong, scope=None)).status
            for _ in range(7)
        ]
        last = await site.call("GET", "/v1/boxes", headers=wrong, scope=None)

        assert told == [401] * 5 + [429] * 2
        assert int(last.headers["retry-after"]) == last.json()["retry_after_seconds"] == 61
        assert (await site.call("GET", "/v1/boxes")).status == 200

    tell(tmp_path, story)


@pytest.mark.parametrize("sent", ["", "Basic x", "Bearer", "Bearer  ", "bearer \u00ff"])
def test_what_is_no_token_is_unauthorized(tmp_path: Path, sent: str) -> None:
    async def story(site: Site) -> None:
        data = f"GET /v1/boxes HTTP/1.1\r\nAuthorization: {sent}\r\nConnection: close\r\n\r\n"
        answer = parsed(await site.raw(data.encode()))

        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")

    tell(tmp_path, story)


def test_what_nobody_expected_tells_a_stranger_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(site: Site) -> None:
        site.machine.usage = None  # type: ignore[assignment]
        answer = await site.call("GET", "/v1/boxes/dev")

        assert (answer.status, answer.json()["error"]) == (500, "internal")
        assert "NoneType" not in json.dumps(answer.json())

    tell(tmp_path, story)
    assert "NoneType" in capsys.readouterr().err


def test_the_socket_is_gone_when_the_server_is(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        assert site.socket_path.exists()

    tell(tmp_path, story)
    assert not (tmp_path / "admin.sock").exists()


def test_a_peer_that_does_not_read_is_not_lost() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
        listener.accept()[0],
    ):
        ours.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(b"x" * 65536)

        assert not is_lost(ours)


def test_a_peer_that_is_gone_is_lost() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
    ):
        theirs = listener.accept()[0]
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()  # by a reset

        assert is_lost(ours)


def test_the_first_work_to_end_ends_all() -> None:
    ended: list[str] = []

    async def waits(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise NotFound("gone", "It is gone.")

    with pytest.raises(NotFound):
        asyncio.run(race(waits("a"), waits("b"), fails()))

    assert sorted(ended) == ["a", "b"]
