"""What becomes of a request: who sent it, what it asks for, whether they may; the answer or error."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus, unquote_to_bytes

from skerry.base import Denied, Invalid, NotFound, SkerryError
from skerry.objects import Objects, buckets
from skerry.s3 import metrics, query_calls, signature_v2
from skerry.s3.access import authorize, may_list
from skerry.s3.call import Call, expect_owner, header_of, http_date, is_header
from skerry.s3.connection import Request, Response
from skerry.s3.cors_calls import preflight, shared
from skerry.s3.errors import error_body, error_headers, told
from skerry.s3.identity import Identity
from skerry.s3.keyring import Keyring
from skerry.s3.metrics import Metrics
from skerry.s3.router import On, Router
from skerry.s3.signature import Asked, Claim, check, claim_of
from skerry.s3.website import site_of
from skerry.s3.website_calls import visit

_QUERY_MAX = 64
CATALOG_PATH = b"/iceberg/"
_ANYBODY = Identity()
_PROBES = {
    f"/{place}/{name}"
    for place in ("health", "minio/health")
    for name in ("live", "ready", "cluster")
}


@dataclass(slots=True, kw_only=True)
class Service:
    """All that answers requests. domain: what comes after a bucket in a host name, or empty.

    catalog: answers what is below /iceberg/, which is no bucket, and knows who asks by itself.
    """

    objects: Objects
    router: Router
    keyring: Keyring
    region: str
    domain: str
    now_s: Callable[[], int]
    metrics: Metrics
    catalog: Callable[[Request, str], Awaitable[Response]] | None = None

    async def serve(self, request: Request) -> Response:
        """Return the answer to a request, an error too."""
        request_id = self.objects.entropy(8).hex().upper()
        began_ns = self.objects.clock.monotonic_ns()
        try:
            if self.catalog is not None and self._is_for_catalog(request):
                response = await self.catalog(request, request_id)
            else:
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
        return await self._called(request, request_id, path, pairs)

    async def _called(
        self, request: Request, request_id: str, path: str, pairs: Sequence[tuple[str, str]]
    ) -> Response:
        """Return the answer to a call of the API."""
        asked = Asked(method=request.method, path=path, query=pairs, headers=request.headers)
        is_old = signature_v2.speaks(asked)
        claim = signature_v2.claim_of(asked) if is_old else claim_of(asked)
        if claim is not None and claim.service != "s3":
            unproven = Call(
                objects=self.objects, request=request, bucket="", key="", query={},
                identity=_ANYBODY, claim=claim, secret="", region=self.region,
                request_id=request_id, keyring=self.keyring,
            )  # fmt: skip
            return await query_calls.answer(unproven, asked, claim, self.now_s())
        host_bucket, bucket, name = self._place(path, request.headers.get("host", ""))
        identity, secret = self._proven(claim, asked, request.target, host_bucket)
        if claim is not None and claim.expires_s is not None:
            _take_headers(request.headers, pairs)
        query: dict[str, str] = {}
        for each, value in pairs:
            query.setdefault(each, value)
        if query.get("versionId") == "":  # whoever lost the id of a version means no other
            raise Invalid("bad_argument", "versionId is the id of a version, or is left out.")
        on: On = "object" if name else "bucket" if bucket else "service"
        operation = self.router.find(request.method, on, query, request.headers)
        request.operation = operation.name
        call = Call(
            objects=self.objects, request=request, bucket=bucket, key=name, query=query,
            identity=identity, claim=claim, secret=secret, region=self.region,
            request_id=request_id, keyring=self.keyring,
        )  # fmt: skip
        if not operation.checks_itself:
            authorize(call, operation.allowed_by)
        expect_owner(call, bucket, "x-amz-expected-bucket-owner")
        assert operation.handler is not None, "the router finds none without"
        try:
            return await operation.handler(call)
        except NotFound as error:
            if error.code == "no_such_key" and not may_list(call):
                # As AWS has it: who may not list is not told what there is.
                raise Denied("access_denied", "This access key may not s3:ListBucket.") from None
            raise

    def _visit(self, request: Request, bucket: str, key: str, request_id: str) -> Call:
        """Return the call of a visitor of a website, who is nobody whatever they send."""
        return Call(
            objects=self.objects, request=request, bucket=bucket, key=key, query={},
            identity=_ANYBODY, claim=None, secret="", region=self.region,
            request_id=request_id, keyring=self.keyring,
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
        return site_of(host, self.domain) or self._place(path, host)[1]

    def _is_for_catalog(self, request: Request) -> bool:
        name = request.headers.get("host", "").lower().partition(":")[0]
        has_bucket = bool(self.domain) and name.endswith(f".{self.domain}")
        return request.target.startswith(CATALOG_PATH) and not has_bucket

    def _is_probe(self, path: str, request: Request) -> bool:
        """Tell whether nothing but a probe can be meant: there is no such bucket."""
        _, bucket, _ = self._place(path, request.headers.get("host", ""))
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

    def _proven(
        self, claim: Claim | None, asked: Asked, target: bytes, host_bucket: str
    ) -> tuple[Identity, str]:
        if claim is None:
            return _ANYBODY, ""
        identity, secret = self.keyring.find(claim.access_key, claim.session_token)
        if claim.algorithm == signature_v2.ALGORITHM:
            signature_v2.check(claim, asked, target, host_bucket, secret, self.now_s())
        else:
            check(claim, asked, secret, self.now_s())
        return identity, secret

    def _place(self, path: str, host: str) -> tuple[str, str, str]:
        """Return the bucket in the host name, the bucket, and the key."""
        name = host.lower().partition(":")[0]
        if self.domain and name.endswith(f".{self.domain}"):
            bucket = name[: -len(self.domain) - 1]
            return bucket, bucket, path[1:]
        bucket, _, key = path[1:].partition("/")
        return "", bucket, key


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


def _take_headers(headers: dict[str, str], pairs: Sequence[tuple[str, str]]) -> None:
    """Have the headers that a presigned URL holds beside its signature: they are signed with it.

    Raises Invalid(bad_argument).
    """
    for name, value in pairs:
        if name.startswith("x-amz-") and name not in headers:
            if not is_header(name, value):
                raise Invalid("bad_argument", f"{name[:80]!r} can not be a header.")
            headers[name] = header_of(value)


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
