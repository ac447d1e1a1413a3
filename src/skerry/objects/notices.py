"""Notices: what happens to objects, and who wants to be told of what. Pure.

A *subscription* is a rule of a bucket: events of these kinds, on keys that begin and end so, are told
to that *target*, a name that the owner of the machine has given to an address.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from skerry.objects.model import Version

SETTING = "notification"
"""The setting of a bucket that holds its subscriptions, as `say_subscriptions` says them."""

PUT, COPY, COMPLETE, POST = (
    f"s3:ObjectCreated:{kind}" for kind in ("Put", "Copy", "CompleteMultipartUpload", "Post")
)
DELETED, MARKED = "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated"
TAGGED, UNTAGGED = "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete"
EVENTS = frozenset({PUT, COPY, COMPLETE, POST, DELETED, MARKED, TAGGED, UNTAGGED})
_CREATED_BY: Mapping[str, str] = {"": PUT, "copy": COPY, "post": POST}


class Subscription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is told of what. target: see above. arn: as its client named it. kind: of its element.

    events: names of events, in which a star at the end stands for the rest.
    """

    subscription_id: str
    target: str
    arn: str
    kind: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def wants(self, event: str, key: str) -> bool:
        """Tell whether it is about an event on a key."""
        is_for_key = key.startswith(self.prefix) and key.endswith(self.suffix)
        return is_for_key and any(fnmatchcase(event, each) for each in self.events)


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened, for one target."""

    event: str
    subscription_id: str
    bucket: str
    owner: str
    key: str
    at_ns: int
    sequence: int = 0
    size: int = 0
    etag: str = ""
    version_id: str = ""


def say_subscriptions(wanted: Sequence[Subscription]) -> bytes:
    """Return subscriptions as bytes; `hear_subscriptions` is the way back."""
    return msgspec.msgpack.encode(wanted)


def hear_subscriptions(said: bytes) -> list[Subscription]:
    """Return the subscriptions that are said."""
    return msgspec.msgpack.decode(said, type=list[Subscription])


def is_event(name: str) -> bool:
    """Tell whether events have that name, which may end with a star."""
    return any(fnmatchcase(event, name) for event in EVENTS) and "[" not in name and "?" not in name


def event_of(version: Version, before: Version | None, *, is_new: bool) -> str | None:
    """Return what happened when a version was written, None if nothing that is told.

    before: the version of that id as it was. is_new: it did not exist, under any key.
    """
    if is_new:
        if version.is_marker:
            return MARKED
        return COMPLETE if version.upload_id else _CREATED_BY.get(version.made_by, PUT)
    if before is None or before.tags == version.tags:
        return None  # moved in the log, or locked
    return TAGGED if version.tags else UNTAGGED


def notices(
    event: str, version: Version, bucket: str, owner: str, at_ns: int,
    subscriptions: Sequence[Subscription],
) -> Iterator[tuple[str, Notice]]:  # fmt: skip
    """Yield the targets to tell, and what."""
    for each in subscriptions:
        if each.wants(event, version.key):
            is_gone = event == DELETED
            yield each.target, Notice(
                event=event, subscription_id=each.subscription_id, bucket=bucket, owner=owner,
                key=version.key, at_ns=at_ns, sequence=version.sequence,
                size=0 if is_gone else version.size, etag="" if is_gone else version.etag,
                version_id=version.version_id,
            )  # fmt: skip
