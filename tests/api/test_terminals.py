"""Execs over a WebSocket: the framing, both directions, and every way in which one ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from skerry.api import terminals
from skerry.base import NotAvailable
from skerry.host.seam import Exit, Output
from tests.api.site import ScriptedLink, Site, silent, tell

EXEC = "/v1/sprites/dev/exec"


async def says(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    yield Output("stdout", b"out")
    yield Output("stderr", b"err")
    yield Exit(7)


async def echoes(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    await link.stdin_ended.wait()
    yield Output("stdout", link.stdin)
    yield Exit(0)


def open_exec(site: Site, query: str, path: str = EXEC, **options: Any) -> connect:
    url = site.websocket_url(f"{path}?{query}")
    return connect(url, additional_headers=site.headers, max_size=None, **options)


async def messages(socket: ClientConnection) -> list[Any]:
    """Return all messages until the server closes, for whatever reason."""
    told: list[Any] = []
    with contextlib.suppress(ConnectionClosedError):
        async for message in socket:
            told += [json.loads(message) if isinstance(message, str) else message]
    return told


def test_streams_are_numbered_and_the_exit_comes_last(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        async with open_exec(site, "cmd=a&cmd=b") as socket:
            info, *rest = await messages(socket)

        assert (info["type"], info["tty"], info["command"]) == ("session_info", False, ["a", "b"])
        assert info["session_id"] == site.last.state.session_id
        assert rest == [b"\x01out", b"\x02err", b"\x03\x07"]
        assert socket.close_code == 1000
        assert site.last.closed.is_set()

    tell(tmp_path, story)


def test_the_answer_to_the_handshake_says_what_is_understood(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, "cmd=a") as socket:
            assert socket.response is not None
            headers = socket.response.headers

        assert headers["Sprite-Version"] == "0.0.1-rc46"
        assert headers["X-Sprite-Capabilities"] == "signal"
        assert "Sec-WebSocket-Extensions" not in headers

    tell(tmp_path, story)


def test_a_terminal_speaks_raw_bytes_and_tells_its_exit_as_text(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        async with open_exec(site, "cmd=a&tty=true&rows=10&cols=20&cc=true") as socket:
            info, *rest = await messages(socket)

        spec = site.machine.specs[-1]
        assert (spec.tty, spec.rows, spec.cols, spec.stdin) == (True, 10, 20, True)
        assert info["tty"] is True
        assert rest == [b"out", b"err", {"type": "exit", "exit_code": 7}]

    tell(tmp_path, story)


def test_stdin_goes_in_until_its_end(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = echoes
        async with open_exec(site, "cmd=a&stdin=true") as socket:
            await socket.send(b"\x00one ")
            await socket.send(b"\x00\xfftwo")
            await socket.send(b"\x04")
            assert (await messages(socket))[1:] == [b"\x01one \xfftwo", b"\x03\x00"]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"type": "resize", "rows": 5, "cols": 9}, ("resize", 5, 9)),
        ({"type": "signal", "signal": "INT"}, ("signal", 2)),
        ({"type": "signal", "signal": "SIGUSR1"}, ("signal", 10)),
    ],
    ids=str,
)
def test_text_messages_steer_the_command(tmp_path: Path, message: Any, told: Any) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, "cmd=a&tty=true") as socket:
            await socket.send(json.dumps({"type": "unheard of"}))
            await socket.send(json.dumps(message))
            await site.last.heard.wait()

        assert site.last.told == [told]

    tell(tmp_path, story)


def test_arguments_may_hold_any_byte(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        query = "cmd=%ff%fe+x&cmd=&cmd=a%26b%3Dc&env=A=%ff=1&dir=/%ff&path=ignored&user=root"
        async with open_exec(site, query):
            spec = site.machine.specs[-1]

        assert spec.argv == [b"\xff\xfe x", b"", b"a&b=c"]
        assert spec.env == {b"A": b"\xff=1"}
        assert (spec.directory, spec.user) == (b"/\xff", "root")

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("query", "limit_ns"),
    [
        ("", 10 * 10**9),
        ("tty=true", None),
        ("max_run_after_disconnect=0", None),
        ("tty=true&max_run_after_disconnect=1m30s", 90 * 10**9),
    ],
)
def test_how_long_it_may_run_on_alone(tmp_path: Path, query: str, limit_ns: int | None) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, f"cmd=a&{query}"):
            assert site.machine.specs[-1].disconnect_ns_max == limit_ns

    tell(tmp_path, story)


def test_who_hangs_up_only_lets_go(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, "cmd=a") as socket:
            await socket.recv()
            socket.transport.abort()
            await site.last.closed.wait()

        assert site.machine.ended == []

    tell(tmp_path, story)


def test_a_session_is_joined_by_path_and_by_id(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, "cmd=a&tty=true") as socket:
            session = json.loads(await socket.recv())["session_id"]
        site.machine.script = says
        async with open_exec(site, "rows=5&cols=6", f"{EXEC}/{session}") as socket:
            by_path = await messages(socket)
        assert site.last.told == [("resize", 5, 6)]
        async with open_exec(site, f"id={session}") as socket:
            by_id = await messages(socket)

        assert by_path == by_id
        assert by_id[0]["session_id"] == session
        assert by_id[1:] == [b"out", b"err", {"type": "exit", "exit_code": 7}]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{EXEC}/ses_0000000000000000", 404, "session_not_found"),
        ("/v1/sprites/none/exec?cmd=a", 404, "box_not_found"),
        (EXEC, 400, "bad_query"),
        (f"{EXEC}?cmd=", 400, "no_command"),
        (f"{EXEC}?cmd=a&rows=0", 400, "bad_query"),
        (f"{EXEC}?cmd=a&env=x", 400, "bad_environment"),
        (f"{EXEC}?cmd=%00", 400, "bad_command"),
        ("/v1/sprites/dev/control", 404, "no_such_call"),
        ("/v1/sprites/none/proxy", 404, "box_not_found"),
        ("/v1/sprites/dev/exec/a%20b", 404, "session_not_found"),
        ("/v1/sprites/dev/exec?id=../x", 404, "session_not_found"),
        ("/v1/sprites/dev/exec/" + "x" * 300, 404, "session_not_found"),
        ("/v1/boxes", 404, "no_such_call"),
    ],
)
def test_what_is_refused_is_refused_in_the_one_shape(
    tmp_path: Path, path: str, status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        with pytest.raises(InvalidStatus) as caught:
            await connect(site.websocket_url(path), additional_headers=site.headers)

        response = caught.value.response
        assert (response.status_code, json.loads(response.body)["error"]) == (status, code)
        assert response.headers["Sprite-Version"] == "0.0.1-rc46"

    tell(tmp_path, story)


@pytest.mark.parametrize(("scope", "status"), [(None, 401), ("read", 403)])
def test_an_exec_needs_a_token_that_may(tmp_path: Path, scope: str | None, status: int) -> None:
    async def story(site: Site) -> None:
        headers = {"Authorization": f"Bearer {site.tokens[scope]}"} if scope else {}
        with pytest.raises(InvalidStatus) as caught:
            await connect(site.websocket_url(f"{EXEC}?cmd=a"), additional_headers=headers)

        assert caught.value.response.status_code == status
        assert site.machine.links == []

    tell(tmp_path, story)


def test_a_session_that_breaks_says_why(tmp_path: Path) -> None:
    async def breaks(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        yield Output("stdout", b"out")
        raise NotAvailable("session_lost", "It is gone. Look again.")

    async def story(site: Site) -> None:
        site.machine.script = breaks
        async with open_exec(site, "cmd=a") as socket:
            told = await messages(socket)

        assert told[-1] == {
            "type": "error", "error": "session_lost", "message": "It is gone. Look again.",
        }  # fmt: skip
        assert socket.close_code == 1011

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"\x09x", "bad_message"), ('{"type": "signal", "signal": "ALRM"}', "bad_signal")],
)
def test_a_client_that_says_what_cannot_be_is_told(
    tmp_path: Path, message: str | bytes, code: str
) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, "cmd=a") as socket:
            await socket.send(message)
            told = await messages(socket)

        assert told[-1]["error"] == code
        assert socket.close_code == 1008

    tell(tmp_path, story)


def test_a_client_that_does_not_read_holds_the_command_back(tmp_path: Path) -> None:
    pulled: list[int] = []

    async def floods(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        for number in range(100):
            pulled.append(number)
            yield Output("stdout", b"x" * (1 << 20))
        yield Exit(0)

    async def story(site: Site) -> None:
        site.machine.script = floods
        async with open_exec(site, "cmd=a", max_queue=1) as socket:
            for _ in range(200):  # turns of the server's loop, in which it could go on
                assert (await site.call("GET", "/healthz")).status == 200
            assert len(pulled) < 60, "what buffers on the way hold, and no more"
            sizes = [len(m) async for m in socket if isinstance(m, bytes)]

        assert sizes == [(1 << 20) + 1] * 100 + [2]

    tell(tmp_path, story)


def test_a_client_that_hears_nothing_gets_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "_SIGN_OF_LIFE_EVERY_S", 0.001)

    async def story(site: Site) -> None:
        site.machine.script = silent
        async with open_exec(site, "cmd=a") as socket:
            await socket.recv()
            assert json.loads(await socket.recv()) == {"type": "alive"}

    tell(tmp_path, story)


def test_a_limit_that_was_hit_is_told_with_the_exit(tmp_path: Path) -> None:
    async def dies(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        yield Exit(137, "Out of memory.")

    async def story(site: Site) -> None:
        site.machine.script = dies
        async with open_exec(site, "cmd=a") as socket:
            _, *rest = await messages(socket)

        assert rest == [{"type": "exit", "exit_code": 137, "notice": "Out of memory."}, b"\x03\x89"]

    tell(tmp_path, story)


def test_a_server_that_stops_sends_its_clients_away_and_lets_go(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with open_exec(site, "cmd=a") as socket:
            await socket.recv()
            site.stop.set()
            await socket.wait_closed()
            await site.last.closed.wait()

        assert socket.close_code == 1012
        assert site.machine.ended == []

    tell(tmp_path, story)


def test_ten_thousand_arguments_arrive(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        words = [f"argument-{n}" for n in range(10_000)]
        async with open_exec(site, "&".join(f"cmd={word}" for word in words)):
            assert [word.decode() for word in site.machine.specs[-1].argv] == words

    tell(tmp_path, story)


def test_what_is_too_much_for_a_request_line_is_refused_plainly(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        with pytest.raises(InvalidStatus) as caught:
            await open_exec(site, "cmd=" + "x" * (1 << 21))

        assert caught.value.response.status_code == 414

    tell(tmp_path, story)


def test_sessions_at_once_do_not_mix(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = echoes

        async def one(number: int) -> list[Any]:
            async with open_exec(site, "cmd=a&stdin=true") as socket:
                await socket.send(b"\x00%d" % number)
                await socket.send(b"\x04")
                return (await messages(socket))[1:]

        results = await asyncio.gather(*(one(n) for n in range(20)))

        assert results == [[b"\x01%d" % n, b"\x03\x00"] for n in range(20)]

    tell(tmp_path, story)


async def raw_socket(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open an exec's WebSocket by hand, for frames that no library sends."""
    reader, writer = await asyncio.open_connection(*site.address)
    head = f"GET {EXEC}?cmd=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    writer.write(f"{head}Authorization: Bearer {site.tokens['admin']}\r\n\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.parametrize(
    ("first", "then", "code"),
    [
        (b"\x02\x80\0\0\0\0", b"\x00\x80\0\0\0\0", 1009),  # a message of empty fragments
        (b"", b"\x89\x80\0\0\0\0", 1008),  # pings
        (b"", b"\x8a\x80\0\0\0\0", 1008),  # answers that nobody asked for
    ],
    ids=["fragments", "pings", "pongs"],
)
def test_a_flood_of_tiny_frames_is_cut(
    tmp_path: Path, first: bytes, then: bytes, code: int
) -> None:
    async def story(site: Site) -> None:
        reader, writer = await raw_socket(site)
        writer.write(first + then * 20_000)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                said += data
        writer.close()
        assert code.to_bytes(2, "big") in said or not said
        await site.last.closed.wait()

    tell(tmp_path, story)
