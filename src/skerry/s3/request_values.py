"""What the conditions of a policy may look at in a request, found out when one does."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from skerry.base import NotFound
from skerry.objects import buckets, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skerry.s3.call import Call


class RequestValues:
    """The values of condition keys, for a call that is about an object, a bucket, or neither.

    tags: those that the object is to get, where they are not in a header.
    """

    def __init__(
        self, call: Call, bucket: str = "", key: str = "", version_id: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._call = call
        self._key = key
        self._version_id = version_id
        self._tags = tags
        try:
            self.bucket = buckets.find(call.objects, bucket) if bucket else None
        except NotFound:
            self.bucket = None

    def of(self, name: str) -> Sequence[str]:
        """Return what a request has by the name of a condition key."""
        prefix, slash, tag = name.partition("/")
        if slash:
            tags = self._existing() if prefix == "s3:existingobjecttag" else self._asked()
            return [tags[tag]] if tag in tags else []
        if name == "s3:requestobjecttagkeys":
            return list(self._asked())
        if name == "s3:versionid":
            return [self._version_id] if self._version_id else []
        look = _LOOKS.get(name)
        found = look(self._call) if look is not None else self._sent(name.removeprefix("s3:"))
        return [] if found is None else [found]

    def _sent(self, name: str) -> str | None:
        if not name.startswith("x-amz-"):
            return self._call.query.get(name)
        said = self._call.header(name)
        return unquote(said) if said is not None and name == "x-amz-copy-source" else said

    def _existing(self) -> Mapping[str, str]:
        if self.bucket is None or not self._key:
            return {}
        version_id = self._version_id or None
        try:
            row = versions.find(self._call.objects, self.bucket, self._key, version_id)
        except NotFound:
            return {}
        return row.version.tags

    def _asked(self) -> Mapping[str, str]:
        if self._tags is not None:
            return self._tags
        return dict(parse_qsl(self._call.header("x-amz-tagging") or "", keep_blank_values=True))


def _now_s(call: Call) -> int:
    return call.objects.clock.now_ns() // 10**9


def _moment(call: Call) -> str:
    return f"{dt.datetime.fromtimestamp(_now_s(call), dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


_LOOKS: dict[str, Callable[[Call], str | None]] = {
    "aws:sourceip": lambda call: call.request.peer or None,
    "aws:securetransport": lambda _: "false",  # TLS ends before us; a header could be anybody's
    "aws:epochtime": lambda call: str(_now_s(call)),
    "aws:currenttime": _moment,
    "aws:username": lambda call: call.identity.user or None,
    "aws:useragent": lambda call: call.header("user-agent"),
    "aws:referer": lambda call: call.header("referer"),
    "s3:signatureversion": lambda call: call.claim.algorithm if call.claim is not None else None,
}
