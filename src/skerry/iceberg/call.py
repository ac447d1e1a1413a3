"""One call: what was asked, by whom, about what; and the shape of an answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec

from skerry.base import Invalid
from skerry.tables import Identifier, Levels, Tables
from skerry.tables.model import PAGE_MAX, key_of, split, url_of

if TYPE_CHECKING:
    from skerry.objects.model import Bucket

_T = TypeVar("_T")
_SAID_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request. target: as it was sent. headers: names in lower case. size: None if not known.

    may: tells whether somebody may do an action with an object of a bucket or, if its key is empty,
    with the bucket.
    """

    method: str
    target: bytes
    headers: Mapping[str, str]
    pieces: Callable[[], AsyncIterator[bytes]]
    size: int | None
    may: Callable[[Caller, str, str, str], bool]


@dataclass(slots=True)
class Answer:
    """What is answered."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The secret of an access key, and whose it is."""

    secret: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks. access_key: empty for anybody."""

    access_key: str = ""
    account: str = ""

    @property
    def is_anonymous(self) -> bool:
        """Whether it is not known who calls."""
        return not self.access_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. named: what the path names, decoded. query: decoded, the first of each name.

    check: raises where the caller may not do an action with the object of a key. vended: returns
    what a client needs to read and write the files below a location.
    """

    tables: Tables
    bucket: Bucket
    caller: Caller
    named: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    check: Callable[[str, str], None]
    vended: Callable[[str], dict[str, str]]

    @property
    def namespace(self) -> Levels:
        """The namespace of the path."""
        return split(self.named["namespace"])

    def identifier(self, what: str) -> Identifier:
        """Return the table or view of the path."""
        return Identifier(self.namespace, self.named[what])

    def said(self, shape: type[_T]) -> _T:
        """Return the body as a shape. Raises Invalid(bad_json)."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            text = str(error)[:_SAID_CHARACTERS_MAX]
            raise Invalid("bad_json", f"The body is not what it should be: {text}.") from None

    def page(self, all_of_them: int) -> tuple[str, int]:
        """Return the name that a listing begins after, and how many it has at most. Raises Invalid.

        all_of_them: that many if the client knows no pages.
        """
        token, size = self.query.get("pageToken", ""), self.query.get("pageSize", "")
        if not token and not size:
            return "", PAGE_MAX if "pageToken" in self.query else all_of_them
        count = int(size) if size.isdecimal() and len(size) < 10 else PAGE_MAX
        try:
            after = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise Invalid("bad_page", "That is no page token of a listing.") from None
        return after, max(1, min(count, PAGE_MAX))

    def key(self, url: str) -> str:
        """Return the key of a URL, which is one of the warehouse. Raises Invalid(bad_location)."""
        return key_of(url, self.bucket.name)

    def url(self, key: str) -> str:
        """Return the URL of a key of the warehouse."""
        return url_of(self.bucket.name, key)


def page_token(last: str) -> str:
    """Return the token of the page after a name."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def answer(document: object, status: int = 200) -> Answer:
    """Return an answer with a document."""
    return Answer(status, msgspec.json.encode(document), [("Content-Type", "application/json")])


def nothing() -> Answer:
    """Return an answer without a body."""
    return Answer(204)
