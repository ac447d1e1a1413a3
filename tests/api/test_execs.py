"""Execs over plain HTTP: run to the end, streamed, listed and ended."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from skerry.host.seam import Exit, Output
from tests.api.site import ScriptedLink, Site, chunks, silent, tell

RUN = "/v1/boxes/dev/run"
EXEC = "/v1/sprites/dev/exec"


async def says(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    yield Output("stdout", b"out")
    yield Output("stderr", b"err")
    yield Exit(7, "A limit.")


async def echoes(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
    await link.stdin_ended.wait()
    yield Output("stdout", link.stdin)
    yield Exit(0)


async def run(site: Site, **body: Any) -> Any:
    answer = await site.call("POST", RUN, json.dumps(body).encode())
    assert answer.status == 200, answer.body
    return answer.json()


def test_a_run_answers_with_all_that_came(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        done = await run(site, cmd=["a", "b"], env={"A": "1"}, dir="/tmp", user="root")

        assert (done["exit_code"], done["stdout"], done["stderr"]) == (7, "out", "err")
        assert (done["encoding"], done["truncated"], done["notice"]) == ("utf-8", False, "A limit.")
        spec = site.machine.specs[-1]
        assert (spec.argv, spec.env, spec.directory) == ([b"a", b"b"], {b"A": b"1"}, b"/tmp")
        assert (spec.user, spec.stdin, spec.disconnect_ns_max) == ("root", False, 0)

    tell(tmp_path, story)


def test_a_run_is_given_its_stdin(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = echoes

        assert (await run(site, cmd=["a"], stdin="h\u00e9"))["stdout"] == "h\u00e9"
        assert (await run(site, cmd=["a"], stdin=""))["stdout"] == ""

    tell(tmp_path, story)


def test_output_that_is_no_text_is_base64(tmp_path: Path) -> None:
    async def binary(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        yield Output("stdout", b"\xff\x00")
        yield Exit(0)

    async def story(site: Site) -> None:
        site.machine.script = binary
        done = await run(site, cmd=["a"])

        assert done["encoding"] == "base64"
        assert base64.b64decode(done["stdout"]) == b"\xff\x00"

    tell(tmp_path, story)


def test_more_output_than_may_be_is_cut_and_read_on(tmp_path: Path) -> None:
    async def floods(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        for _ in range(10):
            yield Output("stdout", b"x" * 10_000)
        yield Exit(3)

    async def story(site: Site) -> None:
        site.machine.script = floods
        done = await run(site, cmd=["a"])

        assert (len(done["stdout"]), done["truncated"], done["exit_code"]) == (65_536, True, 3)

    tell(tmp_path, story)


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async def hangs(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        yield Output("stdout", b"so far")
        await link.closed.wait()

    async def story(site: Site) -> None:
        site.machine.script = hangs
        done = await run(site, cmd=["a"], timeout="1ms")

        assert (done["exit_code"], done["stdout"]) == (137, "so far")
        assert "1ms" in done["notice"]
        assert site.machine.ended == [f"{site.last.state.session_id} 9 0"]

    tell(tmp_path, story)


def test_a_run_whose_caller_hangs_up_is_let_go_of(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        begun = asyncio.Event()

        async def hangs(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
            begun.set()
            await link.closed.wait()
            yield Exit(0)

        site.machine.script = hangs
        calling = asyncio.create_task(run(site, cmd=["a"]))
        await begun.wait()
        calling.cancel()

        await site.last.closed.wait()
        assert site.machine.specs[-1].disconnect_ns_max == 0

    tell(tmp_path, story)


def test_a_stream_is_one_chunk_for_each_piece(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        request = (
            f"POST {EXEC}?cmd=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
            f"Authorization: Bearer {site.tokens['write']}\r\n\r\n"
        )
        head, _, body = (await site.raw(request.encode())).partition(b"\r\n\r\n")

        assert chunks(body) == [b"\x01out", b"\x02err", b"\x03\x07"]
        assert b"content-type: application/octet-stream" in head
        assert b"x-sprite-capabilities: signal" in head

    tell(tmp_path, story)


def test_the_body_of_a_stream_is_stdin(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = echoes
        body = bytes(range(256)) * 1000
        answer = await site.call("POST", f"{EXEC}?cmd=a&stdin=true", body)

        assert answer.body == b"\x01" + body + b"\x03\x00"

    tell(tmp_path, story)


def test_stdin_and_output_flow_at_once(tmp_path: Path) -> None:
    async def answers(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        await link.heard.wait()
        yield Output("stdout", b"heard " + link.stdin)
        await link.stdin_ended.wait()
        yield Exit(0)

    async def story(site: Site) -> None:
        site.machine.script = answers
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(
            f"POST {EXEC}?cmd=a&stdin=true HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Authorization: Bearer {site.tokens['write']}\r\n\r\n3\r\none\r\n".encode()
        )
        await reader.readuntil(b"\x01heard one\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.readuntil(b"\x03\x00\r\n0\r\n\r\n")
        writer.close()

    tell(tmp_path, story)


def test_a_stream_whose_reader_hangs_up_is_let_go_of(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = silent
        calling = asyncio.create_task(site.call("POST", f"{EXEC}?cmd=a"))
        while not site.machine.links:
            await asyncio.sleep(0)
        calling.cancel()
        await site.last.closed.wait()

        assert site.machine.ended == []

    tell(tmp_path, story)


def test_a_url_longer_than_a_parser_counts_is_taken(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        words = [f"argument-{n}" for n in range(10_000)]
        answer = await site.call("POST", f"{EXEC}?" + "&".join(f"cmd={word}" for word in words))

        assert answer.status == 200
        assert [word.decode() for word in site.machine.specs[-1].argv] == words

    tell(tmp_path, story)


def test_ten_thousand_arguments_fit_in_a_body(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        await run(site, cmd=["x" * 50] * 10_000)

        assert len(site.machine.specs[-1].argv) == 10_000

    tell(tmp_path, story)


def test_sessions_are_listed(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        await run(site, cmd=["a", "\x7f"] + ["x"] * 200)
        (listed,) = (await site.call("GET", EXEC, scope="read")).json()["sessions"]

        assert listed["id"] == site.last.state.session_id
        assert (listed["is_active"], listed["tty"], listed["workdir"]) == (True, False, "/")
        assert len(listed["argv"]) == 101

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("query", "body", "sent"),
    [
        ("", "", "15 10000000000"),
        ("signal=KILL&timeout=0", "", "9 0"),
        ("signal=SIGINT&timeout=1m", "", "2 60000000000"),
        ("", '{"signal": "SIGHUP", "timeout": 3}', "1 3000000000"),
    ],
)
def test_a_session_is_ended(tmp_path: Path, query: str, body: str, sent: str) -> None:
    async def story(site: Site) -> None:
        site.machine.script = says
        await run(site, cmd=["a"])
        session = site.last.state.session_id
        path = f"{EXEC}/{session}/kill?{query}"
        answer = await site.call("POST", path, body.encode())

        kinds = [json.loads(line)["type"] for line in answer.body.splitlines()]
        assert (answer.status, kinds) == (200, ["signal", "exited", "complete"])
        assert site.machine.ended == [f"{session} {sent}"]
        assert (await site.call("POST", path)).status == 410

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", RUN, b'{"cmd": []}', 400, "bad_body"),
        ("POST", RUN, b'{"cmd": [""]}', 400, "no_command"),
        ("POST", RUN, b'{"cmd": ["a\\u0000"]}', 400, "bad_command"),
        ("POST", RUN, b'{"cmd": ["\xff"]}', 400, "bad_body"),
        ("POST", RUN, b'{"cmd": ["\\ud800"]}', 400, "bad_body"),
        ("POST", RUN, b'{"cmd": ["a"], "env": {"": "x"}}', 400, "bad_environment"),
        ("POST", RUN, b'{"cmd": ["a"], "timeout": "soon"}', 400, "bad_body"),
        ("POST", RUN, b'{"cmd": ["' + b"a" * 200_000 + b'"]}', 400, "bad_body"),
        ("POST", RUN, b'{"cmd": ["' + b"a" * 2_000_000 + b'"]}', 413, "body_too_large"),
        ("POST", f"{EXEC}?cmd=a&tty=true", b"", 400, "no_terminal"),
        ("POST", EXEC, b"", 400, "bad_query"),
        ("POST", f"{EXEC}?cmd=a&dir=/&dir=/tmp", b"", 400, "bad_query"),
        ("POST", f"{EXEC}/ses_0000000000000000/kill", b"", 410, "session_gone"),
        ("POST", f"{EXEC}/ses_0000000000000000/kill?signal=SEGV", b"", 400, "bad_signal"),
        ("POST", f"{EXEC}/ses_0000000000000000/kill?timeout=-1s", b"", 400, "bad_query"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_told_why(
    tmp_path: Path, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    async def story(site: Site) -> None:
        answer = await site.call(method, path, body)

        assert (answer.status, answer.json()["error"]) == (status, code)
        assert site.machine.links == []

    tell(tmp_path, story)


def test_pieces_that_come_at_once_are_one_chunk_for_each_stream(tmp_path: Path) -> None:
    async def bursts(_link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        for _ in range(100):
            yield Output("stdout", b"o" * 1000)
        yield Output("stderr", b"e")
        for _ in range(2000):
            yield Output("stdout", b"O" * 1000)
        yield Exit(0)

    async def story(site: Site) -> None:
        site.machine.script = bursts
        request = (
            f"POST {EXEC}?cmd=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
            f"Authorization: Bearer {site.tokens['write']}\r\n\r\n"
        )
        _, _, body = (await site.raw(request.encode())).partition(b"\r\n\r\n")
        told = chunks(body)

        assert len(told) < 20
        assert told[-1] == b"\x03\x00"
        streams = b"".join(chunk[1:] for chunk in told[:-1])
        assert streams == b"o" * 100_000 + b"e" + b"O" * 2_000_000

    tell(tmp_path, story)


def test_a_stdin_that_is_too_large_ends_the_stream_without_an_exit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(site: Site) -> None:
        site.machine.script = silent
        with contextlib.suppress(ConnectionResetError):
            answer = await site.call("POST", f"{EXEC}?cmd=a&stdin=true", b"x" * (5 << 20))
            assert b"\x03" not in answer.body
        await site.last.closed.wait()

    tell(tmp_path, story)
    assert capsys.readouterr().err == ""


def test_an_exec_that_does_not_read_is_let_go_of_when_its_caller_hangs_up(tmp_path: Path) -> None:
    async def deaf(link: ScriptedLink) -> AsyncIterator[Output | Exit]:
        link.reads.clear()
        await link.closed.wait()
        yield Exit(0)

    async def story(site: Site) -> None:
        site.machine.script = deaf
        _, writer = await asyncio.open_connection(*site.address)
        head = "POST /v1/boxes/dev/exec?cmd=a&stdin=true HTTP/1.1\r\nHost: x\r\n"
        head += f"Authorization: Bearer {site.tokens['admin']}\r\nContent-Length: 9000\r\n\r\n"
        writer.write(head.encode() + b"x" * 5000)
        while not site.machine.links:
            await asyncio.sleep(0)
        await site.last.heard.wait()
        writer.transport.abort()
        await site.last.closed.wait()

    tell(tmp_path, story)
