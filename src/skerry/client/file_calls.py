"""The calls about single files and directories of a box. Relative paths begin at the home.

Whole trees, copied in and out, are the business of `transfers`.
"""

import builtins
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from skerry import wire
from skerry.base import Failed, NotFound
from skerry.client.calls import Calls, path_of, target_of
from skerry.client.errors import connection_lost

if TYPE_CHECKING:
    from skerry.client.websocket import WebSocket

_TRANSFER_SECONDS_MAX = 60.0  # in which not a byte moves

Content: TypeAlias = str | bytes | AsyncIterable[bytes]


class FileCalls:
    """The files of one box.

    Every call raises NotFound(box_not_found), the error of the file (NotFound, Conflict, Denied,
    Invalid) with `details["path"]`, and NotAvailable(no_connection, connection_lost, timed_out).
    """

    def __init__(self, calls: Calls, box: str) -> None:
        self._calls = calls
        self._box = box

    def _path(self, verb: str) -> str:
        return path_of("boxes", self._box, "fs", verb)

    @contextlib.asynccontextmanager
    async def open(
        self, path: str, *, start: int | None = None, end: int | None = None, as_root: bool = False
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Give the block the pieces of a file as they come, from byte start to before byte end.

        Nothing is read ahead; leaving the block early closes the connection.
        """
        query = _where(path, as_root=as_root)
        query += [] if start is None else [("start", str(start))]
        query += [] if end is None else [("end", str(end))]
        async with self._calls.open(
            "GET", self._path("read"), query=query, limit_seconds=_TRANSFER_SECONDS_MAX
        ) as response:
            yield response.pieces()

    async def read(
        self, path: str, *, start: int | None = None, end: int | None = None, as_root: bool = False
    ) -> bytes:
        """Return what a file holds, from byte start to before byte end."""
        async with self.open(path, start=start, end=end, as_root=as_root) as pieces:
            return b"".join([piece async for piece in pieces])

    async def read_text(self, path: str) -> str:
        """Return a file as text. Raises UnicodeDecodeError if it is not UTF-8."""
        return (await self.read(path)).decode()

    async def write(
        self,
        path: str,
        content: Content,
        *,
        mode: int = 0o644,
        parents: bool = True,
        as_root: bool = False,
    ) -> wire.Written:
        """Write a file, replacing what it held; missing directories are made if parents.

        content: text, bytes, or pieces that are sent as they come.
        """
        query = [
            *_where(path, as_root=as_root),
            ("mode", f"{mode:04o}"),
            ("mkdirParents", _flag(on=parents)),
        ]
        return await self._calls.ask(
            wire.Written,
            "PUT",
            self._path("write"),
            query=query,
            body=content.encode() if isinstance(content, str) else content,
            limit_seconds=_TRANSFER_SECONDS_MAX,
        )

    async def list(self, path: str = "/", *, as_root: bool = False) -> list[wire.Entry]:
        """Return the entries of a directory, or the one entry of a file."""
        return (await self.listing(path, as_root=as_root)).entries

    async def listing(self, path: str, *, as_root: bool = False) -> wire.Listing:
        """Return the entries of a directory, or the one entry of a file, and whose they are."""
        query = _where(path, as_root=as_root)
        return await self._calls.ask(wire.Listing, "GET", self._path("list"), query=query)

    async def stat(self, path: str, *, as_root: bool = False) -> wire.Entry:
        """Return the entry of one file, directory or symbolic link."""
        query = [*_where(path, as_root=as_root), ("stat", "true")]
        answer = await self._calls.ask(wire.Listing, "GET", self._path("list"), query=query)
        if len(answer.entries) != 1:
            raise Failed("bad_answer", f"The server told {len(answer.entries)} entries of {path}.")
        return answer.entries[0]

    async def exists(self, path: str) -> bool:
        """Return whether there is a file or directory at path."""
        try:
            await self.stat(path)
        except NotFound as error:
            if error.code == "box_not_found":
                raise
            return False
        return True

    async def make_directory(
        self, path: str, *, mode: int = 0o755, parents: bool = True, as_root: bool = False
    ) -> None:
        """Make a directory; parents: those above it too, and there already is fine."""
        query = [
            *_where(path, as_root=as_root),
            ("mode", f"{mode:04o}"),
            ("parents", _flag(on=parents)),
        ]
        await self._calls.tell("POST", self._path("mkdir"), query=query)

    async def delete(self, path: str, *, recursive: bool = False, as_root: bool = False) -> None:
        """Delete a file or an empty directory; recursive: a directory and all in it."""
        query = [*_where(path, as_root=as_root), ("recursive", _flag(on=recursive))]
        await self._calls.tell("DELETE", self._path("delete"), query=query, limit_seconds=None)

    async def rename(self, source: str, dest: str, *, as_root: bool = False) -> None:
        """Give a file or directory another path; a file that is at dest is replaced."""
        body = wire.CopyOrRename(source=source, dest=dest, as_root=as_root)
        await self._calls.tell("POST", self._path("rename"), body=body)

    async def copy(
        self,
        source: str,
        dest: str,
        *,
        recursive: bool = False,
        preserve: bool = False,
        as_root: bool = False,
    ) -> wire.Affected:
        """Copy within the box; recursive: directories too. preserve: mode, owner and times."""
        body = wire.CopyOrRename(
            source=source,
            dest=dest,
            recursive=recursive,
            preserve_attrs=preserve,
            as_root=as_root,
        )
        return await self._calls.ask(
            wire.Affected, "POST", self._path("copy"), body=body, limit_seconds=None
        )

    async def make_link(self, path: str, target: str, *, as_root: bool = False) -> None:
        """Make a symbolic link at path, in place of a file or link that is there."""
        body = wire.MakeLink(path=path, target=target, as_root=as_root)
        await self._calls.tell("POST", self._path("symlink"), body=body)

    async def chmod(
        self, path: str, mode: int, *, recursive: bool = False, as_root: bool = False
    ) -> None:
        """Change the permission bits, such as `0o755`."""
        body = wire.ChangeMode(path=path, mode=f"{mode:04o}", recursive=recursive, as_root=as_root)
        await self._calls.tell("POST", self._path("chmod"), body=body)

    async def chown(
        self,
        path: str,
        *,
        uid: int | None = None,
        gid: int | None = None,
        recursive: bool = False,
        as_root: bool = True,
    ) -> None:
        """Change the owner or the group, by number. Only root may, so as_root is the default."""
        body = wire.ChangeOwner(path=path, uid=uid, gid=gid, recursive=recursive, as_root=as_root)
        await self._calls.tell("POST", self._path("chown"), body=body)

    @contextlib.asynccontextmanager
    async def watch(
        self, *paths: str, recursive: bool = False
    ) -> AsyncGenerator[AsyncIterator[wire.WatchEvent]]:
        """Give the block the changes at paths, from now on; recursive: in all directories below."""
        from skerry.client.websocket import open_websocket  # noqa: PLC0415 - wsproto imports slowly

        target = target_of(self._calls.endpoint, self._path("watch"), ())
        async with open_websocket(self._calls.endpoint, target) as websocket:
            ask = wire.Watch(paths=[*paths], recursive=recursive)
            await websocket.send(msgspec.json.encode(ask).decode())
            events = _events(websocket)
            async for event in events:
                if event.type == "subscribed":
                    break
            yield events


def _where(path: str, *, as_root: bool) -> builtins.list[tuple[str, str]]:
    return [("path", path), ("workingDir", "~"), ("asRoot", _flag(on=as_root))]


def _flag(*, on: bool) -> str:
    return "true" if on else "false"


async def _events(websocket: "WebSocket") -> AsyncIterator[wire.WatchEvent]:
    while (message := await websocket.receive()) is not None:
        try:
            event = msgspec.json.decode(message, type=wire.WatchEvent)
        except msgspec.DecodeError as error:
            raise Failed("bad_answer", f"A change of a file cannot be read: {error}") from error
        if event.type == "error":
            raise Failed("watch_failed", event.message or "The files cannot be watched.")
        yield event
    raise connection_lost("watching files", "Watch again, and look at what changed meanwhile.")
