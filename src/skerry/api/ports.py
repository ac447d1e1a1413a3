"""Telling which ports of a box listen: over a WebSocket of their own, and beside an exec."""

import msgspec
from starlette.websockets import WebSocket

from skerry import boxes, wire
from skerry.api.race import lost, race
from skerry.api.routing import Services, Socket
from skerry.boxes import PortChange


async def watch(socket: WebSocket, services: Services) -> None:
    """Tell what listens now, then what changes, until the client hangs up."""
    box = services.boxes.find(socket.path_params["name"])
    await socket.accept()
    known = await boxes.listening(services.boxes, box.box_id)
    ports = [wire.OpenPort(port=port, address=known[port]) for port in sorted(known)]
    await _send(socket, wire.PortList(ports))

    async def tell() -> None:
        async for change in boxes.port_changes(services.boxes, box.box_id, known):
            await tell_change(socket, change)

    async def listen() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    await race(tell(), listen(), lost(socket.scope))


async def tell_change(socket: WebSocket, change: PortChange) -> None:
    """Send one change."""
    shape = wire.PortOpened if change.is_open else wire.PortClosed
    await _send(socket, shape(port=change.port, address=change.address))


async def _send(socket: WebSocket, message: msgspec.Struct) -> None:
    await socket.send_text(msgspec.json.encode(message).decode())


SOCKETS: tuple[Socket, ...] = (
    Socket(path="/boxes/{name}/ports/watch", handler=watch, scope="read"),
)
