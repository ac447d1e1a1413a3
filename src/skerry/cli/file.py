"""`skerry file`: files into a box, out of it, and in it."""

import argparse
from collections.abc import AsyncIterator

from skerry import client, wire
from skerry.base import format_size
from skerry.cli import stdio
from skerry.cli.connection import connect
from skerry.cli.output import ProgressLine, age, print_json, print_table, printable, say, size
from skerry.cli.parser import Parser, WrongUsage


def declare_file(parser: Parser) -> None:
    """Declare the commands below `skerry file`."""
    _declare_copies(parser)
    listing = parser.command("ls", "List a directory", _list)
    stat = parser.command("stat", "Tell one file or directory", _stat)
    cat = parser.command("cat", "Write a file to standard output", _cat)
    write = parser.command("write", "Write standard input to a file", _write)
    mkdir = parser.command("mkdir", "Make a directory and those above it", _mkdir)
    remove = parser.command("rm", "Delete a file or directory", _remove)
    move = parser.command("mv", "Give a file or directory another path", _move)
    copy = parser.command("cp", "Copy within the box", _copy)
    chmod = parser.command("chmod", "Change permissions", _chmod)
    chown = parser.command("chown", "Change the owner, as root", _chown)
    watch = parser.command("watch", "Tell changes of files as they happen", _watch)
    for below in (listing, stat, cat, write, mkdir, remove, move, copy, chmod, chown, watch):
        below.argument("box", metavar="BOX", help="the box")
    listing.argument("path", metavar="PATH", nargs="?", default=".", help="(default: the home)")
    chmod.argument("mode", metavar="MODE", type=_mode, help="octal, such as 755")
    chown.argument("owner", metavar="UID[:GID]", help="numbers, such as 1000:1000")
    for below in (stat, cat, write, mkdir, remove, chmod, chown, watch):
        below.argument("path", metavar="PATH", help="its path in the box, from the home on")
    for below in (move, copy):
        below.argument("source", metavar="SOURCE", help="its path")
        below.argument("dest", metavar="DEST", help="its new path")
    write.argument("--mode", metavar="MODE", type=_mode, default=0o644, help="octal (default: 644)")
    copy.argument("-p", "--preserve", action="store_true", help="mode, owner and times too")
    for below in (remove, copy, chmod, chown, watch):
        below.argument("-r", "--recursive", action="store_true", help="and all below it")
    for below in (listing, stat, cat, write, mkdir, remove, move, copy, chmod):
        _add_as_root(below)


def _declare_copies(parser: Parser) -> None:
    push = parser.command("push", "Copy a file or directory into a box", _push)
    pull = parser.command("pull", "Copy a file or directory out of a box", _pull)
    for below in (push, pull):
        below.argument("box", metavar="BOX", help="the box")
        below.argument(
            "-r", "--recursive", action="store_true", help="as scp has it; directories go anyway"
        )
        _add_as_root(below)
    push.argument("local", metavar="LOCAL", help="what to copy")
    push.argument("remote", metavar="REMOTE", help="its path in the box, or a directory for it")
    pull.argument("remote", metavar="REMOTE", help="its path in the box")
    pull.argument("local", metavar="LOCAL", nargs="?", default=".", help="(default: here)")


def _add_as_root(parser: Parser) -> None:
    parser.argument(
        "--as-root", action="store_true", help="as the box's root, not its default user"
    )


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise argparse.ArgumentTypeError(f"{text!r} is no mode. Write it like 644.")
    return mode


# -- copies ----------------------------------------------------------------------------------------


async def _push(options: argparse.Namespace) -> int:
    line = ProgressLine()
    async with connect(options) as cloud:
        done = await cloud.box(options.box).files.push(
            options.local, options.remote, as_root=options.as_root, progress=_watcher(line)
        )
    return _told(done, line, as_json=options.json)


async def _pull(options: argparse.Namespace) -> int:
    line = ProgressLine()
    async with connect(options) as cloud:
        done = await cloud.box(options.box).files.pull(
            options.remote, options.local, as_root=options.as_root, progress=_watcher(line)
        )
    return _told(done, line, as_json=options.json)


def _watcher(line: ProgressLine) -> "client.Watcher":
    def watch(now: client.TransferProgress) -> None:
        total = f" of {format_size(now.bytes_total)}" if now.bytes_total is not None else ""
        line.show(f"{now.files_done} files, {format_size(now.bytes_done)}{total}  {now.path}")

    return watch


def _told(done: client.Transfer, line: ProgressLine, *, as_json: bool) -> int:
    """Say what was copied; 1 if something could not be."""
    line.clear()
    if as_json:
        skipped = [*done.skipped]
        print_json({"files": done.files, "size_bytes": done.size_bytes, "skipped": skipped})
    else:
        files = "1 file" if done.files == 1 else f"{done.files} files"
        say(f"Copied {files}, {format_size(done.size_bytes)}.")
        for each in done.skipped:
            say(f"skerry: skipped {printable(each)}")
    return 1 if done.skipped else 0


# -- in the box ------------------------------------------------------------------------------------


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        entries = await files.list(options.path, as_root=options.as_root)
    return _print_entries(entries, as_json=options.json)


async def _stat(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        entry = await files.stat(options.path, as_root=options.as_root)
    if options.json:
        print_json(entry)
        return 0
    return _print_entries([entry], as_json=False)


def _print_entries(entries: list[wire.Entry], *, as_json: bool) -> int:
    if as_json:
        print_json(entries)
        return 0
    rows = [
        [
            entry.mode,
            f"{entry.uid}:{entry.gid}",
            "-" if entry.is_dir else size(entry.size),
            age(entry.mod_time),
            entry.name + ("/" if entry.is_dir else f" -> {entry.target}" if entry.target else ""),
        ]
        for entry in entries
    ]
    print_table(["MODE", "OWNER", "SIZE", "CHANGED", "NAME"], rows)
    return 0


async def _cat(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        async with files.open(options.path, as_root=options.as_root) as pieces:
            async for piece in pieces:
                await stdio.write_all(stdio.STDOUT, piece)
    return 0


async def _write(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        written = await files.write(
            options.path, _input(), mode=options.mode, as_root=options.as_root
        )
    if options.json:
        print_json(written)
    return 0


async def _input() -> AsyncIterator[bytes]:
    while data := await stdio.read_some(stdio.STDIN):
        yield data


async def _mkdir(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        await files.make_directory(options.path, as_root=options.as_root)
    return 0


async def _remove(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        await files.delete(options.path, recursive=options.recursive, as_root=options.as_root)
    return 0


async def _move(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        await files.rename(options.source, options.dest, as_root=options.as_root)
    return 0


async def _copy(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        await files.copy(
            options.source,
            options.dest,
            recursive=options.recursive,
            preserve=options.preserve,
            as_root=options.as_root,
        )
    return 0


async def _chmod(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        await files.chmod(
            options.path, options.mode, recursive=options.recursive, as_root=options.as_root
        )
    return 0


async def _chown(options: argparse.Namespace) -> int:
    uid, _, gid = options.owner.partition(":")
    if not all(part.isdecimal() or not part for part in (uid, gid)) or not (uid or gid):
        raise WrongUsage("bad_owner", "Write the owner in numbers, such as 1000:1000 or 1000.")
    async with connect(options) as cloud:
        await cloud.box(options.box).files.chown(
            options.path,
            uid=int(uid) if uid else None,
            gid=int(gid) if gid else None,
            recursive=options.recursive,
        )
    return 0


async def _watch(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        files = cloud.box(options.box).files
        async with files.watch(options.path, recursive=options.recursive) as events:
            async for event in events:
                if options.json:
                    print_json(event)
                else:
                    print(printable(f"{event.event}  {event.path}"), flush=True)
    return 0
