"""What strangers get from the server of a run's page: the page, its charts, and nothing else."""

import asyncio
from pathlib import Path

import pytest

from skerry_train.errors import TrainerError
from skerry_train.watch import Album, serve
from tests.recorded import session, step, write


async def _ask(album: Album, requests: list[bytes]) -> list[bytes]:
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        server = group.create_task(serve(album, 0, told.set_result))
        port = await told
        answers: list[bytes] = []
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answers.append(await reader.read())
            writer.close()
        server.cancel()
    return answers


def ask(run: Path, *requests: bytes) -> list[bytes]:
    """Return the answers of a server that shows a run to raw requests, one connection each."""
    write(run, session(), step(1), step(2))
    return asyncio.run(_ask(Album(run), list(requests)))


def get(path: str, *headers: str, method: str = "GET", host: str = "localhost:8100") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_the_page_and_its_charts_are_served(tmp_path: Path) -> None:
    page, chart, picture = ask(tmp_path, get("/"), get("/loss.svg?1"), get("/speed.png"))

    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"2 of 1,000" in page
    assert b"image/svg+xml" in chart
    assert b"\r\n\r\n\x89PNG" in picture


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path) -> None:
    (page,) = ask(tmp_path, get("/"))
    tag = next(line for line in page.split(b"\r\n") if line.startswith(b"ETag: "))[6:].decode()

    (again,) = ask(tmp_path / "same" / tmp_path.name, get("/", f"If-None-Match: {tag}"))

    assert again.startswith(b"HTTP/1.1 304 ")
    assert again.endswith(b"\r\n\r\n")


def test_only_the_head_is_sent_if_that_is_asked_for(tmp_path: Path) -> None:
    (head,) = ask(tmp_path, get("/loss.svg", method="HEAD"))

    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/metrics.jsonl"), 404), (get("/../../etc/passwd"), 404), (get("/%2e%2e/train.json"), 404),
        (get("//etc/passwd"), 404), (get("/loss.svg/"), 404), (get("http://localhost/"), 404),
        (get("/", host="evil.example"), 421), (get("/", host="127.0.0.1.evil.example"), 421),
        (get("/", host="["), 421), (b"GET / HTTP/1.1\r\n\r\n", 421),
        (get("/", host="127.0.0.1:9"), 200), (get("/", host="[::1]:9"), 200),
        (get("/", method="POST"), 405), (get("/", method="DELETE"), 405),
        (b"GET /\r\n\r\n", 400), (b"GET / HTTP/2\r\n\r\n", 400), (b"\xff\0 / \r\n\r\n", 400),
        (get("/", "Host: localhost"), 400), (get("/", "nonsense"), 400),
        (get("/", "X: " + "x" * 7000), 200), (get("/", "X: " + "x" * 8192), 431),
    ],
)  # fmt: skip
def test_every_request_has_its_answer(tmp_path: Path, request_: bytes, status: int) -> None:
    (answer,) = ask(tmp_path, request_)

    assert int(answer.split()[1]) == status


def test_more_connections_than_there_is_room_for_are_turned_away(tmp_path: Path) -> None:
    write(tmp_path, session(), step(1))

    async def crowd() -> bytes:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            server = group.create_task(serve(Album(tmp_path), 0, told.set_result))
            port = await told
            pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(33)]
            answer = await pairs[-1][0].read()
            for _, writer in pairs:
                writer.close()
            server.cancel()
        return answer

    assert asyncio.run(crowd()).startswith(b"HTTP/1.1 503 ")


def test_a_run_that_has_gone_is_told_in_a_sentence(tmp_path: Path) -> None:
    (answer,) = asyncio.run(_ask(Album(tmp_path / "gone"), [get("/")]))

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"there is no run directory" in answer


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async def twice() -> None:
        album, told = Album(tmp_path), asyncio.get_running_loop().create_future()
        first = asyncio.create_task(serve(album, 0, told.set_result))
        try:
            await serve(album, await told, print)
        finally:
            first.cancel()

    with pytest.raises(TrainerError, match="can not be had"):
        asyncio.run(twice())
