"""What becomes of a request: who sent it, what it asks for, whether they may; the answer or error."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, unquote_to_bytes

from skerry.base import Denied, Invalid, SkerryError
from skerry.objects import Objects, buckets
from skerry.s3 import metrics
from skerry.s3.call import Call, Identity, http_date
from skerry.s3.connection import Request, Response
from skerry.s3.cors_calls import preflight, shared
from skerry.s3.errors import error_body, error_headers, told
from skerry.s3.metrics import Metrics
from skerry.s3.router import On, Router
from skerry.s3.signature import Asked, Claim, check, claim_of
from skerry.s3.website import site_of
from skerry.s3.website_calls import visit

_QUERY_MAX = 64
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
    """All that answers requests. domain: what comes after a bucket in a host name, or empty."""

    objects: Objects
    router: Router
    keys: Mapping[str, Key]
    region: str
    domain: str
    now_s: Callable[[], int]
    may: Callable[[Identity, str, str], bool]
    metrics: Metrics

    async def serve(self, request: Request) -> Response:
        """Return the answer to a request, an error too."""
        request_id = self.objects.entropy(8).hex().upper()
        began_ns = self.objects.clock.monotonic_ns()
        try:
            response = await self._answer(request, request_id)
        except SkerryError as error:
            response = _refused(request, error, request_id)
        except Exception as error:  # noqa: BLE001 - the last resort: nobody else is harmed
            traceback.print_exception(error, file=sys.stderr)
            body = error_body("InternalError", "Skerry made a mistake here.", "", request_id)
            response = Response(500, [("Content-Type", "application/xml")], body)
        response.headers += [("x-amz-request-id", request_id), ("Server", "Skerry"),
                             ("Date", _date(self.now_s()))]  # fmt: skip
        if "origin" in request.headers and request.method != "OPTIONS":
            response.headers += self._shared(request)
        took_s = (self.objects.clock.monotonic_ns() - began_ns) / 1e9
        self.metrics.answered(request, response, took_s)
        return response

    async def _answer(self, request: Request, request_id: str) -> Response:
        path, pairs = target_of(request.target)
        site = site_of(request.headers.get("host", ""), self.domain)
        if request.method == "OPTIONS":
            request.operation = "Preflight"
            return preflight(self.objects, self._bucket(path, request), request.headers)
        if site:
            request.operation = "Website"
            return await visit(self._visit(request, site, path[1:], request_id))
        if path in _PROBES and self._is_probe(path, request):
            return self._health(path)
        if path in metrics.PATHS and self._is_probe(path, request):
            return self._metrics(request)
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
        request.operation = operation.name
        if not self.may(identity, operation.allowed_by, bucket):
            raise Denied("access_denied", f"This access key may not {operation.allowed_by}.")
        _check_owner(self.objects, bucket, request.headers.get("x-amz-expected-bucket-owner"))
        call = Call(
            objects=self.objects, request=request, bucket=bucket, key=name, query=query,
            identity=identity, claim=claim, secret=key.secret if key else "", region=self.region,
            request_id=request_id, may=self.may,
        )  # fmt: skip
        assert operation.handler is not None, "the router finds none without"
        return await operation.handler(call)

    def _visit(self, request: Request, bucket: str, key: str, request_id: str) -> Call:
        """Return the call of a visitor of a website, who is nobody whatever they send."""
        return Call(
            objects=self.objects, request=request, bucket=bucket, key=key, query={},
            identity=Identity(), claim=None, secret="", region=self.region,
            request_id=request_id, may=self.may,
        )  # fmt: skip

    def _shared(self, request: Request) -> list[tuple[str, str]]:
        """Return what tells a browser whether a page of another origin gets the answer."""
        try:
            path, _ = target_of(request.target)
        except SkerryError:
            return []
        bucket = self._bucket(path, request)
        return shared(self.objects, bucket, request.method, request.headers)

    def _bucket(self, path: str, request: Request) -> str:
        host = request.headers.get("host", "")
        return site_of(host, self.domain) or self._place(path, host)[0]

    def _is_probe(self, path: str, request: Request) -> bool:
        """Tell whether nothing but a probe can be meant: there is no such bucket."""
        bucket, _ = self._place(path, request.headers.get("host", ""))
        is_in_path = f"{path[1:]}/".startswith(f"{bucket}/")
        is_free = is_in_path and not buckets.is_there(self.objects, bucket)
        return is_free and request.method in ("GET", "HEAD")

    def _health(self, path: str) -> Response:
        is_well = path.endswith("/live") or not self.objects.writer.is_broken
        return Response(200 if is_well else 503)

    def _metrics(self, request: Request) -> Response:
        if not self.metrics.may_see(request):
            raise Denied("access_denied", "Metrics are for this machine, or for who has the token.")
        return self.metrics.told()

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


@functools.lru_cache(maxsize=2)
def _date(now_s: int) -> str:
    """Return the moment of an answer, by which clients find out that their own clock is wrong."""
    return http_date(now_s * 10**9)


def _check_owner(objects: Objects, bucket: str, expected: str | None) -> None:
    """Raise Denied(access_denied) where a bucket is not of whom the request expects."""
    if expected is None or not bucket or not buckets.is_there(objects, bucket):
        return
    if buckets.find(objects, bucket).owner != expected:
        raise Denied("access_denied", "The bucket has another owner than you expect.")


def _take_headers(headers: dict[str, str], pairs: Sequence[tuple[str, str]]) -> None:
    """Have the headers that a presigned URL holds beside its signature: they are signed with it."""
    for name, value in pairs:
        if name.startswith("x-amz-") and name not in headers:
            headers[name] = value


def _refused(request: Request, error: SkerryError, request_id: str) -> Response:
    answer = told(error)
    resource = request.target.partition(b"?")[0].decode("latin-1")
    body = error_body(answer.code, error.message, resource, request_id)
    headers = [("Content-Type", "application/xml"), *error_headers(error)]
    if answer.status == 503:
        headers.append(("Retry-After", "1"))
    if request.method == "HEAD" or answer.status == 304:
        return Response(answer.status, headers, b"", 0)
    return Response(answer.status, headers, body)
