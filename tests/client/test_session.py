import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from wsproto import events as ws

from skerry.base import Failed, NotAvailable, NotFound
from skerry.client import Box, CommandFailed, CommandTimedOut
from skerry.client.calls import Calls
from skerry.client.endpoint import Endpoint
from skerry.client.websocket import open_websocket
from tests.client.peer import Line, Script, peer, stands_still

INFO = '{"type":"session_info","session_id":"ses_1","tty":false}'
TTY_INFO = '{"type":"session_info","session_id":"ses_1","tty":true}'
KILLED = b'{"type":"complete","exit_code":143}\n'


def with_box(
    folder: Path, *scripts: Script
) -> Callable[[Callable[[Box], Coroutine[Any, Any, None]]], None]:
    """Run work on a box of a server of scripts."""

    def run(work: Callable[[Box], Coroutine[Any, Any, None]]) -> None:
        async def both() -> None:
            async with peer(folder, *scripts) as served:
                calls = Calls(served.endpoint)
                await work(Box(calls, "dev"))
                await calls.close()

        asyncio.run(both())

    return run


def sending(*messages: bytes | str) -> Script:
    """A session that says messages and closes."""

    async def script(line: Line) -> None:
        await line.handshake()
        await line.send(INFO, *messages)
        await line.goodbye()
        await line.gone()

    return script


async def runs_on(line: Line) -> None:
    await line.handshake()
    await runs_on_from_here(line)


async def runs_on_from_here(line: Line) -> None:
    await line.send(INFO, b"\x01out")
    await line.gone()


async def kills(line: Line) -> None:
    assert (await line.asked()).target == (
        "/v1/boxes/dev/exec/ses_1/kill?signal=TERM&timeout=2000ms"
    )
    await line.answer(200, KILLED)


def test_streams_stay_apart_and_the_exit_code_comes_last(tmp_path: Path) -> None:
    async def work(box: Box) -> None:
        async with box.open("make") as session:
            output = [each async for each in session]
        assert output == [("stdout", b"a"), ("stderr", b"b"), ("stdout", b"\x01c")]
        assert (session.id, session.exit_code) == ("ses_1", 7)

    with_box(tmp_path, sending(b"\x01a", b"\x02b", b"\x01\x01c", b"\x03\x07"))(work)


def test_a_limit_that_was_hit_is_noticed(tmp_path: Path) -> None:
    exited = '{"type":"exit","exit_code":137,"notice":"out of memory"}'

    async def work(box: Box) -> None:
        async with box.open("make") as session:
            assert await session.wait() == 137
        assert session.notice == "out of memory"

    with_box(tmp_path, sending(exited, b"\x03\x89"))(work)


def test_messages_of_kinds_that_are_not_known_are_skipped(tmp_path: Path) -> None:
    async def work(box: Box) -> None:
        async with box.open("make") as session:
            assert await session.wait() == 0

    with_box(tmp_path, sending('{"type":"port_opened","port":1}', b"\x09x", b"", b"\x03\x00"))(work)


def test_a_message_in_parts_is_joined(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.handshake()
        await line.send(INFO)
        await line.send(b"\x01a", b"b", finished=False)
        await line.send(b"c", b"\x03\x00")
        await line.gone()

    async def work(box: Box) -> None:
        async with box.open("make") as session:
            assert await anext(session) == ("stdout", b"abc")
            await session.detach()

    with_box(tmp_path, script)(work)


def test_an_end_without_an_exit_code_is_an_error(tmp_path: Path) -> None:
    async def work(box: Box) -> None:
        with pytest.raises(NotAvailable) as caught:
            async with box.open("make") as session:
                await session.wait()
        assert caught.value.code == "connection_lost"

    with_box(tmp_path, sending(), kills)(work)


def test_an_error_in_a_session_is_told(tmp_path: Path) -> None:
    told = '{"type":"error","error":"bad_signal","message":"No such signal."}'

    async def work(box: Box) -> None:
        with pytest.raises(Failed, match="No such signal"):
            async with box.open("make") as session:
                await session.wait()

    with_box(tmp_path, sending(told), kills)(work)


def test_a_session_that_is_refused_tells_why(tmp_path: Path) -> None:
    async def refusing(line: Line) -> None:
        await line.asked()
        await line.answer(404, b'{"error":"command_not_found","message":"No."}')

    async def work(box: Box) -> None:
        with pytest.raises(NotFound) as caught:
            async with box.open("nope"):
                raise AssertionError
        assert caught.value.code == "command_not_found"

    with_box(tmp_path, refusing)(work)


def test_leaving_a_block_ends_what_it_started(tmp_path: Path) -> None:
    async def work(box: Box) -> None:
        async with box.open("sleep", "100") as session:
            assert await anext(session) == ("stdout", b"out")

    with_box(tmp_path, runs_on, kills)(work)


def test_a_cancelled_block_ends_what_it_started(tmp_path: Path) -> None:
    async def use(box: Box, began: asyncio.Event) -> None:
        async with box.open("sleep", "100") as session:
            began.set()
            await session.wait()

    async def work(box: Box) -> None:
        began = asyncio.Event()
        task = asyncio.create_task(use(box, began))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_box(tmp_path, runs_on, kills)(work)


def test_a_command_that_is_cancelled_while_it_begins_is_ended(tmp_path: Path) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(line: Line) -> None:
        await line.handshake()
        asked.set()
        await cancelled.wait()
        await runs_on_from_here(line)

    async def use(box: Box) -> None:
        async with box.open("sleep", "100", tty=True):
            raise AssertionError

    async def work(box: Box) -> None:
        task = asyncio.create_task(use(box))
        await asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_box(tmp_path, slow, kills)(work)


def test_a_detached_session_is_left_running(tmp_path: Path) -> None:
    async def work(box: Box) -> None:
        async with box.open("sleep", "100") as session:
            await session.detach()
        assert session.exit_code is None

    with_box(tmp_path, runs_on)(work)


def test_leaving_a_joined_session_leaves_it_running(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        assert await line.handshake() == "/v1/boxes/dev/exec/ses_1"
        await line.send(INFO, b"\x01recent")
        await line.gone()

    async def work(box: Box) -> None:
        async with box.attach("ses_1") as session:
            assert await anext(session) == ("stdout", b"recent")

    with_box(tmp_path, script)(work)


def test_a_command_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    async def work(box: Box) -> None:
        with pytest.raises(CommandTimedOut):
            await box.exec("sleep", "100", timeout=0.05)

    with_box(tmp_path, runs_on, kills)(work)


def test_input_goes_in_and_output_comes_out_at_once(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192

    async def echoing(line: Line) -> None:
        await line.handshake()
        await line.send(INFO)
        while isinstance(event := await line.heard(), ws.BytesMessage):
            number, rest = event.data[0], bytes(event.data[1:])
            if number == 4:
                break
            await line.send(b"\x01" + rest)
        await line.send(b"\x03\x00")
        await line.goodbye()
        await line.gone()

    async def work(box: Box) -> None:
        assert (await box.exec("cat", stdin=data)).stdout_bytes == data

    with_box(tmp_path, echoing)(work)


def test_input_that_fails_fails_the_command(tmp_path: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"some"
        raise OSError(5, "the disk is broken")

    async def work(box: Box) -> None:
        with pytest.raises(OSError, match="the disk is broken"):
            await box.exec("cat", stdin=failing())

    with_box(tmp_path, runs_on, kills)(work)


def test_what_is_no_text_goes_into_the_query(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        query = urlsplit(await line.handshake()).query
        pairs = parse_qsl(query, encoding="latin-1", keep_blank_values=True)
        assert [value for name, value in pairs if name == "cmd"] == ["printf", "\xff\n&=", ""]
        assert ("env", "A=\xfe b") in pairs
        await line.send(INFO, b"\x03\x00")
        await line.goodbye()
        await line.gone()

    async def work(box: Box) -> None:
        await box.exec("printf", b"\xff\n&=", "", env={"A": b"\xfe b"})

    with_box(tmp_path, script)(work)


def test_a_text_command_is_one_request(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        asked = await line.asked()
        assert (asked.method, asked.target) == ("POST", "/v1/boxes/dev/run")
        assert asked.body.startswith(b'{"cmd":["echo","\xc3\xbc"],"env":null,')
        await line.answer(200, b'{"exit_code":3,"stdout":"/wA=","stderr":"","encoding":"base64"}')

    async def work(box: Box) -> None:
        with pytest.raises(CommandFailed) as caught:
            await box.exec("echo", "\u00fc", check=True)
        assert caught.value.result.stdout_bytes == b"\xff\x00"
        assert caught.value.result.stdout == "\ufffd\x00"

    with_box(tmp_path, script)(work)


def test_a_terminal_is_raw_and_can_be_resized_and_signalled(tmp_path: Path) -> None:
    heard: list[object] = []

    async def script(line: Line) -> None:
        assert "tty=true&rows=50&cols=180" in await line.handshake()
        await line.send(TTY_INFO, b"\x01raw")
        while isinstance(event := await line.heard(), ws.TextMessage | ws.BytesMessage):
            heard.append(event.data)
            if len(heard) == 4:
                await line.send('{"type":"exit","exit_code":0}')
                await line.goodbye()

    async def work(box: Box) -> None:
        async with box.open("bash", tty=True, rows=50, cols=180) as session:
            assert await anext(session) == ("stdout", b"\x01raw")
            await session.write(b"ls\n")
            await session.resize(30, 90)
            await session.signal("INT")
            await session.write_eof()
            assert await session.wait() == 0

    with_box(tmp_path, script)(work)

    assert heard == [
        b"ls\n",
        '{"type":"resize","cols":90,"rows":30}',
        '{"type":"signal","signal":"INT"}',
        b"\x04",
    ]


def test_output_that_nobody_reads_holds_the_server_back(tmp_path: Path) -> None:
    sent = 0

    async def endless(line: Line) -> None:
        nonlocal sent
        await line.handshake()
        await line.send(INFO)
        try:
            while True:
                await line.send(b"\x01" + bytes(65536))
                sent += 65536
        except ConnectionError:
            return

    async def work(box: Box) -> None:
        async with box.attach("ses_1") as session:
            await anext(session)
            await stands_still(lambda: sent)
        assert sent < 8 * 1024 * 1024

    with_box(tmp_path, endless)(work)


async def listen(endpoint: Endpoint) -> None:
    async with open_websocket(endpoint, "/v1/x", silence_seconds=0.05) as websocket:
        await websocket.receive()


def test_a_silent_server_is_asked_and_then_given_up(tmp_path: Path) -> None:
    async def silent(line: Line) -> None:
        await line.handshake()
        assert isinstance(await line.heard(), ws.Ping)
        await line.gone()

    async def work() -> None:
        async with peer(tmp_path, silent) as served:
            with pytest.raises(NotAvailable) as caught:
                await listen(served.endpoint)
            assert caught.value.code == "timed_out"

    asyncio.run(work())


def test_a_server_that_answers_a_ping_is_waited_for(tmp_path: Path) -> None:
    async def slow(line: Line) -> None:
        await line.handshake()
        for _ in range(3):
            ping = await line.heard()
            assert isinstance(ping, ws.Ping)
            await line.pong(ping)
        await line.goodbye()
        await line.gone()

    async def work() -> None:
        async with peer(tmp_path, slow) as served:
            await listen(served.endpoint)

    asyncio.run(work())


def test_a_server_that_breaks_the_protocol_is_left(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.handshake()
        await line.send(INFO)
        line.writer.write(b"\xff\xff\xff\xff\xff")
        await line.gone()

    async def work(box: Box) -> None:
        with pytest.raises(NotAvailable):
            async with box.attach("ses_1") as session:
                await session.wait()

    with_box(tmp_path, script)(work)
