"""Execs over a WebSocket, in the framing of the Sprites protocol.

Without a terminal each binary message begins with its stream's number; with one, binary messages
are the terminal's bytes. Text messages are JSON both ways. The exit comes last, then a close.
"""

import asyncio

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from skerry import boxes, wire
from skerry.api.execs import Query, signal_number, spec_of_query
from skerry.api.routing import Services, Socket, read_query
from skerry.base import Invalid, NotBuilt
from skerry.host.seam import Exit, Output, SessionLink

_CAPABILITIES = [(b"x-sprite-capabilities", b"signal")]
_NUMBER = {"stdout": bytes([wire.STDOUT]), "stderr": bytes([wire.STDERR])}
_FROM_CLIENT = msgspec.json.Decoder(wire.Resize | wire.Signal)


async def execute(socket: WebSocket, services: Services) -> None:
    """Run a command, or join a session where the query names one by `id`."""
    raw = socket.scope["query_string"]
    query = read_query(raw, Query)
    name = socket.path_params["name"]
    if query.id:
        link = await boxes.attach(services.boxes, name, query.id)
    else:
        link = await boxes.execute(services.boxes, name, spec_of_query(raw, query))
    await _serve(socket, link)


async def attach(socket: WebSocket, services: Services) -> None:
    """Join a session: its recent output first, then live."""
    name, session_id = socket.path_params["name"], socket.path_params["session"]
    await _serve(socket, await boxes.attach(services.boxes, name, session_id))


async def not_built(_socket: WebSocket, _services: Services) -> None:
    """Refuse a WebSocket of the Sprites protocol that is not here yet."""
    raise NotBuilt("not_built", "This call is not built yet. The changelog says what is.")


async def _serve(socket: WebSocket, link: SessionLink) -> None:
    try:
        await socket.accept(headers=_CAPABILITIES)
        state = link.state
        info = wire.SessionInfo(
            session_id=state.session_id,
            tty=state.tty,
            command=[word.decode("utf-8", "backslashreplace") for word in state.argv[:100]],
        )
        await socket.send_text(msgspec.json.encode(info).decode())
        listening = asyncio.create_task(_listen(socket, link))
        try:
            await _relay(socket, link, listening)
        finally:
            listening.cancel()
            await asyncio.wait([listening])
    except WebSocketDisconnect:
        pass  # the session goes on by its own rules
    finally:
        await link.close()


async def _relay(socket: WebSocket, link: SessionLink, listening: asyncio.Task[None]) -> None:
    """Pass output on until the exit; a client that is gone or wrong ends it sooner."""
    telling = asyncio.create_task(_tell(socket, link))
    try:
        await asyncio.wait([telling, listening], return_when=asyncio.FIRST_COMPLETED)
        if not telling.done():
            try:
                listening.result()
            except Invalid as error:
                await socket.close(1008, error.message[:120])
            return
        telling.result()
        await socket.close(1000)
    finally:
        telling.cancel()
        await asyncio.wait([telling])


async def _tell(socket: WebSocket, link: SessionLink) -> None:
    tty = link.state.tty
    async for event in link.events():
        match event:
            case Output(data=data) if tty:
                await socket.send_bytes(data)
            case Output(stream=stream, data=data):
                await socket.send_bytes(_NUMBER[stream] + data)
            case Exit(code=code, notice=notice):
                if tty or notice:
                    ended = wire.Exited(exit_code=code, notice=notice)
                    await socket.send_text(msgspec.json.encode(ended).decode())
                if not tty:
                    await socket.send_bytes(bytes([wire.EXIT, code & 0xFF]))


async def _listen(socket: WebSocket, link: SessionLink) -> None:
    """Take in what the client sends, until it hangs up. Raises Invalid(bad_message)."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        data = message.get("bytes")
        if data is not None:
            await _take_bytes(link, data)
        else:
            await _take_text(link, message["text"])


async def _take_bytes(link: SessionLink, data: bytes) -> None:
    if link.state.tty:
        await link.write(data)
    elif data[:1] == bytes([wire.STDIN]):
        await link.write(data[1:])
    elif data[:1] == bytes([wire.STDIN_EOF]):
        await link.write_eof()
    else:
        raise Invalid("bad_message", "A binary message begins with 0 (stdin) or 4 (its end).")


async def _take_text(link: SessionLink, text: str) -> None:
    try:
        said = _FROM_CLIENT.decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return  # other clients know messages that we do not
    match said:
        case wire.Resize(rows=rows, cols=cols):
            await link.resize(rows, cols)
        case wire.Signal(signal=name):
            await link.signal(signal_number(name))


SOCKETS: tuple[Socket, ...] = (
    Socket(path="/boxes/{name}/exec", handler=execute, scope="write"),
    Socket(path="/boxes/{name}/exec/{session}", handler=attach, scope="write"),
    Socket(path="/boxes/{name}/proxy", handler=not_built, scope="write"),
    Socket(path="/boxes/{name}/ports/watch", handler=not_built, scope="read"),
)
