"""The server of a run's page, on this machine alone: 127.0.0.1.

It does not know what the page shows. Requests, connections and waiting all have limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from skerry_train.errors import TrainerError
from skerry_train.watch.album import Album
from skerry_train.watch.request import REQUEST_BYTES_MAX, is_for_us, parse, plain, respond

_CONNECTIONS_MAX = 32
_SECONDS_MAX = 20  # a drawing of the longest run, and a slow line


async def serve(album: Album, port: int, ready: Callable[[int], None]) -> None:
    """Serve an album until cancelled.

    port: 0 takes a free one. ready: is told the port once the server answers. Raises TrainerError if
    the port is taken.
    """
    server = _Server(album)
    try:
        listening = await asyncio.start_server(
            server.answer, "127.0.0.1", port, limit=REQUEST_BYTES_MAX
        )
    except OSError as error:
        raise TrainerError(
            f"port {port} can not be had: {error.strerror}; name another with --port"
        ) from None
    async with listening:
        ready(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()


class _Server:
    def __init__(self, album: Album) -> None:
        self._album = album
        self._connections = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        self._connections += 1
        try:
            async with asyncio.timeout(_SECONDS_MAX):
                writer.write(await self._reply(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # who asked is gone, or too slow; there is nobody to tell
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        if self._connections > _CONNECTIONS_MAX:
            return plain(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        request = parse(head)
        if request is None or not is_for_us(request):
            return respond(request, {})  # nothing is drawn for those
        try:
            files = await asyncio.to_thread(self._album.files)
        except (TrainerError, OSError) as error:
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR, text=str(error))
        return respond(request, files)
