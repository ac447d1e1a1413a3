"""The WebSocket that carries one TCP connection to a port of a box."""

import asyncio

import msgspec
from starlette.websockets import WebSocket

from skerry import boxes, wire
from skerry.api.errors import shown
from skerry.api.race import lost, race
from skerry.api.routing import Services, Socket
from skerry.base import Denied, Invalid, SkerryError

_END = msgspec.json.Decoder(wire.EndOfInput)
_FROM_CLIENT = msgspec.json.Decoder(wire.Connect)
_READ_BYTES = 64 * 1024
_HELLO_S_MAX = 15
_LOCAL = ("", "localhost", "127.0.0.1", "0.0.0.0", "::1")  # noqa: S104 - names, not to bind to
_CLOSE_DONE, _CLOSE_WRONG = 1000, 1008


async def proxy(socket: WebSocket, services: Services) -> None:
    """Connect to the port that the client names, and pass bytes both ways."""
    services.boxes.find(socket.path_params["name"])
    await socket.accept()
    try:
        asked = await _asked(socket)
        async with boxes.connection(
            services.boxes, socket.path_params["name"], asked.port, "proxy"
        ) as (reader, writer):
            await _tell(
                socket, wire.Connected(status="connected", target=f"localhost:{asked.port}")
            )
            await race(_out(socket, reader), _in(socket, writer), lost(socket.scope))
    except SkerryError as error:
        told = wire.Connected(status="error", error=error.code, message=shown(error.message))
        await _tell(socket, told)
        await socket.close(_CLOSE_WRONG, error.code)


async def _asked(socket: WebSocket) -> wire.Connect:
    try:
        async with asyncio.timeout(_HELLO_S_MAX):
            message = await socket.receive()
        asked = _FROM_CLIENT.decode(message.get("text") or message.get("bytes") or b"")
    except (msgspec.DecodeError, TimeoutError):
        raise Invalid("bad_message", 'Begin with {"host":"localhost","port":5432}.') from None
    if asked.host not in _LOCAL:
        raise Denied("host_denied", "The proxy connects to the box itself alone: use localhost.")
    return asked


async def _tell(socket: WebSocket, message: wire.Connected) -> None:
    await socket.send_text(msgspec.json.encode(message).decode())


async def _out(socket: WebSocket, reader: asyncio.StreamReader) -> None:
    """Pass on what the box's program sends, no faster than the client reads, until its end."""
    try:
        while data := await reader.read(_READ_BYTES):
            await socket.send_bytes(data)
    except ConnectionError:  # the program was ended
        pass
    await socket.close(_CLOSE_DONE)


async def _in(socket: WebSocket, writer: asyncio.StreamWriter) -> None:
    """Pass on what the client sends, no faster than the program reads, until it hangs up."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        data = message.get("bytes")
        if not data and _is_end(message.get("text")):
            writer.write_eof()
        elif data:
            writer.write(data)
            try:
                await writer.drain()
            except ConnectionError:
                return


def _is_end(text: str | None) -> bool:
    try:
        return text is not None and bool(_END.decode(text))
    except msgspec.DecodeError:
        return False  # other clients may know messages that we do not


SOCKETS: tuple[Socket, ...] = (Socket(path="/boxes/{name}/proxy", handler=proxy, scope="write"),)
