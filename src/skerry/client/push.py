"""Local files and directories into a box. Needs no program there."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import BinaryIO

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
    Permission bits of files come along. Symbolic links become links, but for local itself: what is
    pushed may have come out of a box, and a link in it could name any file here, so none is
    followed. What is no file, directory or link is skipped. Raises OSError for what cannot be read here, and what `FileCalls.write` raises.
    """
    survey = await asyncio.to_thread(_survey, local)
    if remote.endswith("/") or await _is_directory(files, remote, as_root=as_root):
        remote = f"{remote.rstrip('/')}/{survey.name}"
    tally = Tally(watcher, sum(each.size_bytes for each in survey.files))

    async def send(each: _LocalFile) -> None:
        path = f"{remote}/{each.relative}" if each.relative else remote
        small = each.size_bytes <= _SMALL_BYTES_MAX
        content = await asyncio.to_thread(_whole, each) if small else _pieces(each)
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
    for directory in sorted({os.path.dirname(link.relative) for link in survey.links}):
        await files.make_directory(f"{remote}/{directory}".rstrip("/"), as_root=as_root)
    for link in survey.links:
        await files.make_link(f"{remote}/{link.relative}", link.target, as_root=as_root)
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


@dataclass(frozen=True, slots=True)
class _LocalLink:
    relative: str
    target: str


@dataclass(slots=True)
class _Survey:
    name: str
    files: list[_LocalFile] = field(default_factory=list[_LocalFile])
    links: list[_LocalLink] = field(default_factory=list[_LocalLink])
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
    pending = [(local, "")]
    while pending:
        path, relative = pending.pop()
        names = sorted(os.listdir(path))
        if not names:
            survey.empty_directories.append(relative)
        for name in names:
            here, there = os.path.join(path, name), f"{relative}/{name}".lstrip("/")
            found = os.lstat(here)
            target = os.readlink(here) if stat.S_ISLNK(found.st_mode) else ""
            reason = _unfit(name + target, found.st_mode)
            if reason is not None:
                survey.skipped.append(f"{here}: {reason}")
            elif target:
                survey.links.append(_LocalLink(there, target))
            elif stat.S_ISDIR(found.st_mode):
                pending.append((here, there))
            else:
                survey.files.append(_LocalFile(here, there, found.st_size, found.st_mode & 0o777))
    return survey


def _unfit(name: str, mode: int) -> str | None:
    """Return why what has that name and mode cannot be pushed, None if it can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    known = stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
    return None if known else "no file, directory or link"


def _open(each: _LocalFile) -> BinaryIO:
    """Open what the survey found; a link that has taken its place since is not followed."""
    # The argument itself, whose relative path is empty, may be a link: its owner named it.
    no_link = os.O_NOFOLLOW if each.relative else 0
    descriptor = os.open(each.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | no_link)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "is no file any more", each.path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _whole(each: _LocalFile) -> bytes:
    with _open(each) as file:
        return file.read()


async def _pieces(each: _LocalFile) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(_open, each) as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
