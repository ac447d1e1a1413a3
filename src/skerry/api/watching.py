"""The WebSocket that tells what happens to files of a box. All of its messages are JSON text."""

import asyncio

import msgspec
from starlette.websockets import WebSocket

from skerry import boxes, wire
from skerry.api.errors import shown
from skerry.api.race import race
from skerry.api.routing import Services, Socket
from skerry.base import Clock, Invalid, SkerryError, rfc3339
from skerry.host import box_files
from skerry.host.file_watch import FileWatch

_FROM_CLIENT = msgspec.json.Decoder(wire.Watch)


async def watch(socket: WebSocket, services: Services) -> None:
    """Watch the paths that the client names, until it hangs up or the disk is replaced."""
    name = socket.path_params["name"]
    ended = boxes.disk_end(
        services.boxes, name
    )  # before the disk is opened, so that none is missed
    async with boxes.open_files(services.boxes, name) as descriptor:
        root = await asyncio.to_thread(box_files.enter, descriptor, as_root=False)
        watching = await asyncio.to_thread(FileWatch, root)
        try:
            await socket.accept()
            something = asyncio.Event()
            await race(
                _listen(socket, watching, something),
                _tell(socket, watching, something, services.boxes.clock),
                _tell_end(socket, ended),
            )
        finally:
            await asyncio.to_thread(watching.close)


async def _listen(socket: WebSocket, watching: FileWatch, something: asyncio.Event) -> None:
    """Follow the client's wishes; set something whenever there may be a path to watch."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        try:
            await _follow(socket, watching, message.get("text") or "")
        except SkerryError as error:
            told = wire.WatchEvent(type="error", code=error.code, message=shown(error.message))
            await _send(socket, told)
        something.set()


async def _follow(socket: WebSocket, watching: FileWatch, text: str) -> None:
    try:
        said = _FROM_CLIENT.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid("bad_message", f"This is no subscription: {error}.") from None
    paths = [p if p.startswith("/") else f"{said.working_dir}/{p}" for p in said.paths]
    if said.type == "unsubscribe":
        for path in paths:
            await asyncio.to_thread(watching.remove, path)
        return
    added = [
        await asyncio.to_thread(watching.add, path, recursive=said.recursive) for path in paths
    ]
    await _send(socket, wire.WatchEvent(type="subscribed", paths=added))


async def _tell(
    socket: WebSocket, watching: FileWatch, something: asyncio.Event, clock: Clock
) -> None:
    while True:
        await something.wait()
        something.clear()
        while changes := await watching.changes():
            timestamp = rfc3339(clock.now_ns())
            for change in changes:
                told = wire.WatchEvent(
                    type="event", path=shown(change.path), event=change.kind,
                    timestamp=timestamp, is_dir=change.is_directory,
                )  # fmt: skip
                await _send(socket, told)


async def _tell_end(socket: WebSocket, ended: asyncio.Event) -> None:
    """Say so, and close, when what is watched is the box's disk no more."""
    await ended.wait()
    said = "The box was restored or destroyed, and its disk is another. Watch again."
    await _send(socket, wire.WatchEvent(type="error", code="disk_replaced", message=said))
    await socket.close()


async def _send(socket: WebSocket, event: wire.WatchEvent) -> None:
    await socket.send_text(msgspec.json.encode(event).decode())


SOCKETS: tuple[Socket, ...] = (Socket(path="/boxes/{name}/fs/watch", handler=watch, scope="read"),)
