"""Local files and directories into a box. Needs no program there."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from skerry.base import NotFound
from skerry.client.file_calls import FileCalls
from skerry.client.transfers import Tally, Transfer, Watcher, each_of, only_file

_PIECE_BYTES = 1024 * 1024
_SMALL_BYTES_MAX = 64 * 1024  # a file up to this size is sent as one request that may be repeated


async def push(
    files: FileCalls, local: str, remote: str, *, as_root: bool, watcher: Watcher | None
) -> Transfer:
    """Copy a local file or directory into a box.

    It gets the path remote, or that of an entry in remote if that ends with `/` or is a directory.
    Permission bits come along; symbolic links are followed; what is no file or directory is
    skipped. Raises OSError for what cannot be read here, and what `FileCalls.write` raises.
    """
    survey = await asyncio.to_thread(_survey, local)
    if remote.endswith("/") or await _is_directory(files, remote, as_root=as_root):
        remote = f"{remote.rstrip('/')}/{survey.name}"
    tally = Tally(watcher, sum(each.size_bytes for each in survey.files))

    async def send(each: _LocalFile) -> None:
        path = f"{remote}/{each.relative}" if each.relative else remote
        small = each.size_bytes <= _SMALL_BYTES_MAX
        content = await asyncio.to_thread(_whole, each.path) if small else _pieces(each.path)
        if isinstance(content, bytes):
            await files.write(path, content, mode=each.mode, as_root=as_root)
            tally.moved(path, len(content))
        else:
            counted = tally.counting(path, content)
            await files.write(path, counted, mode=each.mode, as_root=as_root)
        tally.finished(path)

    for relative in survey.empty_directories:
        await files.make_directory(f"{remote}/{relative}".rstrip("/"), as_root=as_root)
    await each_of(survey.files, send)
    return Transfer(files=tally.files, size_bytes=tally.size_bytes, skipped=tuple(survey.skipped))


async def _is_directory(files: FileCalls, path: str, *, as_root: bool) -> bool:
    try:
        return only_file(await files.listing(path, as_root=as_root)) is None
    except NotFound as error:
        if error.code == "box_not_found":
            raise
        return False


@dataclass(frozen=True, slots=True)
class _LocalFile:
    path: str
    relative: str  # to the directory that is pushed; empty for a single file
    size_bytes: int
    mode: int


@dataclass(slots=True)
class _Survey:
    name: str
    files: list[_LocalFile] = field(default_factory=list[_LocalFile])
    empty_directories: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])


def _survey(local: str) -> _Survey:
    """Return what is to be pushed. Raises OSError."""
    survey = _Survey(os.path.basename(os.path.realpath(local)))
    found = os.stat(local)
    if not stat.S_ISDIR(found.st_mode):
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "is no file and no directory", local)
        survey.files.append(_LocalFile(local, "", found.st_size, found.st_mode & 0o777))
        return survey
    # Each with the directories above it, so that a link to one of them is no endless road.
    pending = [(local, "", frozenset({(found.st_dev, found.st_ino)}))]
    while pending:
        path, relative, above = pending.pop()
        names = sorted(os.listdir(path))
        if not names:
            survey.empty_directories.append(relative)
        for name in names:
            here, there = os.path.join(path, name), f"{relative}/{name}".lstrip("/")
            reason = _unfit(here)
            found = os.stat(here) if reason is None else os.lstat(here)
            identity = (found.st_dev, found.st_ino)
            if reason is None and stat.S_ISDIR(found.st_mode):
                if identity in above:
                    reason = "a link to a directory above it"
                else:
                    pending.append((here, there, above | {identity}))
            elif reason is None:
                survey.files.append(_LocalFile(here, there, found.st_size, found.st_mode & 0o777))
            if reason is not None:
                survey.skipped.append(f"{here}: {reason}")
    return survey


def _unfit(path: str) -> str | None:
    """Return why path cannot be pushed, None if it can."""
    try:
        path.encode()
        kind = os.stat(path).st_mode
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    except FileNotFoundError:
        return "a link to nothing"
    return None if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else "no file and no directory"


def _whole(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


async def _pieces(path: str) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(open, path, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
