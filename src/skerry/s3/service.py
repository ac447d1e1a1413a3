"""What becomes of a request: who sent it, what it asks for, whether they may; the answer or error."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, unquote_to_bytes

from skerry.base import Denied, Invalid, SkerryError
from skerry.objects import Objects, buckets
from skerry.s3.call import Call, Identity
from skerry.s3.connection import Request, Response
from skerry.s3.errors import error_body, told
from skerry.s3.router import On, Router
from skerry.s3.signature import Asked, Claim, check, claim_of

_QUERY_MAX = 64
CATALOG_PATH = b"/iceberg/"
_PROBES = {
    f"/{place}/{name}"
    for place in ("health", "minio/health")
    for name in ("live", "ready", "cluster")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An access key and its secret."""

    access_key: str
    secret: str
    account: str


@dataclass(slots=True, kw_only=True)
class Service:
    """All that answers requests. domain: what comes after a bucket in a host name, or empty.

    catalog: answers what is below /iceberg/, which is no bucket, and knows who asks by itself.
    """

    objects: Objects
    router: Router
    keys: Mapping[str, Key]
    region: str
    domain: str
    now_s: Callable[[], int]
    may: Callable[[Identity, str, str], bool]
    catalog: Callable[[Request], Awaitable[Response]] | None = None

    async def serve(self, request: Request) -> Response:
        """Return the answer to a request, an error too."""
        request_id = self.objects.entropy(8).hex().upper()
        try:
            if self.catalog is not None and self._is_for_catalog(request):
                response = await self.catalog(request)
            else:
                response = await self._answer(request, request_id)
        except SkerryError as error:
            response = _refused(request, error, request_id)
        except Exception as error:  # noqa: BLE001 - the last resort: nobody else is harmed
            traceback.print_exception(error, file=sys.stderr)
            body = error_body("InternalError", "Skerry made a mistake here.", "", request_id)
            response = Response(500, [("Content-Type", "application/xml")], body)
        response.headers += [("x-amz-request-id", request_id), ("Server", "Skerry")]
        return response

    async def _answer(self, request: Request, request_id: str) -> Response:
        path, pairs = target_of(request.target)
        if path in _PROBES and self._is_probe(path, request):
            return self._health(path)
        asked = Asked(method=request.method, path=path, query=pairs, headers=request.headers)
        claim = claim_of(asked)
        key = self._proven(claim, asked)
        identity = Identity(access_key=key.access_key, account=key.account) if key else Identity()
        if claim is not None and claim.expires_s is not None:
            _take_headers(request.headers, pairs)
        bucket, name = self._place(path, request.headers.get("host", ""))
        query: dict[str, str] = {}
        for each, value in pairs:
            query.setdefault(each, value)
        on: On = "object" if name else "bucket" if bucket else "service"
        operation = self.router.find(request.method, on, query, request.headers)
        if not self.may(identity, operation.allowed_by, bucket):
            raise Denied("access_denied", f"This access key may not {operation.allowed_by}.")
        call = Call(
            objects=self.objects, request=request, bucket=bucket, key=name, query=query,
            identity=identity, claim=claim, secret=key.secret if key else "", region=self.region,
            request_id=request_id, may=self.may,
        )  # fmt: skip
        assert operation.handler is not None, "the router finds none without"
        return await operation.handler(call)

    def _is_for_catalog(self, request: Request) -> bool:
        name = request.headers.get("host", "").lower().partition(":")[0]
        has_bucket = bool(self.domain) and name.endswith(f".{self.domain}")
        return request.target.startswith(CATALOG_PATH) and not has_bucket

    def _is_probe(self, path: str, request: Request) -> bool:
        """Tell whether nothing but a probe can be meant: there is no such bucket."""
        bucket, _ = self._place(path, request.headers.get("host", ""))
        is_in_path = path[1:].startswith(f"{bucket}/")
        is_free = is_in_path and not buckets.is_there(self.objects, bucket)
        return is_free and request.method in ("GET", "HEAD")

    def _health(self, path: str) -> Response:
        is_well = path.endswith("/live") or not self.objects.writer.is_broken
        return Response(200 if is_well else 503)

    def _proven(self, claim: Claim | None, asked: Asked) -> Key | None:
        if claim is None:
            return None
        key = self.keys.get(claim.access_key)
        if key is None:
            raise Denied("no_such_access_key", "There is no such access key here.")
        check(claim, asked, key.secret, self.now_s())
        return key

    def _place(self, path: str, host: str) -> tuple[str, str]:
        """Return bucket and key, by the path, or by the host name where that has the bucket."""
        name = host.lower().partition(":")[0]
        if self.domain and name.endswith(f".{self.domain}"):
            return name[: -len(self.domain) - 1], path[1:]
        bucket, _, key = path[1:].partition("/")
        return bucket, key


def target_of(target: bytes) -> tuple[str, Sequence[tuple[str, str]]]:
    """Return path and query of a request's target, decoded. Raises Invalid(bad_key, bad_query)."""
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/"):
        raise Invalid("bad_target", "The target of a request is a path.")
    try:
        text = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise Invalid("bad_key", "A key is text in UTF-8.") from None
    parts = query.decode("latin-1").split("&") if query else []
    if len(parts) > _QUERY_MAX:
        raise Invalid("bad_query", "There are too many parameters.")
    pairs: list[tuple[str, str]] = []
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            pairs.append((unquote_plus(name), unquote_plus(value)))
    return text, pairs


def _take_headers(headers: dict[str, str], pairs: Sequence[tuple[str, str]]) -> None:
    """Have the headers that a presigned URL holds beside its signature: they are signed with it."""
    for name, value in pairs:
        if name.startswith("x-amz-") and name not in headers:
            headers[name] = value


def _refused(request: Request, error: SkerryError, request_id: str) -> Response:
    answer = told(error)
    resource = request.target.partition(b"?")[0].decode("latin-1")
    body = error_body(answer.code, error.message, resource, request_id)
    headers = [("Content-Type", "application/xml")]
    if answer.status == 503:
        headers.append(("Retry-After", "1"))
    if request.method == "HEAD" or answer.status == 304:
        return Response(answer.status, headers, b"", 0)
    return Response(answer.status, headers, body)
