"""Whatever a client or a box sends: all parsers on its way see the same messages.

A second parser, h11, reads the same bytes. What the gateway passes on must be what h11 makes of
them too, or less; never more, and never cut at another place.
"""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field

import h11
import pytest

from tests.gateway.place import HOST, Peer, Place, Program, gateway, run

SEEDS = range(8)
TRIES = 500  # of each seed

METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"get", b"G ET", b"", b"CONNECT"]
TARGETS = [
    b"/",
    b"/a?b",
    b"*",
    b"http://amber.localhost/x",
    b"http://other/x",
    b"/a b",
    b"//e",
    b"/\xff",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b""]
ENDS = [b"\r\n"] * 30 + [b"\n", b"\r", b"\r\r\n", b"\n\r"]
FIELDS = [
    b"Content-Length: %d", b"Content-Length: %d", b"Content-Length: +%d", b"Content-Length: 0%d",
    b"Content-Length: %d, %d", b"Content-Length : %d", b"Content-Length:\t%d ", b"content_length: %d",
    b" Content-Length: %d", b"Content-Length: 0x%d", b"Content-Length: -%d", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: \"chunked\"", b"Transfer_Encoding: chunked",
    b"Transfer-Encoding : chunked", b"X: a\r\n Transfer-Encoding: chunked", b"X: \x00", b"X: a\rb",
    b"Connection: close", b"Connection: Content-Length", b"Connection: Transfer-Encoding, keep-alive",
    b"Expect: 100-continue", b"Upgrade: h2c", b"Host: other", b"X-Forwarded-For: 1.2.3.4", b"Cookie: a=b",
    b": empty", b"no colon", b"X:" + b"y" * 300,
]  # fmt: skip
CHUNKS = [
    b"3\r\nabc\r\n", b"3;x=y\r\nabc\r\n", b"03\r\nabc\r\n", b"3 \r\nabc\r\n", b"3\nabc\r\n",
    b"0x3\r\nabc\r\n", b"+3\r\nabc\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\n", b"-1\r\n\r\n",
    b"ffffffffffffffff3\r\nabc\r\n", b"3\r\r\nabc\r\n",
]  # fmt: skip
LAST = [
    b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"0\n\n", b"0\r\nContent-Length: 3\r\n\r\n",
    b"00\r\n\r\n", b"0;a\r\n\r\n", b"",
]  # fmt: skip
INNER = b"GET /smuggled HTTP/1.1\r\nHost: amber.localhost\r\n\r\n"
STATUSES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 X",
    b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Hints", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 99 X",
    b"HTTP/1.1 2000 X", b"HTTP/1.1  200 OK", b"ICY 200 OK",
]  # fmt: skip
# What is compared of a request: method, path, body.
Request = tuple[bytes, bytes, bytes]


def some_fields(chance: random.Random, body: bytes) -> bytes:
    lines: list[bytes] = []
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        line = chance.choice(FIELDS)
        size = chance.choice([len(body), len(body), len(body), 0, 3, len(body) + len(INNER)])
        lines.append(line.replace(b"%d", b"%d" % size) + chance.choice(ENDS))
    return b"".join(lines)


def some_body(chance: random.Random) -> bytes:
    match chance.randrange(4):
        case 0:
            return b""
        case 1:
            return b"abc" + chance.choice([b"", INNER])
        case _:
            pieces = b"".join(
                chance.choice(CHUNKS[:1] * 8 + CHUNKS) for _ in range(chance.randrange(3))
            )
            return pieces + chance.choice(LAST) + chance.choice([b"", b"", INNER])


def some_request(chance: random.Random) -> bytes:
    body = some_body(chance)
    usual = chance.random() < 0.8
    line = b" ".join(
        [
            chance.choice(METHODS[:3] if usual else METHODS),
            chance.choice(TARGETS[:2] if usual else TARGETS),
            chance.choice(VERSIONS[:2] if usual else VERSIONS),
        ]
    )
    fields = some_fields(chance, body)
    return line + chance.choice(ENDS) + b"Host: %b\r\n" % HOST + fields + b"\r\n" + body


def some_answer(chance: random.Random) -> bytes:
    body = some_body(chance)
    status = chance.choice(STATUSES[:2] if chance.random() < 0.7 else STATUSES)
    return status + chance.choice(ENDS) + some_fields(chance, body) + b"\r\n" + body


def by_h11(data: bytes) -> list[Request]:
    """Return the whole requests that h11 finds in data, up to the first that it refuses."""
    found: list[Request] = []
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    with suppress(h11.RemoteProtocolError):
        while True:
            event = parser.next_event()
            if not isinstance(event, h11.Request):
                return found
            method, path, body = event.method, path_of(event.target), b""
            while isinstance(event := parser.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                return found
            found.append((method, path, body))
            rest = parser.trailing_data[0]
            parser = h11.Connection(h11.SERVER)
            parser.receive_data(rest)
    return found


def path_of(target: bytes) -> bytes:
    prefix = b"http://" + HOST
    return target.removeprefix(prefix) or b"/"


@dataclass
class Box:
    """What a box has seen since it was last asked."""

    requests: list[Request] = field(default_factory=list[Request])
    complaints: list[str] = field(default_factory=list[str])

    async def serve(self, program: Program) -> None:
        """Answer requests, read by h11, of which there must never be a broken one."""
        while True:
            try:
                seen = await program.request()
            except (EOFError, ConnectionError):
                return
            except (h11.RemoteProtocolError, AssertionError) as error:
                self.complaints.append(str(error))
                return
            self.requests.append((seen.method, seen.target, seen.body))
            program.answer(b"" if seen.method == b"HEAD" else b"ok")


async def send_in_pieces(client: Peer, data: bytes, chance: random.Random) -> None:
    at = 0
    while at < len(data):
        size = chance.choice([1, 7, 40, len(data)])
        client.send(data[at : at + size])
        at += size
        await asyncio.sleep(0)
    with suppress(OSError):
        client.writer.write_eof()


async def try_requests(place: Place, box: Box, chance: random.Random) -> int:
    """Send some requests; return how many the box has seen."""
    data = b"".join(some_request(chance) for _ in range(chance.choice([1, 1, 2, 3])))
    client = await place.client()
    with suppress(ConnectionError):
        await send_in_pieces(client, data, chance)
        await client.rest()
    client.close()
    seen, box.requests = box.requests, []
    expected = by_h11(data)

    assert box.complaints == [], data
    # A body that is cut short is passed on as far as it came, and never seen as a whole request.
    assert seen == expected[: len(seen)], data
    return len(seen)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_box_gets_no_request_that_another_parser_would_not_see(seed: int) -> None:
    async def story() -> None:
        chance, box = random.Random(seed), Box()
        async with gateway() as place:
            await place.answering(box.serve)
            passed = sum([await try_requests(place, box, chance) for _ in range(TRIES)])
            assert passed > TRIES // 10, "most are no attack, or nothing is shown"

    run(story())


def whole_answers(data: bytes) -> str | None:
    """Return what h11 has against the bytes that a client got for one GET."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "amber.localhost")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    try:
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None  # cut short, which a client sees
            if isinstance(event, h11.EndOfMessage):
                rest = parser.trailing_data[0]
                return f"something follows: {rest!r}" if rest else None
    except h11.RemoteProtocolError as error:
        return str(error)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_gets_one_answer_whatever_its_box_sends(seed: int) -> None:
    async def story() -> None:
        chance = random.Random(seed)
        said, passed = b"", 0

        async def answer(program: Program) -> None:
            with suppress(h11.RemoteProtocolError):
                await program.request()
                program.send(said)

        async with gateway() as place:
            await place.answering(answer)
            for _ in range(TRIES):
                said = b"".join(some_answer(chance) for _ in range(chance.choice([1, 1, 2])))
                client = await place.ask(b"GET / HTTP/1.1\r\nHOST\r\nConnection: close\r\n\r\n")
                got = await client.rest()
                client.close()
                passed += got.startswith(b"HTTP/1.1 200")
                assert got
                assert whole_answers(got) is None, said
        assert passed > TRIES // 10, "some are answers, or nothing is shown"

    run(story())
