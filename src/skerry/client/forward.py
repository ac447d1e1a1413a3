"""A connection to a port of a box, through the API: bytes both ways over one WebSocket."""

import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import msgspec

from skerry import wire
from skerry.base import Failed
from skerry.client.calls import Calls, path_of, target_of
from skerry.client.errors import connection_lost

if TYPE_CHECKING:
    from skerry.client.websocket import WebSocket


class Forward:
    """An open connection. One task may read while others write."""

    def __init__(self, websocket: "WebSocket") -> None:
        self._websocket = websocket

    async def read(self) -> bytes:
        """Return what comes next, b"" at the end. Raises NotAvailable(connection_lost)."""
        while (message := await self._websocket.receive()) is not None:
            if isinstance(message, bytes) and message:
                return message
        return b""

    async def write(self, data: bytes) -> None:
        """Send data; wait while the other side does not read."""
        await self._websocket.send(data)

    async def write_eof(self) -> None:
        """Say that no more is sent; what the other side still sends is read all the same."""
        await self._websocket.send(msgspec.json.encode(wire.EndOfInput()).decode())


@contextlib.asynccontextmanager
async def open_forward(calls: Calls, box: str, port: int) -> AsyncGenerator[Forward]:
    """Connect to a port of a box, which is woken first.

    Raises NotFound(box_not_found), Failed(port_closed) where nothing listens.
    """
    from skerry.client.websocket import open_websocket  # noqa: PLC0415 - wsproto imports slowly

    target = target_of(calls.endpoint, path_of("boxes", box, "proxy"), ())
    async with open_websocket(calls.endpoint, target) as websocket:
        await websocket.send(msgspec.json.encode(wire.Connect(port=port)).decode())
        answer = await websocket.receive()
        if answer is None:
            raise connection_lost(f"connecting to port {port} of {box}")
        told = msgspec.json.decode(answer, type=wire.Connected)
        if told.status != "connected":
            raise Failed(told.error or "port_closed", told.message or "It did not connect.")
        yield Forward(websocket)
