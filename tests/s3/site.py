"""A server of S3 on a simulated disk, spoken to by bytes."""

import asyncio
import hashlib
import hmac
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from skerry.objects import Objects, buckets
from skerry.objects.scrubbing import Scrubbed
from skerry.s3.access import may
from skerry.s3.metrics import Metrics
from skerry.s3.server import router, serve
from skerry.s3.service import Key, Service, target_of
from skerry.s3.signature import Asked, canonical_request, signing_key
from tests.objects.place import Ground

ACCESS, SECRET = "tester", "secret-of-tester"
MOMENT = "20130524T000000Z"
SCOPE = f"{MOMENT[:8]}/us-east-1/s3/aws4_request"
NOW_S = 1369353600


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the error that it tells."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


@dataclass
class Site:
    objects: Objects
    port: int

    async def raw(self, data: bytes, *, ends: bool = True) -> bytes:
        """Send bytes and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if ends:
            writer.write_eof()
        try:
            return await reader.read()
        finally:
            writer.close()

    async def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """Make a signed call. Header names have `_` for `-`."""
        return parsed(await self.raw(request(method, target, body, headers)))


def request(
    method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    """Return a signed request."""
    path, pairs = target_of(target.encode())
    payload = hashlib.sha256(body).hexdigest()
    fields = {"host": "x", "x-amz-content-sha256": payload, "x-amz-date": MOMENT}
    fields |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    names = sorted(fields)
    asked = Asked(method=method, path=path, query=pairs, headers=fields)
    canonical = canonical_request(asked, names, fields["x-amz-content-sha256"])
    signature = _signature(canonical)
    fields["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/{SCOPE}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    fields.setdefault("content-length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + body


def presigned(method: str, path: str, **query: str) -> str:
    """Return the target of a presigned URL that holds more parameters. Names have `_` for `-`."""
    pairs = [(name.replace("_", "-"), value) for name, value in query.items()]
    pairs += [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{ACCESS}/{SCOPE}"),
        ("X-Amz-Date", MOMENT), ("X-Amz-Expires", "60"), ("X-Amz-SignedHeaders", "host"),
    ]  # fmt: skip
    asked = Asked(method=method, path=path, query=pairs, headers={"host": "x"})
    canonical = canonical_request(asked, ["host"], "UNSIGNED-PAYLOAD", is_presigned=True)
    return f"{path}?{urlencode([*pairs, ('X-Amz-Signature', _signature(canonical))])}"


def _signature(canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{MOMENT}\n{SCOPE}\n{digest}"
    key = signing_key(SECRET, MOMENT[:8], "us-east-1", "s3")
    return hmac.digest(key, text.encode(), "sha256").hex()


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Answer(int(first.split()[1]) if first else 0, headers, body)


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Site]:
    async with Ground(folder).open() as objects:
        await buckets.make(objects, "bkt", "root")
        service = Service(
            objects=objects, router=router(),
            keys={ACCESS: Key(access_key=ACCESS, secret=SECRET, account="root")},
            region="us-east-1", domain="s3.test", now_s=lambda: NOW_S,
            may=lambda identity, action, bucket: may(objects, identity, action, bucket),
            metrics=Metrics(objects, Scrubbed(), "token-of-metrics"),
        )  # fmt: skip
        listener = socket.create_server(("127.0.0.1", 0))
        port, stop, up = listener.getsockname()[1], asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(serve(service.serve, listener, up.set, stop))
        await up.wait()
        try:
            yield Site(objects, port)
        finally:
            stop.set()
            await task


def tell(folder: Path, story: Callable[[Site], Awaitable[None]]) -> None:
    """Tell a story about a server."""

    async def whole() -> None:
        async with asyncio.timeout(60), serving(folder) as site:
            await story(site)

    asyncio.run(whole())
