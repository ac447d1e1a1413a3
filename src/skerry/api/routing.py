"""One table of operations, from which come the routes and the OpenAPI document.

Knows no operation itself: the tables are in the files named by their nouns.
"""

import asyncio
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, cast, get_args, get_origin

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message
from starlette.websockets import WebSocket

from skerry.accounts import Accounts, Scope, Token
from skerry.api.limits import Limits
from skerry.base import Invalid, NotAvailable, TooLarge
from skerry.boxes import Boxes
from skerry.metering import Meter
from skerry.services import Services as ServicesContext

_S = TypeVar("_S", bound=msgspec.Struct)
_JSON = msgspec.json.Encoder()
_BODY_WAIT_S = 60  # in which not a byte of a body comes

Query: TypeAlias = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may use."""

    boxes: Boxes
    accounts: Accounts
    meter: Meter
    services: ServicesContext
    limits: Limits
    instance: str
    doctor: Callable[[], Sequence[Mapping[str, str]]]


class Call:
    """One request: who it is from is settled, what it asks for is read on demand.

    token: what was sent, or stands behind it; the administrator's own where none was.
    """

    def __init__(self, request: Request, services: Services, token: Token) -> None:
        self.token = token
        self.request = request
        self.services = services

    @property
    def account(self) -> str:
        """Who pays for what is made."""
        return self.token.name

    @property
    def confined_to(self) -> str | None:
        """The account whose boxes are all that there are for whoever asks, None for all boxes."""
        return self.token.confined_to

    @property
    def boxes(self) -> Boxes:
        """The domain's context."""
        return self.services.boxes

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.path_params[name]

    def query(self, shape: type[_S]) -> _S:
        """Return the query as shape. Raises Invalid(bad_query)."""
        return read_query(self.request.scope["query_string"], shape)

    async def body(self, shape: type[_S]) -> _S:
        """Return the JSON body as shape; an empty body is `{}`.

        A field that is not known is an error, so that none is misspelt in silence; but not in the
        Sprites protocol, whose clients may be newer than this. Raises Invalid(bad_body),
        TooLarge(body_too_large).
        """
        data = bytearray()
        async for chunk in self.stream(self.services.limits.json_bytes_max):
            data += chunk
        try:
            body = msgspec.json.decode(data or b"{}", type=shape)
            said = msgspec.json.decode(data or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid("bad_body", f"The body is not what this call takes: {error}.") from None
        if not self._is_sprites() and (name := _unknown(said, body)):
            raise Invalid("bad_body", f"The body has a field {name[:80]!r}, which is none of ours.")
        return body

    def _is_sprites(self) -> bool:
        return f"{self.request.url.path}/".startswith("/v1/sprites/")

    async def stream(self, size_max: int, *, patient: bool = False) -> AsyncIterator[bytes]:
        """Yield the body in pieces, as it comes; patient: however long that takes.

        Raises TooLarge(body_too_large), NotAvailable(body_too_slow).
        """
        announced = self.request.headers.get("content-length", "0")
        total = int(announced) if announced.isdigit() else 0
        if total > size_max:
            raise _too_large(size_max)
        total, more = 0, True
        while more:
            message = await self._received(None if patient else _BODY_WAIT_S)
            more = message.get("more_body", False)
            chunk = message.get("body", b"")
            total += len(chunk)
            if total > size_max:
                raise _too_large(size_max)
            if chunk:
                yield chunk

    async def _received(self, wait_s: float | None) -> Message:
        try:
            async with asyncio.timeout(wait_s):
                message = await self.request.receive()
        except TimeoutError:
            raise NotAvailable(
                "body_too_slow", "The request's body took too long. Send it again."
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message


def _unknown(said: object, body: object) -> str | None:
    """Return the name of a field of said, decoded JSON, that the shapes of body do not have."""
    if not isinstance(body, msgspec.Struct) or not isinstance(said, dict):
        return None
    known = {each.encode_name: each.name for each in msgspec.structs.fields(body)}
    for name, value in cast("dict[str, object]", said).items():
        if name not in known:
            return name
        if below := _unknown(value, getattr(body, known[name])):
            return f"{name}.{below}"
    return None


def _too_large(size_max: int) -> TooLarge:
    return TooLarge(
        "body_too_large", f"The body is larger than {size_max} bytes. Send less.",
        {"limit": size_max},
    )  # fmt: skip


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]
SocketHandler: TypeAlias = Callable[[WebSocket, Services], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call of the API.

    path: below `/v1`; one that begins with `/boxes` answers under `/sprites` too. scope: what a
    token needs, None for anybody. query, body, answer: msgspec shapes (answer may be a list of
    one). content: the type of an answer that is no JSON; also: another in which it can be had.
    errors: statuses beside those that every call may have. heeds_account: whether a token that is
    confined to its own boxes may make it although no box is in its path, because it heeds
    `Call.confined_to`. documented: whether the OpenAPI document tells of it. local: whether only the
    machine's own socket has it.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    name: str
    summary: str
    handler: Handler
    scope: Scope | None
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    body_content: str = "application/json"
    answer: Any = None
    status: int = 200
    content: str = "application/json"
    also: str | None = None
    errors: Sequence[int] = field(default=())
    documented: bool = True
    local: bool = False
    heeds_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """One WebSocket of the API."""

    path: str
    handler: SocketHandler
    scope: Scope


def answer(value: object, status: int = 200) -> Response:
    """Return value, a wire shape or list of them, as a JSON response."""
    return Response(_JSON.encode(value), status, media_type="application/json")


def read_query(raw: bytes, shape: type[_S]) -> _S:
    """Return the query string as shape, whose list fields take repeated keys.

    Unknown keys are ignored, as the Sprites SDKs expect. Bytes that are no UTF-8 become surrogates,
    as file names have them. Raises Invalid(bad_query).
    """
    pairs: dict[str, list[str]] = {}
    for key, value in query_pairs(raw):
        pairs.setdefault(key.decode("utf-8", "replace"), []).append(
            value.decode("utf-8", "surrogateescape")
        )
    values: dict[str, object] = {}
    for info in msgspec.structs.fields(shape):
        said = pairs.get(info.encode_name)
        if said:
            kind = get_args(info.type)[0] if get_origin(info.type) is Annotated else info.type
            is_list = get_origin(kind) is list
            if len(said) > 1 and not is_list:
                raise Invalid("bad_query", f"{info.encode_name!r} is given more than once.")
            values[info.encode_name] = said if is_list else said[0]
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid("bad_query", f"The query is not what this call takes: {error}.") from None


def query_pairs(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return the decoded keys and values of a query string; values may hold any byte."""
    pairs: list[tuple[bytes, bytes]] = []
    for part in raw.split(b"&"):
        if part:
            key, _, value = part.replace(b"+", b" ").partition(b"=")
            pairs.append((urllib.parse.unquote_to_bytes(key), urllib.parse.unquote_to_bytes(value)))
    return pairs
