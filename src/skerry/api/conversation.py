"""An exec over one HTTP request: output as it comes, while the body is read as stdin.

In the Sprites protocol a piece of output has no length: where it ends is told only by where its
HTTP chunk ends, and the JavaScript SDK sees one chunk where two were there to be read at once. So
what is there goes out as one chunk for each stream, and the next chunk waits a moment.
"""

import asyncio
from collections import deque

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skerry import wire
from skerry.api.race import forever, gone, lost, race
from skerry.api.routing import Call
from skerry.host.seam import Output, SessionLink

CAPABILITIES = [(b"x-sprite-capabilities", b"signal")]
_NUMBER = {"stdout": wire.STDOUT, "stderr": wire.STDERR}
_BETWEEN_CHUNKS_S = 0.01  # long for an event loop to read what has come, short for a person
_WAITING_BYTES_MAX = 1 << 20  # so that the pause costs a large output little


class Conversation(Response):
    """The answer to an exec. Ended by the command's exit, or by a client that hangs up."""

    def __init__(self, call: Call, link: SessionLink, *, has_stdin: bool) -> None:
        super().__init__(media_type="application/octet-stream")
        self._call = call
        self._link = link
        self._has_stdin = has_stdin
        self._pending = _Pending()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold it."""
        headers = [each for each in self.raw_headers if each[0] != b"content-length"]
        start = {"status": 200, "headers": headers + CAPABILITIES}
        try:
            await send({"type": "http.response.start", **start})
            await race(self._read(), self._tell(send), self._listen(receive), lost(scope))
        finally:
            await self._link.close()

    async def _read(self) -> None:
        async for event in self._link.events():
            if isinstance(event, Output):
                await self._pending.put(_NUMBER[event.stream], event.data)
            else:
                await self._pending.put(wire.EXIT, bytes([event.code & 0xFF]))
        await forever()  # what was read is still to be told

    async def _tell(self, send: Send) -> None:
        number = None
        while number != wire.EXIT:
            if number is not None:
                await asyncio.sleep(_BETWEEN_CHUNKS_S)
            number, data = await self._pending.take()
            chunk = bytes([number]) + data
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    async def _listen(self, receive: Receive) -> None:
        if self._has_stdin:
            size_max = self._call.services.limits.file_bytes_max
            # A person may be typing: there is no limit on how long that takes.
            async for chunk in self._call.stream(size_max, patient=True):
                await self._link.write(chunk)
            await self._link.write_eof()
        await gone(receive)


class _Pending:
    """Output that waits to be sent; what came from one stream in a row is one piece."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, bytearray]] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, number: int, data: bytes) -> None:
        """Add data; wait while there is no room, which holds the command back."""
        while self._size >= _WAITING_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        if self._pieces and self._pieces[-1][0] == number:
            self._pieces[-1][1].extend(data)
        else:
            self._pieces.append((number, bytearray(data)))
        self._size += len(data)
        self._news.set()

    async def take(self) -> tuple[int, bytes]:
        """Wait for a piece and take it."""
        while not self._pieces:
            self._news.clear()
            await self._news.wait()
        number, data = self._pieces.popleft()
        self._size -= len(data)
        self._room.set()
        return number, bytes(data)
