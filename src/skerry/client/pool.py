"""A small pool of connections to one Skerry: who takes one, who gives it back, what is repeated."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import h11

from skerry import __version__
from skerry.base import NotAvailable
from skerry.client.connection import Body, Connection, Lost, Response
from skerry.client.endpoint import Endpoint, open_streams
from skerry.client.errors import connection_lost

_IDLE_CONNECTIONS_MAX = 16
_AT_ONCE_MAX = 128  # requests under way; more wait, so that a program cannot run out of descriptors
# Servers close idle connections, a Skerry after a minute. A request that must not be sent twice goes
# only over a connection used this lately, so that it cannot meet the server's close on its way.
_FRESH_SECONDS = 2.0
_IDLE_SECONDS_MAX = 45.0
# Not DELETE: done twice it says that there was nothing.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT"})


class Pool:
    """Connections to one Skerry, for one event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(_AT_ONCE_MAX)
        self._closed = False

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: Body = b"",
        limit_seconds: float | None,
    ) -> AsyncGenerator[Response]:
        """Send one request; the block has the response and may read its body.

        A block left before the body's end (by an error or a cancellation, say) closes the
        connection. target is encoded. limit_seconds: the longest that the server may do nothing.
        Raises NotAvailable(no_connection, connection_lost, timed_out), Denied(socket_denied).
        """
        if self._closed:
            raise NotAvailable("closed", "This client is closed. Connect again.")
        request = h11.Request(
            method=method, target=target, headers=[*self._headers(body), *headers]
        )
        async with self._room:
            connection, response = await self._ask(method, request, body, limit_seconds)
            try:
                yield response
            finally:
                self._give_back(connection)

    async def _ask(
        self, method: str, request: h11.Request, body: Body, limit_seconds: float | None
    ) -> tuple[Connection, Response]:
        """Ask on an idle connection, or a new one; a second time where that does no harm."""
        repeatable = method in _REPEATABLE
        connection = self._take_idle(fresh=not repeatable)
        if connection is not None:
            try:
                return connection, await _ask_on(connection, request, body, limit_seconds)
            except Lost as error:
                if not (repeatable and isinstance(body, bytes)):
                    raise connection_lost(f"waiting for the answer to {method}") from error
        connection = Connection(*await open_streams(self.endpoint))
        try:
            return connection, await _ask_on(connection, request, body, limit_seconds)
        except Lost as error:
            raise connection_lost(f"waiting for the answer to {method}") from error

    def _headers(self, body: Body) -> list[tuple[str, str]]:
        headers = [("Host", self.endpoint.authority), ("User-Agent", f"skerry/{__version__}")]
        if self.endpoint.token is not None:
            headers.append(("Authorization", f"Bearer {self.endpoint.token}"))
        if not isinstance(body, bytes):
            headers.append(("Transfer-Encoding", "chunked"))
        elif body:
            headers.append(("Content-Length", str(len(body))))
        return headers

    def _take_idle(self, *, fresh: bool) -> Connection | None:
        """Return the connection used last, closing those that are too old."""
        now_seconds = asyncio.get_running_loop().time()
        limit_seconds = _FRESH_SECONDS if fresh else _IDLE_SECONDS_MAX
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and now_seconds - connection.idle_since_seconds < limit_seconds:
                return connection
            connection.abort()
        return None

    def _give_back(self, connection: Connection) -> None:
        room = not self._closed and len(self._idle) < _IDLE_CONNECTIONS_MAX
        if room and connection.is_open and connection.make_ready():
            self._idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()


async def _ask_on(
    connection: Connection, request: h11.Request, body: Body, limit_seconds: float | None
) -> Response:
    """Ask; whatever goes wrong, the connection does not stay open. Raises Lost too."""
    try:
        return await connection.ask(request, body, limit_seconds)
    except BaseException:
        connection.abort()
        raise
