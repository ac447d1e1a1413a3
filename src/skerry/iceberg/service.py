"""What becomes of a request to the catalogue: who sent it, whether they may; the answer or error."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from skerry.base import Denied, Invalid, LimitReached, NotFound, SkerryError, TooLarge, Unauthorized
from skerry.iceberg import namespace_calls, table_calls, tokens, view_calls
from skerry.iceberg.call import Answer, Asked, Call, Caller, Key, answer
from skerry.iceberg.errors import INTERNAL, error_body, told
from skerry.iceberg.router import LISTS, WRITES, Operation, Router, steps_of
from skerry.objects import buckets
from skerry.objects.model import Bucket
from skerry.tables import Identifier, Tables, check_installed, operations
from skerry.tables.model import place_of, split

PATH = b"/iceberg/"
"""What the path of every request to the catalogue begins with."""

_BODY_BYTES_MAX = 8 << 20
_BODIES_BYTES_MAX = 64 << 20  # of all requests that are read or answered at once
_TURNS, _TURN_S = 8, 30.0
_LOOKED_AT_MAX = 100  # buckets, for the one that a client means who names none
_FORM_BYTES_MAX = 16 << 10
_QUERY_MAX = 16
_ABSENT = "None"  # what pyiceberg sends where it was given none
_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}")

OPERATIONS = (
    *namespace_calls.OPERATIONS,
    *table_calls.OPERATIONS,
    *view_calls.OPERATIONS,
)


@dataclass(slots=True, kw_only=True)
class Catalog:
    """All that answers requests.

    vend: returns a key to the objects of a bucket below a prefix, for a caller who may read them
    and, if so, write them; in the words of the protocol, such as s3.access-key-id.
    """

    tables: Tables
    find_key: Callable[[str], Key | None]
    vend: Callable[[Caller, str, str, bool], Mapping[str, str]]
    region: str
    now_s: Callable[[], int]
    router: Router = field(default_factory=lambda: Router(OPERATIONS))
    _held_bytes: int = 0
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_TURNS))

    async def serve(self, asked: Asked) -> Answer:
        """Return the answer to a request, an error too."""
        try:
            return await self._answer(asked)
        except SkerryError as error:
            kind, status = told(error)
            found = Answer(status, error_body(kind, error.message, status))
        except Exception as error:  # noqa: BLE001 - the last resort: nobody else is harmed
            traceback.print_exception(error, file=sys.stderr)
            kind, status = INTERNAL
            found = Answer(status, error_body(kind, "Skerry made a mistake here.", status))
        found.headers.append(("Content-Type", "application/json"))
        if status == 401:
            found.headers.append(("WWW-Authenticate", 'Bearer realm="skerry"'))
        if status in (429, 503):
            found.headers.append(("Retry-After", "1"))
        return found

    async def _answer(self, asked: Asked) -> Answer:
        check_installed()
        path, _, text = asked.target.partition(b"?")
        steps = steps_of(path[len(PATH) :])
        query = _query(text)
        if steps == ["v1", "oauth", "tokens"] and asked.method == "POST":
            body = await self._body(asked, _FORM_BYTES_MAX)
            return tokens.granted(body, asked.headers, self.find_key, self.now_s())
        caller = self._caller(asked.headers)
        if steps == ["v1", "config"] and asked.method == "GET":
            return self._config(asked, caller, query.get("warehouse", ""))
        operation, named = self.router.find(asked.method, steps)
        bucket = named["prefix"]
        _check(asked, caller, LISTS, bucket)
        found = buckets.find(self.tables.objects, bucket)
        self._check_named(asked, caller, operation, found, named)
        size = _BODY_BYTES_MAX if asked.size is None else min(asked.size, _BODY_BYTES_MAX)
        if self._held_bytes + size > _BODIES_BYTES_MAX:
            raise LimitReached("slow_down", "There are too many requests. Try again.")
        self._held_bytes += size
        try:
            body = await self._body(asked, _BODY_BYTES_MAX)
            self._check_named(asked, caller, operation, found, named)  # which may be others by now
            call = Call(
                tables=self.tables, bucket=found, caller=caller, named=named, query=query,
                body=body,
                check=lambda action, key: _check(asked, caller, action, bucket, key),
                vended=functools.partial(self._vended, asked, caller, bucket),
            )  # fmt: skip
            async with self._turn():
                return await operation.handler(call)
        finally:
            self._held_bytes -= size

    def _caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who asks. Raises Unauthorized(bad_token), Denied(from_a_page)."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        has_token = token.strip() not in ("", _ABSENT)
        if scheme.lower() == "bearer" and has_token:
            return tokens.caller_of(token.strip(), self.find_key, self.now_s())
        if scheme and has_token:
            raise Unauthorized("bad_token", "Send a bearer token. Get one at /v1/oauth/tokens.")
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            # No page of somebody else's may drive an open catalogue through its visitor's browser,
            # not even one whose host name leads here.
            raise Denied("from_a_page", "A request of a web page needs a token.")
        return Caller()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """Let few work at once, each of whom may hold metadata of many MiB."""
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise LimitReached("slow_down", "There are too many requests. Try again.") from None
        try:
            yield
        finally:
            self._turns.release()

    def _check_named(
        self, asked: Asked, caller: Caller, operation: Operation, bucket: Bucket,
        named: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Raise where somebody may not make a call about what its path names."""
        if operation.allowed_by != LISTS:
            key = self._key_of(bucket, named)
            _check(asked, caller, operation.allowed_by, bucket.name, key)

    def _key_of(self, bucket: Bucket, named: Mapping[str, str]) -> str:
        """Return a key that stands for what a path names: its files, or what is in its namespace."""
        levels = split(named["namespace"])
        name = named.get("table", named.get("view"))
        if name is not None:
            location = operations.location_of(self.tables, bucket, Identifier(levels, name))
            if location is not None:
                return table_calls.files_of(location)
        return f"{place_of(levels)}/"

    def _config(self, asked: Asked, caller: Caller, warehouse: str) -> Answer:
        name = warehouse.removeprefix("s3://").rstrip("/") or self._only_warehouse(asked, caller)
        _check(asked, caller, LISTS, name)
        buckets.find(self.tables.objects, name)
        overrides = {"prefix": name}
        return answer(
            {"defaults": {}, "overrides": overrides, "endpoints": self.router.endpoints()}
        )

    def _only_warehouse(self, asked: Asked, caller: Caller) -> str:
        """Return the one bucket that somebody may read. Raises Invalid, NotFound, Unauthorized."""
        there = buckets.page(self.tables.objects, "", "", _LOOKED_AT_MAX + 1)
        found = [each.name for each in there if asked.may(caller, LISTS, each.name, "")]
        if len(found) > 1 or len(there) > _LOOKED_AT_MAX:
            raise Invalid("no_warehouse", "Say which warehouse: the name of a bucket.")
        if not found and caller.is_anonymous:
            raise Unauthorized("no_token", "No warehouse is open to everybody. Send a token.")
        if not found:
            raise NotFound("no_such_bucket", "There is no bucket yet. Make one.")
        return found[0]

    def _vended(self, asked: Asked, caller: Caller, bucket: str, location: str) -> dict[str, str]:
        """Return what a client needs to reach the files below a location."""
        config = {
            "s3.region": self.region, "client.region": self.region, "s3.path-style-access": "true",
        }  # fmt: skip
        host, headers = asked.headers.get("host", ""), asked.headers
        if _HOST.fullmatch(host):
            scheme = "https" if headers.get("x-forwarded-proto") == "https" else "http"
            config["s3.endpoint"] = f"{scheme}://{host}"
        is_writer = asked.may(caller, WRITES, bucket, table_calls.files_of(location))
        return {**config, **self.vend(caller, bucket, location, is_writer)}

    async def _body(self, asked: Asked, bytes_max: int) -> bytes:
        """Return the body. Raises TooLarge, Invalid(bad_content_type)."""
        if asked.size is not None and asked.size > bytes_max:
            raise _body_too_large(bytes_max)
        pieces: list[bytes] = []
        size = 0
        if asked.size != 0:
            async for piece in asked.pieces():
                size += len(piece)
                if size > bytes_max:
                    raise _body_too_large(bytes_max)
                pieces.append(piece)
        wanted = "application/json" if bytes_max == _BODY_BYTES_MAX else "application/x-www-form"
        if size and not asked.headers.get("content-type", "").lower().startswith(wanted):
            raise Invalid("bad_content_type", f"Send the body as {wanted}.")
        return b"".join(pieces)


def _check(asked: Asked, caller: Caller, action: str, bucket: str, key: str = "") -> None:
    """Raise where somebody may not do something with a warehouse, which may not be there."""
    if asked.may(caller, action, bucket, key):
        return
    if caller.is_anonymous:
        raise Unauthorized(
            "no_token",
            "Not everybody may do that with this warehouse. Send a token, or make it public.",
        )
    raise Denied("access_denied", f"This access key may not {action} there.")


def _query(text: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=_QUERY_MAX)
    except ValueError:
        raise Invalid("bad_query", "There are too many parameters, or not in UTF-8.") from None
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name, value)
    return query


def _body_too_large(bytes_max: int) -> TooLarge:
    return TooLarge("body_too_large", f"A body has at most {bytes_max} bytes.")
