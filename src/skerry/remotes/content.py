"""Whether a file and an object have the same bytes, told without fetching the object."""

import hashlib
import re
from typing import BinaryIO

from skerry.base import NotFound
from skerry.remotes.copying import End
from skerry.remotes.ends import Prefix
from skerry.remotes.s3 import told
from skerry.remotes.sync_plan import Differs, Item
from skerry.remotes.trees import Tree

_READ_BYTES = 1 << 20
_WHOLE = re.compile(r'"?([0-9a-f]{32})"?')
_IN_PARTS = re.compile(r'"?([0-9a-f]{32})-([0-9]{1,5})"?')


def other_content(source: End, target: End) -> Differs:
    """Return what tells whether two have other bytes; if it cannot be told, they have.

    An ETag is the MD5 of the bytes, or of those of its parts and their number (S3 user guide,
    "Checking object integrity"). The size of a part is asked for.
    """

    def differs(here: Item, there: Item) -> bool:
        if here.size_bytes != there.size_bytes:
            return True
        match source, target:
            case Tree(), Prefix():
                return not _same(source, here, target, there)
            case Prefix(), Tree():
                return not _same(target, there, source, here)
            case _:
                return not here.etag or here.etag != there.etag

    return differs


def _same(tree: Tree, file: Item, prefix: Prefix, item: Item) -> bool:
    try:
        if match := _WHOLE.fullmatch(item.etag):
            with tree.open(file.key) as opened:
                return _md5(opened, item.size_bytes).hex() == match[1]
        if match := _IN_PARTS.fullmatch(item.etag):
            part_bytes = _part_bytes(prefix, item)
            with tree.open(file.key) as opened:
                digests = [_md5(opened, part_bytes) for _ in range(int(match[2]))]
                at_end = not opened.read(1)
            whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
            return at_end and whole == match[1]
    except (NotFound, FileNotFoundError):
        pass  # gone meanwhile; the copy tells
    return False


def _part_bytes(prefix: Prefix, item: Item) -> int:
    place = prefix.of(item.key)
    with told(place):
        part = prefix.client.head_object(Bucket=place.bucket, Key=place.key, PartNumber=1)
    return int(part["ContentLength"])


def _md5(file: BinaryIO, limit_bytes: int) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    left = limit_bytes
    while left and (piece := file.read(min(left, _READ_BYTES))):
        digest.update(piece)
        left -= len(piece)
    return digest.digest()
