"""The access log: what it tells, what it keeps to itself, and how much of it there is."""

import asyncio
import contextlib
import json
import resource
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from skerry.gateway import access_log
from skerry.gateway.access_log import AccessLog, Entry
from skerry.gateway.control import Box
from tests.gateway.place import AWAKE, BOX_ID, gateway, run

ENTRY = Entry(
    at_ns=0, client="10.0.0.9", host="amber.localhost", method="GET", path="/a", status=200,
    bytes_out=5, duration_ms=1.5, box_id=BOX_ID,
)  # fmt: skip


@contextlib.contextmanager
def file_size_limit(size: int) -> Generator[None]:
    """Let no file of this process grow past size: the kernel takes what fits, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, former)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def logged(path: Path, request: bytes, box: Box = AWAKE) -> list[dict[str, object]]:
    """Return what is logged of a request, once the gateway has ended."""

    async def story() -> None:
        async with gateway(box, log=AccessLog(str(path))) as place:
            program = await place.program()
            client = await place.ask(request)
            if b"nobody" not in request:
                inside = await program.get()
                await inside.request()
                inside.answer(b"")
            await client.head()

    run(story())
    return lines(path)


def test_a_request_is_told_without_its_query(tmp_path: Path) -> None:
    (line,) = logged(tmp_path / "log", b"GET /a?token=secret HTTP/1.1\r\nHOST\r\n\r\n")

    assert (line["path"], line["status"], line["box_id"]) == ("/a", 200, BOX_ID)
    assert (line["client"], line["host"]) == ("127.0.0.1", "amber.localhost")
    assert "secret" not in json.dumps(line)


def test_what_the_gateway_answers_itself_is_told_too(tmp_path: Path) -> None:
    request = b'GET /"\\x HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n'
    (line,) = logged(tmp_path / "log", request)

    assert (line["path"], line["status"], line["box_id"]) == ('/"\\x', 404, None)


def test_at_its_limit_it_becomes_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "_BYTES_MAX", 100)

    async def story() -> None:
        log = AccessLog(str(tmp_path / "log"))
        for _ in range(3):
            log.add(ENTRY)
            await log.flush()

    asyncio.run(story())
    assert len(lines(tmp_path / "log.1")) == 1
    assert not (tmp_path / "log").exists()


def test_what_a_disk_does_not_take_is_counted_and_told_later(tmp_path: Path) -> None:
    folder = tmp_path / "later"

    async def story() -> None:
        log = AccessLog(str(folder / "log"))
        for _ in range(2):
            log.add(ENTRY)
            await log.flush()
        folder.mkdir()
        log.add(ENTRY)
        await log.flush()

    asyncio.run(story())
    assert lines(folder / "log")[1:] == [{"lost": 2}]


def test_no_line_is_left_in_half(tmp_path: Path) -> None:
    async def story() -> None:
        log = AccessLog(str(tmp_path / "log"))
        log.add(ENTRY)
        await log.flush()
        size = (tmp_path / "log").stat().st_size
        with file_size_limit(size + 10):
            log.add(ENTRY)
            await log.flush()
        log.add(ENTRY)
        await log.flush()

    asyncio.run(story())
    assert lines(tmp_path / "log")[2:] == [{"lost": 1}]


def test_no_more_waits_for_a_disk_than_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_WAITING_MAX", 2)

    async def story() -> None:
        log = AccessLog(str(tmp_path / "log"))
        for _ in range(5):
            log.add(ENTRY)
        await log.flush()

    asyncio.run(story())
    assert lines(tmp_path / "log")[2:] == [{"lost": 3}]
