"""Whole trees and prefixes, copied from end to end, and single objects."""

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, cast

from skerry.base import Invalid, NotFound
from skerry.remotes.ends import Prefix, items_of, moment_ns
from skerry.remotes.model import File, Place
from skerry.remotes.s3 import S3, told
from skerry.remotes.sync_plan import Item, Step
from skerry.remotes.transfers import (
    IN_THE_WAY,
    Count,
    Transfers,
    Watcher,
    is_about_bucket,
    properties_of,
)
from skerry.remotes.trees import Tree, open_file, unfit_key, written

End: TypeAlias = Tree | Prefix

_DELETES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What copies came to. skipped: what could not be copied, each with the reason."""

    files: int = 0
    size_bytes: int = 0
    deleted: int = 0
    skipped: tuple[str, ...] = ()


def items(end: End) -> Iterable[Item]:
    """Return what lies at one end, in the order of its keys. Raises OSError, and as `told`."""
    return items_of(end) if isinstance(end, Tree) else end.items()


def carry_out(source: End, target: End, steps: Iterable[Step], watcher: Watcher) -> Done:
    """Do steps. Raises OSError, and as `told`; what has been done until then stays done."""
    count = Count(watcher)
    skipped: list[str] = []
    unwanted: list[str] = []
    deleted = 0
    end = target if isinstance(target, Prefix) else cast("Prefix", source)
    with Transfers(end.client, count) as transfers:
        for step in steps:
            if step.verb == "copy":
                _copy(transfers, source, target, step.item, skipped)
                continue
            unwanted.append(step.item.key)
            if len(unwanted) >= _DELETES_AT_ONCE:
                deleted += _delete(target, unwanted, skipped)
    # Last, so that nothing is missing meanwhile that is only called otherwise now.
    deleted += _delete(target, unwanted, skipped)
    for each in (source, target):
        skipped += each.skipped if isinstance(each, Tree) else []
    return Done(
        files=count.files, size_bytes=count.size_bytes, deleted=deleted,
        skipped=(*skipped, *transfers.skipped),
    )  # fmt: skip


def _copy(transfers: Transfers, source: End, target: End, item: Item, skipped: list[str]) -> None:
    try:
        match source, target:
            case Tree(), Prefix():
                transfers.upload(source.open(item.key), target.of(item.key))
            case Prefix(), Tree():
                reason = unfit_key(item.key)
                if reason is None:
                    transfers.download(source.of(item.key), target.writing(item.key), item)
                else:
                    skipped.append(f"{source.of(item.key)}: {reason}")
            case Prefix(), Prefix():
                copy_object(transfers, source.client, target.client, source.of(item.key),
                            target.of(item.key))  # fmt: skip
            case _:
                raise Invalid("bad_address", "One of the two must be objects, not files.")
    except NotFound as error:
        if is_about_bucket(error):
            raise
        skipped.append(error.message)  # deleted since it was listed
    except OSError as error:
        if error.errno not in IN_THE_WAY:
            raise
        skipped.append(f"{item.key}: {error.strerror}")


def _delete(target: End, keys: list[str], skipped: list[str]) -> int:
    """Delete keys, and empty their list; return how many are gone."""
    gone = 0
    if isinstance(target, Prefix):
        refused = target.delete(keys)
        skipped += refused
        gone = len(keys) - len(refused)
    else:
        for key in keys:
            try:
                target.delete(key)
                gone += 1
            except OSError as error:
                skipped.append(f"{key}: {error.strerror}")
    keys.clear()
    return gone


def copy_object(
    transfers: Transfers, source_client: S3, target_client: S3, source: Place, target: Place
) -> None:
    """Copy one object: within a remote there, between two through this machine. Raises as `told`."""
    if source_client is target_client:
        transfers.copy(source, target)
        return
    with told(source):
        found = source_client.get_object(Bucket=source.bucket, Key=source.key)
    transfers.upload(found["Body"], target, properties_of(found))


def copy_one(
    source: Place | File, target: Place | File, clients: Callable[[Place], S3], watcher: Watcher
) -> Done:
    """Copy one file or object; at least one of the two is an object.

    A target that is a bucket, ends with a slash or is a directory gets the name of the source.
    Raises Invalid(bad_address, bad_file), OSError, and as `told`.
    """
    count = Count(watcher)
    match source, target:
        case File(), Place():
            with Transfers(clients(target), count) as transfers:
                file = (
                    os.fdopen(os.dup(0), "rb") if source.is_stream
                    else open_file(source.path, source.path)
                )  # fmt: skip
                transfers.upload(file, _named(target, os.path.basename(source.path)))
        case Place(), File():
            _fetch(clients(source), source, target, count)
        case Place(), Place():
            with Transfers(clients(target), count) as transfers:
                to = _named(target, source.key.rpartition("/")[2])
                copy_object(transfers, clients(source), clients(target), source, to)
        case _:
            raise Invalid(
                "bad_address",
                "Both are files of this machine. Write :BUCKET/KEY, NAME:BUCKET/KEY or "
                "s3://BUCKET/KEY for an object.",
            )
    return Done(files=count.files, size_bytes=count.size_bytes)


def _fetch(client: S3, source: Place, target: File, count: Count) -> None:
    with told(source):
        found = client.head_object(Bucket=source.bucket, Key=source.key)
    path = target.path
    if path.endswith("/") or os.path.isdir(path):
        name = source.key.rpartition("/")[2]
        if unfit_key(name):
            raise Invalid("bad_address", f"{source} ends in no name. Name the file.")
        path = os.path.join(path, name)
    # A link is followed: its owner named it. What it leads to may be a device, which stays.
    parent, name = os.path.split(os.path.realpath(path))
    item = Item(
        source.key, int(found["ContentLength"]), moment_ns(found["LastModified"]), found["ETag"]
    )
    with contextlib.ExitStack() as opened:
        directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, directory)
        part = f".skerry-{os.getpid()}-1.part"
        with Transfers(client, count) as transfers:
            transfers.download(source, written(directory, name, part, item.modified_at_ns), item)


def _named(target: Place, name: str) -> Place:
    if target.key and not target.key.endswith("/"):
        return target
    if not name or name == "-":
        raise Invalid("bad_address", f"{target} names no object, and the source has no name.")
    return Place(target.remote, target.bucket, target.key + name)
