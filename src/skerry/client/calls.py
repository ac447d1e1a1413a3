"""Calls: shapes in, shapes out, over a pool of connections. Knows JSON and NDJSON, no verb."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import TypeVar
from urllib.parse import quote

import msgspec

from skerry.base import Failed, SkerryError
from skerry.client.connection import Body, Response
from skerry.client.endpoint import Endpoint
from skerry.client.errors import error_of
from skerry.client.pool import Pool

_T = TypeVar("_T")

_ANSWER_SECONDS_MAX = 120.0  # the longest that an ordinary call may take; making a box is one
_LINE_BYTES_MAX = 4 * 1024 * 1024

Query = Iterable[tuple[str, str | bytes]]


class Calls:
    """What every part of the SDK speaks through."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._pool = Pool(endpoint)

    async def close(self) -> None:
        """Close the connections."""
        self._pool.close()
        await asyncio.sleep(0)  # the event loop closes them in its next round

    async def ask(
        self,
        answer: type[_T],
        method: str,
        path: str,
        *,
        query: Query = (),
        body: msgspec.Struct | Body | None = None,
        limit_seconds: float | None = _ANSWER_SECONDS_MAX,
    ) -> _T:
        """Return the answer to a call, of the type that is expected.

        body: a shape is sent as JSON, bytes as they are. Raises what the server answers, and
        NotAvailable(no_connection, connection_lost, timed_out).
        """
        async with self.open(
            method, path, query=query, body=body, limit_seconds=limit_seconds
        ) as response:
            return _decoded(await response.read(), answer)

    async def tell(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: msgspec.Struct | Body | None = None,
        limit_seconds: float | None = _ANSWER_SECONDS_MAX,
    ) -> None:
        """Make a call whose answer says nothing. Raises as `ask` does."""
        async with self.open(
            method, path, query=query, body=body, limit_seconds=limit_seconds
        ) as response:
            await response.read()

    async def lines(
        self,
        shape: type[_T],
        method: str,
        path: str,
        *,
        query: Query = (),
        body: msgspec.Struct | None = None,
        limit_seconds: float | None = None,
    ) -> AsyncGenerator[_T]:
        """Yield the lines of an NDJSON answer as they come. Raises as `ask` does."""
        async with self.open(
            method, path, query=query, body=body, limit_seconds=limit_seconds
        ) as response:
            async for line in _split(response.pieces()):
                yield _decoded(line, shape)

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: msgspec.Struct | Body | None = None,
        limit_seconds: float | None = _ANSWER_SECONDS_MAX,
    ) -> AsyncGenerator[Response]:
        """Give the block a response that says success, for its body to be read as a stream.

        Raises as `ask` does.
        """
        headers = [("Content-Type", "application/json")] if body is not None else []
        if isinstance(body, msgspec.Struct):
            sent: Body = msgspec.json.encode(body)
        elif body is None:
            sent = b""
        else:
            sent, headers = body, [("Content-Type", "application/octet-stream")]
        if method in ("POST", "PUT") and sent == b"":
            headers.append(("Content-Length", "0"))
        target = target_of(self.endpoint, path, query)
        async with self._pool.request(
            method, target, headers=headers, body=sent, limit_seconds=limit_seconds
        ) as response:
            if response.status >= 300:
                raise error_of(response.status, await response.read())
            yield response


def path_of(*parts: str) -> str:
    """Return `/v1/` and parts, each of them encoded."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def target_of(endpoint: Endpoint, path: str, query: Query) -> str:
    """Return what stands in the request's first line.

    Text that came from undecodable bytes, as command line arguments may, becomes those again.
    """
    pairs = "&".join(f"{name}={quote(_raw(value), safe='')}" for name, value in query)
    return f"{endpoint.prefix}{path}" + (f"?{pairs}" if pairs else "")


def _raw(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def _decoded(data: bytes, shape: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.DecodeError as error:
        raise _bad_answer(str(error)) from error


def _bad_answer(reason: str) -> SkerryError:
    return Failed(
        "bad_answer",
        f"The server's answer cannot be read: {reason}. Check that the URL is that of a Skerry, "
        "and that its version fits this one.",
    )


async def _split(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Yield the lines that pieces hold, without their ends and without empty ones."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > _LINE_BYTES_MAX:
            raise _bad_answer(f"a line is longer than {_LINE_BYTES_MAX >> 20} MiB")
    if rest.strip():
        yield rest
