"""Execs over a WebSocket, in the framing of the Sprites protocol.

Without a terminal each binary message begins with its stream's number; with one, binary messages
are the terminal's bytes. Text messages are JSON both ways. The exit comes last, then a close. A
client that hangs up only lets go: how long the command runs on is the session's own rule.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from skerry import boxes, wire
from skerry.api.conversation import CAPABILITIES
from skerry.api.errors import mistake, shown
from skerry.api.execs import Query, signal_number, spec_of_query
from skerry.api.ports import tell_change
from skerry.api.race import lost, race
from skerry.api.routing import Services, Socket, read_query
from skerry.base import Invalid, SkerryError
from skerry.boxes import PortChange
from skerry.host.seam import Exit, Output, SessionLink

_NUMBER = {"stdout": bytes([wire.STDOUT]), "stderr": bytes([wire.STDERR])}
_FROM_CLIENT = msgspec.json.Decoder(wire.Resize | wire.Signal)
_ARGUMENTS_TOLD_MAX = 100
# The JavaScript SDK gives a session up when no message came for 45 s, and so a `sleep 60`.
_SIGN_OF_LIFE_EVERY_S = 20
_SIGN_OF_LIFE = msgspec.json.encode(wire.Alive()).decode()
_CLOSE_DONE, _CLOSE_WRONG, _CLOSE_FAILED = 1000, 1008, 1011


class Joining(Struct):
    """The query of joining a session: its id where the path does not say it, the window's size."""

    id: str | None = None
    rows: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    cols: Annotated[int, Meta(ge=1, le=10_000)] | None = None


async def execute(socket: WebSocket, services: Services) -> None:
    """Run a command, or join a session where the query names one by `id`."""
    raw = socket.scope["query_string"]
    joining = read_query(raw, Joining)
    name = socket.path_params["name"]
    if joining.id:
        await _join(socket, services, joining.id, joining)
    else:
        spec = spec_of_query(raw, read_query(raw, Query))
        changes = _port_changes(services, name)
        await _serve(socket, await boxes.execute(services.boxes, name, spec), changes)


async def attach(socket: WebSocket, services: Services) -> None:
    """Join a session: its recent output first, then live."""
    joining = read_query(socket.scope["query_string"], Joining)
    await _join(socket, services, socket.path_params["session"], joining)


async def _join(socket: WebSocket, services: Services, session_id: str, joining: Joining) -> None:
    name = socket.path_params["name"]
    changes = _port_changes(services, name)
    link = await boxes.attach(services.boxes, name, session_id)
    if link.state.tty and joining.rows and joining.cols:
        await link.resize(joining.rows, joining.cols)
    await _serve(socket, link, changes)


def _port_changes(services: Services, name: str) -> AsyncGenerator[PortChange]:
    return boxes.port_changes(services.boxes, services.boxes.find(name).box_id)


async def _serve(socket: WebSocket, link: SessionLink, changes: AsyncGenerator[PortChange]) -> None:
    try:
        await socket.accept(headers=CAPABILITIES)
        state = link.state
        info = wire.SessionInfo(
            session_id=state.session_id,
            tty=state.tty,
            command=[
                word.decode("utf-8", "backslashreplace")
                for word in state.argv[:_ARGUMENTS_TOLD_MAX]
            ],
        )
        await socket.send_text(msgspec.json.encode(info).decode())
        await _hold(socket, link, changes)
    finally:
        await link.close()


async def _hold(socket: WebSocket, link: SessionLink, changes: AsyncGenerator[PortChange]) -> None:
    """Relay both ways until the command ends, the client hangs up or one of them goes wrong."""
    try:
        await race(
            _tell(socket, link),
            _listen(socket, link),
            _tell_ports(socket, changes),
            _show_life(socket),
            lost(socket.scope),
        )
    except SkerryError as error:
        await _fail(socket, error)
    except WebSocketDisconnect:
        return
    except Exception as error:  # noqa: BLE001 - told here because the edge can tell no more
        await _fail(socket, mistake(error))


async def _fail(socket: WebSocket, error: SkerryError) -> None:
    """Say what went wrong in a message that comes last, unless the end was told already."""
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    told = wire.Failure(error=error.code, message=shown(error.message))
    await socket.send_text(msgspec.json.encode(told).decode())
    code = _CLOSE_WRONG if isinstance(error, Invalid) else _CLOSE_FAILED
    await socket.close(code, error.code)


async def _tell(socket: WebSocket, link: SessionLink) -> None:
    """Pass output on until the exit, no faster than the client reads; then close."""
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
                await socket.close(_CLOSE_DONE)


async def _tell_ports(socket: WebSocket, changes: AsyncGenerator[PortChange]) -> None:
    async for change in changes:
        await tell_change(socket, change)


async def _show_life(socket: WebSocket) -> None:
    """Send a message from time to time, whether or not there is output."""
    while True:
        await asyncio.sleep(_SIGN_OF_LIFE_EVERY_S)
        await socket.send_text(_SIGN_OF_LIFE)


async def _listen(socket: WebSocket, link: SessionLink) -> None:
    """Take in what the client sends, until it hangs up. Raises Invalid(bad_message, bad_signal)."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        await _take(link, message)


async def _take(link: SessionLink, message: Message) -> None:
    data = message.get("bytes")
    if data is None:
        await _take_text(link, message["text"])
    elif link.state.tty:
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
    except msgspec.DecodeError:
        return  # other clients know messages that we do not
    if isinstance(said, wire.Resize):
        await link.resize(said.rows, said.cols)
    else:
        await link.signal(signal_number(said.signal))


SOCKETS: tuple[Socket, ...] = (
    Socket(path="/boxes/{name}/exec", handler=execute, scope="write"),
    Socket(path="/boxes/{name}/exec/{session}", handler=attach, scope="write"),
)
