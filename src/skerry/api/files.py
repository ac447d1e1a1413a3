"""Calls about files in boxes. Contents stream both ways and are never held whole."""

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, ParamSpec, TypeVar

from msgspec import Meta, Struct
from starlette.responses import Response

from skerry import boxes, wire
from skerry.api.errors import shown
from skerry.api.routing import Call, Operation, answer
from skerry.api.streams import Streamed
from skerry.base import Conflict, Invalid, rfc3339
from skerry.host import box_files
from skerry.host.box_files import BoxRoot

_T = TypeVar("_T")
_P = ParamSpec("_P")
# Of their own, since users set how long these calls take: a few large copies hold up no other work.
_THREADS = ThreadPoolExecutor(16, "files")
_RANGE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?")


class Where(Struct, rename="camel"):
    """A path; one that is not absolute begins at workingDir, `~` for the home. asRoot: as root."""

    path: wire.Path
    working_dir: str = "~"
    as_root: bool = False


class Reading(Where, rename="camel"):
    """start and end: a part of the file, in bytes; end is not read."""

    start: Annotated[int, Meta(ge=0)] | None = None
    end: Annotated[int, Meta(ge=0)] | None = None


class Writing(Where, rename="camel"):
    """mode: octal; left out, as it is, or 0644. mkdirParents: make the directories above it."""

    mode: Annotated[str, Meta(pattern="^[0-7]{1,5}$")] | None = None
    mkdir_parents: bool | None = None
    mkdir: bool | None = None


class Scanning(Where, rename="camel"):
    """recursive: all below it; pattern: names like `*.txt` only."""

    recursive: bool = False
    pattern: str | None = None
    stat: bool = False


class Removing(Struct, rename="camel"):
    """What to delete, where the body does not say it."""

    path: wire.Path | None = None
    working_dir: str = "~"
    recursive: bool = False
    as_root: bool = False


class Making(Where, rename="camel"):
    """parents: make those above it too, and take it if it is there."""

    parents: bool = False
    mode: Annotated[str, Meta(pattern="^[0-7]{1,5}$")] = "0755"


async def _in_thread(work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, functools.partial(work, *args, **kwargs))


@contextlib.asynccontextmanager
async def root_of(
    call: Call, working_dir: str, *, as_root: bool, checkpoint: str | None = None
) -> AsyncGenerator[BoxRoot]:
    """Open the box's disk, or a checkpoint of it, as the user who asks."""
    async with boxes.open_files(call.boxes, call.path("name"), checkpoint) as descriptor:
        yield await _in_thread(
            box_files.enter, descriptor, as_root=as_root, directory=working_dir or box_files.HOME
        )


async def _with_root(call: Call, where: Where, work: Callable[[BoxRoot], _T]) -> _T:
    async with root_of(call, where.working_dir, as_root=where.as_root) as root:
        return await _in_thread(work, root)


def entry_shape(entry: box_files.Entry) -> wire.Entry:
    """Return an entry as the wire has it."""
    return wire.Entry(
        name=shown(entry.name),
        path=shown(entry.path),
        type=entry.kind,
        size=entry.size_bytes,
        mode=f"{entry.mode:04o}",
        mod_time=rfc3339(entry.mtime_ns),
        is_dir=entry.kind == "directory",
        uid=entry.uid,
        gid=entry.gid,
        target=entry.target if entry.target is not None and _is_text(entry.target) else None,
    )


def _is_text(path: str) -> bool:
    """Tell whether JSON can hold path as it is; one that it cannot would lead elsewhere."""
    return shown(path) == path


def _affected(result: box_files.TreeResult) -> wire.Affected:
    paths = [shown(path) for path in result.paths]
    return wire.Affected(
        affected=paths, copied=paths, count=result.count, total_bytes=result.size_bytes
    )


async def read(call: Call) -> Response:
    """Read a file."""
    return await read_from(call, None)


async def read_from(call: Call, checkpoint: str | None) -> Response:
    """Read a file of a box or of a checkpoint; a part of it where a range is asked for."""
    asked = call.query(Reading)
    async with contextlib.AsyncExitStack() as stack:
        root = await stack.enter_async_context(
            root_of(call, asked.working_dir, as_root=asked.as_root, checkpoint=checkpoint)
        )
        start, stop = await _range(call, asked, root)
        reader = await _in_thread(box_files.open_read, root, asked.path, start=start, stop=stop)
        stack.callback(reader.close)
        return Streamed(
            _content(reader),
            status=206 if _is_part(reader) else 200,
            headers=_headers(reader),
            media_type="application/octet-stream",
            held=stack.pop_all(),
        )


async def _content(reader: box_files.FileReader) -> AsyncGenerator[bytes]:
    left = reader.stop - reader.start
    while data := await _in_thread(reader.read):
        left -= len(data)
        yield data
    if left:
        raise Conflict("file_changed", "The file became shorter while it was read. Read it again.")


def _is_part(reader: box_files.FileReader) -> bool:
    return (reader.start, reader.stop) != (0, reader.entry.size_bytes)


def _headers(reader: box_files.FileReader) -> dict[str, str]:
    headers = {"Content-Length": str(reader.stop - reader.start), "Accept-Ranges": "bytes"}
    if _is_part(reader) and reader.start < reader.stop:
        headers["Content-Range"] = (
            f"bytes {reader.start}-{reader.stop - 1}/{reader.entry.size_bytes}"
        )
    return headers


async def _range(call: Call, asked: Reading, root: BoxRoot) -> tuple[int, int | None]:
    """Return start and stop, by the query or the Range header. Raises Invalid(bad_range)."""
    if asked.start is not None or asked.end is not None:
        return asked.start or 0, asked.end
    match = _RANGE.fullmatch(call.request.headers.get("range", ""))
    if match is None or (match[1] is None and match[2] is None):
        return 0, None  # several ranges, or other units: the whole, as HTTP allows
    first, last = (int(text) if text is not None else None for text in match.groups())
    if first is not None and last is not None and last < first:
        return 0, None  # no range at all, says HTTP
    size_bytes = (await _in_thread(box_files.stat, root, asked.path)).size_bytes
    if first is None:  # the last bytes of it
        first, last = max(0, size_bytes - (last or 0)), None
    if first >= size_bytes:
        raise Invalid(
            "bad_range", f"The file has {size_bytes} bytes. Ask for a part of them.",
            {"path": asked.path, "size_bytes": size_bytes},
        )  # fmt: skip
    return first, None if last is None else last + 1


async def write(call: Call) -> Response:
    """Write a file, in one step: it has the old content or the new, whole."""
    asked = call.query(Writing)
    mode = int(asked.mode, 8) if asked.mode is not None else None
    size_max = call.services.limits.file_bytes_max
    ended = boxes.disk_end(call.boxes, call.path("name"))
    async with root_of(call, asked.working_dir, as_root=asked.as_root) as root:
        if asked.mkdir_parents or asked.mkdir:
            parent = root.named(asked.path).rpartition("/")[0] or "/"
            await _in_thread(box_files.make_directory, root, parent, parents=True)
        writer = await _in_thread(
            box_files.open_write, root, asked.path, mode=mode, size_bytes_max=size_max
        )
        try:
            async for chunk in call.stream(size_max):
                await _in_thread(writer.write, chunk)
            entry = await _in_thread(writer.commit)
        finally:
            # To free a large file takes its time. Not waited for: the caller may be cancelled.
            _THREADS.submit(writer.abort)
        if ended.is_set():
            raise Conflict(
                "disk_replaced",
                "The box was restored or destroyed while this was written, which is on the old "
                "disk. Write it again.",
            )
    path = shown(entry.path)
    return answer(wire.Written(path=path, size=entry.size_bytes, mode=f"{entry.mode:04o}"))


async def scan(call: Call) -> Response:
    """List a directory; a file gives itself."""
    asked = call.query(Scanning)

    def look(root: BoxRoot) -> tuple[str, tuple[box_files.Entry, ...]]:
        if asked.stat:
            entry = box_files.stat(root, asked.path, follow=False)
            return entry.path, (entry,)
        where = root.absolute(asked.path)
        if asked.recursive:
            return where, box_files.list_tree(root, asked.path, pattern=asked.pattern)
        return where, box_files.list_directory(root, asked.path)

    def work(root: BoxRoot) -> Response:
        where, entries = look(root)
        shapes = [entry_shape(entry) for entry in entries]  # here, for there may be very many
        return answer(wire.Listing(path=shown(where), entries=shapes, count=len(shapes)))

    return await _with_root(call, asked, work)


async def remove(call: Call) -> Response:
    """Delete a file or directory; what the query does not say may be in the body."""
    asked = call.query(Removing)
    if asked.path is None:
        body = await call.body(wire.DeleteFile)
        asked = Removing(body.path, body.working_dir, body.recursive, body.as_root)
    if not asked.path:
        raise Invalid("bad_path", "Say which path to delete.")
    where = Where(asked.path, asked.working_dir, asked.as_root)
    return answer(
        _affected(
            await _with_root(
                call, where, lambda r: box_files.delete(r, where.path, recursive=asked.recursive)
            )
        )
    )


async def make_directory(call: Call) -> Response:
    """Make a directory."""
    asked = call.query(Making)
    mode = int(asked.mode, 8)
    entry = await _with_root(
        call,
        asked,
        lambda r: box_files.make_directory(r, asked.path, mode=mode, parents=asked.parents),
    )
    return answer(entry_shape(entry))


async def rename(call: Call) -> Response:
    """Move a file or directory."""
    body = await call.body(wire.CopyOrRename)
    where = Where(body.source, body.working_dir, body.as_root)
    entry = await _with_root(call, where, lambda r: box_files.rename(r, body.source, body.dest))
    return answer(wire.Affected(affected=[shown(entry.path)], count=1))


async def copy(call: Call) -> Response:
    """Copy a file or directory."""
    body = await call.body(wire.CopyOrRename)
    where = Where(body.source, body.working_dir, body.as_root)

    def work(root: BoxRoot) -> box_files.TreeResult:
        return box_files.copy(
            root, body.source, body.dest, recursive=body.recursive, preserve=body.preserve_attrs
        )

    return answer(_affected(await _with_root(call, where, work)))


async def make_link(call: Call) -> Response:
    """Make a symbolic link."""
    body = await call.body(wire.MakeLink)
    where = Where(body.path, body.working_dir, body.as_root)
    entry = await _with_root(call, where, lambda r: box_files.make_link(r, body.path, body.target))
    return answer(entry_shape(entry))


async def change_mode(call: Call) -> Response:
    """Change modes."""
    body = await call.body(wire.ChangeMode)
    where, mode = Where(body.path, body.working_dir, body.as_root), int(body.mode, 8)
    work = _with_root(
        call, where, lambda r: box_files.change_mode(r, body.path, mode, recursive=body.recursive)
    )
    return answer(_affected(await work))


async def change_owner(call: Call) -> Response:
    """Change owners."""
    body = await call.body(wire.ChangeOwner)
    where = Where(body.path, body.working_dir, body.as_root)

    def work(root: BoxRoot) -> box_files.TreeResult:
        return box_files.change_owner(
            root, body.path, uid=body.uid, gid=body.gid, recursive=body.recursive
        )

    return answer(_affected(await _with_root(call, where, work)))


_FS = "/boxes/{name}/fs"
_ERRORS = (403, 404, 409, 429, 507)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path=_FS + "/read", name="read_file", summary="Read a file or a part of it",
        handler=read, scope="read", query=Reading, content="application/octet-stream",
        errors=_ERRORS,
    ),
    Operation(
        method="PUT", path=_FS + "/write", name="write_file", summary="Write a file",
        handler=write, scope="write", query=Writing, body_content="application/octet-stream",
        answer=wire.Written, errors=(*_ERRORS, 413),
    ),
    Operation(
        method="GET", path=_FS + "/list", name="list_files", summary="List a directory",
        handler=scan, scope="read", query=Scanning, answer=wire.Listing, errors=_ERRORS,
    ),
    Operation(
        method="DELETE", path=_FS + "/delete", name="delete_file", summary="Delete",
        handler=remove, scope="write", query=Removing, answer=wire.Affected, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_FS + "/mkdir", name="make_directory", summary="Make a directory",
        handler=make_directory, scope="write", query=Making, answer=wire.Entry, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_FS + "/rename", name="rename_file", summary="Move",
        handler=rename, scope="write", body=wire.CopyOrRename, answer=wire.Affected,
        errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_FS + "/copy", name="copy_file", summary="Copy",
        handler=copy, scope="write", body=wire.CopyOrRename, answer=wire.Affected, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_FS + "/symlink", name="make_link", summary="Make a symbolic link",
        handler=make_link, scope="write", body=wire.MakeLink, answer=wire.Entry, errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_FS + "/chmod", name="change_mode", summary="Change modes",
        handler=change_mode, scope="write", body=wire.ChangeMode, answer=wire.Affected,
        errors=_ERRORS,
    ),
    Operation(
        method="POST", path=_FS + "/chown", name="change_owner", summary="Change owners",
        handler=change_owner, scope="write", body=wire.ChangeOwner, answer=wire.Affected,
        errors=_ERRORS,
    ),
)  # fmt: skip
