import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry import wire
from skerry.base import Failed, NotAvailable, NotFound, SkerryError, TooLarge
from skerry.client.calls import Calls
from skerry.client.endpoint import Endpoint
from tests.client.peer import Line, Script, peer, stands_still

VERSION = b'{"version":"9","instance":"i","boxes":0,"pid":1}'
PIECE = bytes(64 * 1024)


def with_peer(
    folder: Path, *scripts: Script
) -> Callable[[Callable[[Calls], Coroutine[Any, Any, None]]], int]:
    """Run work against a server of scripts; return how many connections it made."""

    def run(work: Callable[[Calls], Coroutine[Any, Any, None]]) -> int:
        async def both() -> int:
            async with peer(folder, *scripts) as served:
                calls = Calls(served.endpoint)
                await work(calls)
                await calls.close()
            return served.connections

        return asyncio.run(both())

    return run


async def version(calls: Calls, limit_seconds: float | None = 5) -> wire.Version:
    return await calls.ask(wire.Version, "GET", "/v1/version", limit_seconds=limit_seconds)


def answering(*answers: tuple[int, bytes]) -> Script:
    async def script(line: Line) -> None:
        for status, body in answers:
            await line.asked()
            await line.answer(status, body)

    return script


def test_one_connection_carries_many_requests(tmp_path: Path) -> None:
    async def work(calls: Calls) -> None:
        for _ in range(3):
            assert (await version(calls)).version == "9"

    assert with_peer(tmp_path, answering(*[(200, VERSION)] * 3))(work) == 1


def test_requests_at_once_have_a_connection_each(tmp_path: Path) -> None:
    async def work(calls: Calls) -> None:
        await asyncio.gather(version(calls), version(calls))

    assert with_peer(tmp_path, *[answering((200, VERSION))] * 2)(work) == 2


def test_a_request_that_may_be_repeated_survives_an_idle_connection_that_was_closed(
    tmp_path: Path,
) -> None:
    async def closes_on_the_second(line: Line) -> None:
        await line.asked()
        await line.answer(200, VERSION)
        await line.asked()

    async def work(calls: Calls) -> None:
        await version(calls)
        await version(calls)

    assert with_peer(tmp_path, closes_on_the_second, answering((200, VERSION)))(work) == 2


def test_a_request_that_must_not_be_repeated_is_not(tmp_path: Path) -> None:
    async def closes_on_the_second(line: Line) -> None:
        await line.asked()
        await line.answer(200, VERSION)
        await line.asked()

    async def work(calls: Calls) -> None:
        await version(calls)
        with pytest.raises(NotAvailable) as caught:
            await calls.tell("POST", "/v1/boxes")
        assert caught.value.code == "connection_lost"

    assert with_peer(tmp_path, closes_on_the_second)(work) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (404, b'{"error":"box_not_found","message":"No."}', NotFound, "box_not_found"),
        (413, b'{"error":"body_too_large","message":"No."}', TooLarge, "body_too_large"),
        (502, b"<html>Bad gateway</html>", NotAvailable, "unexpected_answer"),
        (500, b"", Failed, "unexpected_answer"),
    ],
)
def test_an_error_is_of_the_kind_that_its_status_says(
    tmp_path: Path, status: int, body: bytes, kind: type[SkerryError], code: str
) -> None:
    async def work(calls: Calls) -> None:
        with pytest.raises(kind) as caught:
            await version(calls)
        assert caught.value.code == code

    with_peer(tmp_path, answering((status, body)))(work)


def test_an_error_keeps_its_details_and_path(tmp_path: Path) -> None:
    told = wire.Error(error="disk_limit", message="Full.", path="/a", details={"limit": 1})

    async def work(calls: Calls) -> None:
        with pytest.raises(SkerryError) as caught:
            await version(calls)
        assert caught.value.details == {"limit": 1, "path": "/a"}

    with_peer(tmp_path, answering((507, msgspec.json.encode(told))))(work)


def test_an_error_leaves_the_connection_usable(tmp_path: Path) -> None:
    async def work(calls: Calls) -> None:
        with pytest.raises(NotFound):
            await version(calls)
        await version(calls)

    error = b'{"error":"box_not_found","message":"No."}'
    assert with_peer(tmp_path, answering((404, error), (200, VERSION)))(work) == 1


def test_an_answer_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    async def work(calls: Calls) -> None:
        with pytest.raises(Failed) as caught:
            await version(calls)
        assert caught.value.code == "bad_answer"

    with_peer(tmp_path, answering((200, b"<html>hello</html>")))(work)


def test_what_is_no_http_ends_the_connection(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        line.writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
        await line.gone()

    async def work(calls: Calls) -> None:
        with pytest.raises(NotAvailable):
            await version(calls)

    with_peer(tmp_path, script, script)(work)


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    async def silent(line: Line) -> None:
        await line.asked()
        await line.gone()

    async def work(calls: Calls) -> None:
        with pytest.raises(NotAvailable) as caught:
            await version(calls, limit_seconds=0.05)
        assert caught.value.code == "timed_out"

    with_peer(tmp_path, silent)(work)


def test_a_cancelled_request_closes_its_connection(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def silent(line: Line) -> None:
        await line.asked()
        asked.set()
        await line.gone()

    async def work(calls: Calls) -> None:
        task = asyncio.create_task(version(calls))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_peer(tmp_path, silent)(work)


def test_a_response_that_is_left_early_closes_its_connection(tmp_path: Path) -> None:
    async def endless(line: Line) -> None:
        await line.asked()
        await line.begin()
        await line.piece(b"first")
        await line.gone()

    async def work(calls: Calls) -> None:
        async with calls.open("GET", "/v1/x") as response:
            assert await anext(response.pieces()) == b"first"

    with_peer(tmp_path, endless)(work)


def test_a_response_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    async def breaking(line: Line) -> None:
        await line.asked()
        await line.begin()
        await line.piece(b"[1,")

    async def work(calls: Calls) -> None:
        with pytest.raises(NotAvailable) as caught:
            await calls.ask(list[int], "GET", "/v1/x")
        assert caught.value.code == "connection_lost"

    with_peer(tmp_path, breaking)(work)


def test_a_download_is_not_read_ahead(tmp_path: Path) -> None:
    sent = 0

    async def endless(line: Line) -> None:
        nonlocal sent
        await line.asked()
        await line.begin()
        try:
            while True:
                await line.piece(PIECE)
                sent += len(PIECE)
        except ConnectionError:
            return

    async def work(calls: Calls) -> None:
        async with calls.open("GET", "/v1/x") as response:
            await anext(response.pieces())
            await stands_still(lambda: sent)
        assert sent < 8 * 1024 * 1024

    with_peer(tmp_path, endless)(work)


def test_an_upload_is_not_read_ahead(tmp_path: Path) -> None:
    made = 0
    stop = asyncio.Event()

    async def not_reading(line: Line) -> None:
        await line.event()
        await stop.wait()

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += len(PIECE)
            yield PIECE

    async def work(calls: Calls) -> None:
        task = asyncio.create_task(calls.tell("PUT", "/v1/x", body=pieces()))
        await stands_still(lambda: made)
        assert made < 8 * 1024 * 1024
        task.cancel()
        stop.set()
        await asyncio.wait([task])

    with_peer(tmp_path, not_reading)(work)


def test_an_upload_that_is_refused_in_its_middle_tells_why(tmp_path: Path) -> None:
    async def refusing(line: Line) -> None:
        await line.event()
        await line.event()
        await line.answer(413, b'{"error":"body_too_large","message":"Too large."}')
        await line.gone()

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield PIECE

    async def work(calls: Calls) -> None:
        with pytest.raises(TooLarge) as caught:
            await calls.tell("PUT", "/v1/x", body=pieces())
        assert caught.value.code == "body_too_large"

    with_peer(tmp_path, refusing)(work)


def test_an_upload_arrives_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    got: list[bytes] = []

    async def taking(line: Line) -> None:
        got.append((await line.asked()).body)
        await line.answer(204)

    async def work(calls: Calls) -> None:
        await calls.tell("PUT", "/v1/x", body=data)

    with_peer(tmp_path, taking)(work)

    assert got == [data]


def test_what_an_upload_reads_may_fail(tmp_path: Path) -> None:
    async def taking(line: Line) -> None:
        await line.event()
        await line.gone()

    async def pieces() -> AsyncIterator[bytes]:
        yield PIECE
        raise OSError(5, "the disk is broken")

    async def work(calls: Calls) -> None:
        with pytest.raises(OSError, match="the disk is broken"):
            await calls.tell("PUT", "/v1/x", body=pieces())

    with_peer(tmp_path, taking)(work)


def test_lines_come_as_they_are_sent_however_they_are_cut(tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.asked()
        await line.begin()
        for piece in (b'{"type":', b'"info","data":"a"}\n\n{"type":"info"', b',"data":"b"}\n'):
            await line.piece(piece)
        await line.piece(b'{"type":"complete","data":"c"}')
        await line.finish()

    async def work(calls: Calls) -> None:
        lines = [each async for each in calls.lines(wire.Progress, "POST", "/v1/x")]
        assert [each.data for each in lines] == ["a", "b", "c"]

    with_peer(tmp_path, script)(work)


def test_nobody_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match="skerry up") as caught:
        asyncio.run(version(Calls(Endpoint(socket_path=str(tmp_path / "admin.sock")))))
    assert caught.value.code == "no_connection"


def test_a_socket_may_have_a_path_of_any_length(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    async def work() -> None:
        async with peer(tmp_path, answering((200, VERSION))) as served:
            (deep / "admin.sock").symlink_to(str(served.endpoint.socket_path))
            calls = Calls(Endpoint(socket_path=str(deep / "admin.sock")))
            assert (await version(calls)).version == "9"
            await calls.close()

    asyncio.run(work())
