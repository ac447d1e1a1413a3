"""Tools about files in boxes. They wake no box."""

import base64
import binascii
from typing import Annotated, Literal

from msgspec import Meta, Struct

from skerry import wire
from skerry.base import Invalid
from skerry.mcp.tool import AsRoot, Call, OnBox, Path, Tool, told

_READ_BYTES_MAX = 512 << 10
_CONTENT_CHARACTERS_MAX = 2 << 20
_ENTRIES_TOLD_MAX = 1000

Encoding = Literal["utf-8", "base64"]


class FileRead(OnBox, kw_only=True):
    """What to read."""

    path: Path
    offset_bytes: Annotated[int, Meta(ge=0, description="Where to begin.")] = 0
    bytes_max: Annotated[int, Meta(ge=1, le=_READ_BYTES_MAX)] = 64 << 10
    as_root: AsRoot = False


class FileTold(Struct, kw_only=True):
    """A part of a file. encoding: base64 where it is no UTF-8 text.

    next_offset_bytes: where to read on, none at the end of the file.
    """

    path: str
    content: str
    encoding: Encoding
    next_offset_bytes: int | None


class FileWrite(OnBox, kw_only=True):
    """What to write."""

    path: Path
    content: Annotated[
        str, Meta(max_length=_CONTENT_CHARACTERS_MAX, description="All that the file will hold.")
    ]
    encoding: Annotated[Encoding, Meta(description="base64 for content that is no text.")] = "utf-8"
    mode: Annotated[str, Meta(pattern="^[0-7]{3,4}$", description="0755 for a program.")] = "0644"
    as_root: AsRoot = False


class FileList(OnBox, kw_only=True):
    """What to list."""

    path: Path = "."
    as_root: AsRoot = False


class EntryTold(Struct, kw_only=True):
    """One file, directory or link."""

    name: str
    type: Literal["file", "directory", "symlink", "other"]
    size: int
    mode: str
    mod_time: str
    target: str | None


class EntriesTold(Struct, kw_only=True):
    """What a directory holds. count: all of it; of very many only the first are told."""

    path: str
    entries: list[EntryTold]
    count: int


class FileDelete(OnBox, kw_only=True):
    """What to delete."""

    path: Path
    recursive: Annotated[bool, Meta(description="A directory and all that is in it.")] = False
    as_root: AsRoot = False


class Deleted(Struct, kw_only=True):
    """What was deleted."""

    path: str


async def file_read(call: Call, asked: FileRead) -> FileTold:
    """Read a part of a file."""
    box = await call.box(asked)
    start, most = asked.offset_bytes, asked.bytes_max
    # One byte more tells whether the file goes on.
    data = await box.files.read(
        asked.path, start=start, end=start + most + 1, as_root=asked.as_root
    )
    goes_on = len(data) > most
    data = data[:most]
    encoding: Encoding = "utf-8"
    try:
        content = data.decode()
    except UnicodeDecodeError as error:
        if goes_on and error.start > 0 and error.reason == "unexpected end of data":
            data = data[: error.start]  # the last character's other bytes come with the next part
            content = data.decode()
        else:
            encoding, content = "base64", base64.b64encode(data).decode()
    return FileTold(
        path=asked.path,
        content=content,
        encoding=encoding,
        next_offset_bytes=start + len(data) if goes_on else None,
    )


async def file_write(call: Call, asked: FileWrite) -> wire.Written:
    """Write a file."""
    box = await call.box(asked)
    mode = int(asked.mode, 8)
    content = _bytes_of(asked)
    return await box.files.write(asked.path, content, mode=mode, as_root=asked.as_root)


def _bytes_of(asked: FileWrite) -> bytes:
    try:
        if asked.encoding == "utf-8":
            return asked.content.encode()
        return base64.b64decode(asked.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("bad_content", f"The content is no {asked.encoding}: {error}.") from None


async def file_list(call: Call, asked: FileList) -> EntriesTold:
    """List a directory."""
    box = await call.box(asked)
    found = await box.files.listing(asked.path, as_root=asked.as_root)
    entries = [told(EntryTold, each) for each in found.entries[:_ENTRIES_TOLD_MAX]]
    return EntriesTold(path=found.path, entries=entries, count=found.count)


async def file_delete(call: Call, asked: FileDelete) -> Deleted:
    """Delete a file."""
    box = await call.box(asked)
    await box.files.delete(asked.path, recursive=asked.recursive, as_root=asked.as_root)
    return Deleted(path=asked.path)


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="file_read", title="Read a file", arguments=FileRead, answer=FileTold, run=file_read,
        effect="looks",
        description="Read a file of a box, or a part of it. A box that sleeps stays asleep.",
    ),
    Tool(
        name="file_write", title="Write a file", arguments=FileWrite, answer=wire.Written,
        run=file_write, effect="loses", repeatable=True,
        description="Write a file in a box, in one step, replacing what it held. Missing "
        "directories are made.",
    ),
    Tool(
        name="file_list", title="List a directory", arguments=FileList, answer=EntriesTold,
        run=file_list, effect="looks",
        description="List a directory of a box; the home directory if no path is said.",
    ),
    Tool(
        name="file_delete", title="Delete a file", arguments=FileDelete, answer=Deleted,
        run=file_delete, effect="loses",
        description="Delete a file or an empty directory, or with recursive a whole tree. A "
        "checkpoint made before is the way back.",
    ),
)  # fmt: skip
