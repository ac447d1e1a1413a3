"""A server of S3 on a simulated disk, spoken to by bytes."""

import asyncio
import hashlib
import hmac
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from skerry.objects import Objects, buckets
from skerry.objects.masters import Masters
from skerry.objects.scrubbing import Scrubbed
from skerry.s3.keyring import Key, Keyring
from skerry.s3.metrics import Metrics
from skerry.s3.server import router, serve
from skerry.s3.service import Service, target_of
from skerry.s3.sessions import Sessions
from skerry.s3.signature import Asked, canonical_request, signing_key
from tests.objects.place import Ground

ACCESS, SECRET = "tester", "secret-of-tester"
MOMENT = "20130524T000000Z"
NOW_S = 1369353600


@dataclass(frozen=True)
class Signer:
    """Who signs, and for which service."""

    access: str = ACCESS
    secret: str = SECRET
    token: str = ""
    service: str = "s3"


ROOT = Signer()


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
        return await self.call_as(ROOT, method, target, body, **headers)

    async def call_as(
        self, signer: Signer, method: str, target: str, body: bytes = b"", **headers: str
    ) -> Answer:
        """Make a call that somebody signs."""
        return parsed(await self.raw(request(method, target, body, headers, signer)))

    async def ask(self, signer: Signer, service: str, action: str, **fields: str) -> Answer:
        """Make a call of IAM or STS."""
        form = urlencode({"Action": action, "Version": "2010-05-08", **fields}).encode()
        return await self.call_as(replace(signer, service=service), "POST", "/", form)


def request(
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    signer: Signer = ROOT,
) -> bytes:
    """Return a signed request."""
    path, pairs = target_of(target.encode())
    payload = hashlib.sha256(body).hexdigest()
    fields = {"host": "x", "x-amz-content-sha256": payload, "x-amz-date": MOMENT}
    if signer.token:
        fields["x-amz-security-token"] = signer.token
    fields |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    names = sorted(fields)
    asked = Asked(method=method, path=path, query=pairs, headers=fields)
    canonical = canonical_request(asked, names, fields["x-amz-content-sha256"])
    signature = _signature(canonical, signer)
    fields["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.access}/{_scope(signer)}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    fields.setdefault("content-length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + body


def presigned(method: str, path: str, **query: str) -> str:
    """Return the target of a presigned URL that holds more parameters. Names have `_` for `-`."""
    pairs = [(name.replace("_", "-"), value) for name, value in query.items()]
    pairs += [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{ACCESS}/{_scope(ROOT)}"),
        ("X-Amz-Date", MOMENT), ("X-Amz-Expires", "60"), ("X-Amz-SignedHeaders", "host"),
    ]  # fmt: skip
    asked = Asked(method=method, path=path, query=pairs, headers={"host": "x"})
    canonical = canonical_request(asked, ["host"], "UNSIGNED-PAYLOAD", is_presigned=True)
    return f"{path}?{urlencode([*pairs, ('X-Amz-Signature', _signature(canonical, ROOT))])}"


def _signature(canonical: str, signer: Signer) -> str:
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{MOMENT}\n{_scope(signer)}\n{digest}"
    key = signing_key(signer.secret, MOMENT[:8], "us-east-1", signer.service)
    return hmac.digest(key, text.encode(), "sha256").hex()


def _scope(signer: Signer) -> str:
    return f"{MOMENT[:8]}/us-east-1/{signer.service}/aws4_request"


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Answer(int(first.split()[1]) if first else 0, headers, body)


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Site]:
    async with Ground(folder).open() as objects:
        await buckets.make(objects, "bkt", "root")
        objects.masters = Masters("0" * 16, {"0" * 16: bytes(32)})
        roots = {ACCESS: Key(access_key=ACCESS, secret=SECRET)}
        sessions = Sessions(bytes(32), objects.entropy, lambda: NOW_S)
        service = Service(
            objects=objects, router=router(), keyring=Keyring(objects, roots, sessions),
            region="us-east-1", domain="s3.test", now_s=lambda: NOW_S,
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
