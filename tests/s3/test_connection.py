"""A connection by itself, on a transport that writes down what is done to it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from skerry.s3.connection import Connection, Request, Response
from tests.s3.site import Site, request, tell


class Wire:
    """A transport. sent: what the client would get."""

    def __init__(self) -> None:
        self.sent = b""
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.sent += bytes(data)

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def get_extra_info(self, _name: str) -> None:
        return None

    def set_write_buffer_limits(self, *_sizes: int) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


def on_wire(
    story: Callable[[Connection, Wire, list[Request]], Awaitable[None]], answer: bytes = b"x"
) -> None:
    """Tell a story about a connection; what is asked is written down, and read to its end."""

    async def whole() -> None:
        asked: list[Request] = []

        async def serve(request: Request) -> Response:
            asked.append(request)
            async for _ in request.body.pieces():
                pass
            return Response(200, body=answer)

        wire = Wire()
        connection = Connection(serve, set(), 10)
        connection.connection_made(cast("asyncio.Transport", wire))
        await story(connection, wire, asked)

    asyncio.run(whole())


async def turns() -> None:
    """Let all tasks go on as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


GET = b"GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n"


def test_answers_wait_for_a_client_that_reads_nothing() -> None:
    async def story(connection: Connection, wire: Wire, asked: list[Request]) -> None:
        connection.pause_writing()
        connection.data_received(GET * 5)
        await turns()
        assert (wire.sent, len(asked)) == (b"", 1)
        assert connection.deadline_s < float("inf")
        connection.resume_writing()
        await turns()
        assert wire.sent.count(b"200 OK") == 5

    on_wire(story)


def test_trailers_are_no_headers() -> None:
    async def story(connection: Connection, _wire: Wire, asked: list[Request]) -> None:
        connection.data_received(
            b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\n0\r\nx-amz-tagging: a=b\r\n\r\n"
        )
        await turns()
        assert asked[0].body.done
        assert "x-amz-tagging" not in asked[0].headers

    on_wire(story)


def test_an_upgrade_that_nobody_knows_is_passed_over() -> None:
    async def story(connection: Connection, wire: Wire, asked: list[Request]) -> None:
        upgrade = (
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
        )
        connection.data_received(GET[:-2] + upgrade)
        await turns()
        assert len(asked) == 1
        assert wire.sent.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in wire.sent

    on_wire(story)


def test_what_came_whole_is_answered_before_noise_ends_the_connection() -> None:
    async def story(connection: Connection, wire: Wire, asked: list[Request]) -> None:
        connection.data_received(GET + b"\x16\x03\x01" + GET)
        await turns()
        assert len(asked) == 1
        assert wire.sent.startswith(b"HTTP/1.1 200 OK")
        assert wire.calls[-1] == "close"

    on_wire(story)


def test_nothing_that_comes_in_a_head_that_is_too_long_is_asked() -> None:
    async def story(connection: Connection, wire: Wire, asked: list[Request]) -> None:
        connection.data_received(GET[:-2] + b"b: " + b"c" * 70_000 + b"\r\n\r\n")
        await turns()
        assert asked == []
        assert wire.sent.startswith(b"HTTP/1.1 431")

    on_wire(story)


def test_who_sends_a_big_body_that_nobody_wants_reads_why(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        whole = request("PUT", "/none/k", b"x" * (8 << 20))
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(whole)
        await writer.drain()
        said = await reader.read()
        writer.close()
        assert said.startswith(b"HTTP/1.1 404")
        assert b"NoSuchBucket" in said

    tell(tmp_path, story)


def test_connections_that_ask_for_nothing_keep_nobody_out() -> None:
    async def whole() -> None:
        async def serve(_request: Request) -> Response:
            await asyncio.Event().wait()
            raise AssertionError

        crowd: set[Connection] = set()
        wires = [Wire() for _ in range(4)]
        for number, wire in enumerate(wires):
            connection = Connection(serve, crowd, 3)
            connection.connection_made(cast("asyncio.Transport", wire))
            connection.data_received(GET if number == 0 else GET[:9])
        assert [wire.is_closing() for wire in wires] == [False, True, False, False]
        for connection in crowd:
            if connection.task is not None:
                connection.task.cancel()

    asyncio.run(whole())
