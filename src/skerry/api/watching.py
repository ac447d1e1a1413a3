"""The WebSocket that tells what happens to files of a box."""

import asyncio

import msgspec
from starlette.websockets import WebSocket

from skerry import boxes, wire
from skerry.api.routing import Services, Socket
from skerry.base import Invalid, SkerryError, rfc3339
from skerry.host import box_files
from skerry.host.file_watch import FileChange, FileWatch

_FROM_CLIENT = msgspec.json.Decoder(wire.Watch)


async def watch(socket: WebSocket, services: Services) -> None:
    """Watch the paths that the client names, until it hangs up."""
    name = socket.path_params["name"]
    async with boxes.open_files(services.boxes, name) as descriptor:
        root = await asyncio.to_thread(box_files.enter, descriptor, as_root=False)
        watching = await asyncio.to_thread(FileWatch, root)
        try:
            await socket.accept()
            await _serve(socket, watching, services)
        finally:
            await asyncio.to_thread(watching.close)


async def _serve(socket: WebSocket, watching: FileWatch, services: Services) -> None:
    telling: asyncio.Task[None] | None = None
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            try:
                await _follow(socket, watching, message.get("text") or "")
            except SkerryError as error:
                await _send(socket, wire.WatchEvent(type="error", message=error.message))
            if watching.paths and (telling is None or telling.done()):
                telling = asyncio.create_task(_tell(socket, watching, services))
    finally:
        if telling is not None:
            telling.cancel()
            await asyncio.wait([telling])


async def _follow(socket: WebSocket, watching: FileWatch, text: str) -> None:
    try:
        said = _FROM_CLIENT.decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
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


async def _tell(socket: WebSocket, watching: FileWatch, services: Services) -> None:
    while changes := await watching.changes():
        for change in changes:
            await _send(socket, _shape(change, services.boxes.clock.now_ns()))


def _shape(change: FileChange, at_ns: int) -> wire.WatchEvent:
    return wire.WatchEvent(
        type="event", path=change.path, event=change.kind, timestamp=rfc3339(at_ns),
        is_dir=change.is_directory,
    )  # fmt: skip


async def _send(socket: WebSocket, event: wire.WatchEvent) -> None:
    await socket.send_text(msgspec.json.encode(event).decode("utf-8", "backslashreplace"))


SOCKETS: tuple[Socket, ...] = (Socket(path="/boxes/{name}/fs/watch", handler=watch, scope="read"),)
