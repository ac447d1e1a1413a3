"""The protocol of the catalogue, spoken without sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.iceberg import Asked, Caller, Catalog, Key
from skerry.objects import buckets
from skerry.tables import Tables
from tests.objects.place import Ground
from tests.tables.warehouse import opened

NOW_S = 1_700_000_000
KEYS = {
    "ann": Key(secret="ann-secret", account="a"),
    "bob": Key(secret="bob-secret", account="b"),
    "carl": Key(secret="carl-secret", account="c"),
}


READS = {"s3:GetObject", "s3:ListBucket"}
ALLOWED = {"lake": READS | {"s3:PutObject", "s3:DeleteObject"}, "shop": READS}


def may(caller: Caller, action: str, bucket: str, key: str) -> bool:
    """Let everybody do all with lake and read shop, ann do all, bob read, carl list and write in c."""
    if caller.access_key == "ann":
        return True
    if caller.access_key == "carl":
        return action == "s3:ListBucket" or key.startswith("c/")
    own = READS if caller.access_key == "bob" else set[str]()
    return action in own | ALLOWED.get(bucket, set())


@dataclass
class Told:
    status: int
    document: Any
    headers: dict[str, str]

    @property
    def error(self) -> tuple[int, str]:
        """Return status and type of an error, which is of the protocol's shape."""
        error = self.document["error"]
        assert error["code"] == self.status
        assert error["message"]
        return self.status, error["type"]


@dataclass
class Door:
    catalog: Catalog
    now_s: int = NOW_S

    @property
    def tables(self) -> Tables:
        return self.catalog.tables

    async def call(self, method: str, path: str, document: object = None, **headers: str) -> Told:
        """Make a call. Header names have `_` for `-`."""
        body = b"" if document is None else json.dumps(document).encode()
        return await self.raw(method, path, body, **headers)

    async def raw(self, method: str, path: str, body: bytes, **headers: str) -> Told:
        async def pieces() -> AsyncIterator[bytes]:
            yield body

        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            told.setdefault("content-type", "application/json")
        answer = await self.catalog.serve(
            Asked(
                method=method, target=f"/iceberg/v1/{path}".encode(), headers=told, pieces=pieces,
                size=len(body), may=may,
            )
        )  # fmt: skip
        found = json.loads(answer.body) if answer.body else None
        return Told(answer.status, found, dict(answer.headers))

    async def token(self, access_key: str) -> str:
        """Return the header of an access key's token."""
        secret = KEYS[access_key].secret
        form = f"grant_type=client_credentials&client_id={access_key}&client_secret={secret}"
        told = await self.raw(
            "POST", "oauth/tokens", form.encode(),
            content_type="application/x-www-form-urlencoded",
        )  # fmt: skip
        return f"Bearer {told.document['access_token']}"


def tell(folder: Path, story: Callable[[Door], Awaitable[None]]) -> None:
    """Tell a story about the catalogue of two warehouses, of which lake has the namespace ns."""

    def vend(caller: Caller, bucket: str, prefix: str, is_writer: bool) -> dict[str, str]:  # noqa: FBT001 - a case gives it
        return {"vended": f"{caller.access_key} {bucket} {prefix} {is_writer}"}

    async def whole() -> None:
        async with asyncio.timeout(60), opened(Ground(folder)) as (tables, _):
            for name in ("shop", "private"):
                await buckets.make(tables.objects, name, "root")
            catalog = Catalog(
                tables=tables, find_key=KEYS.get, vend=vend, region="here",
                now_s=lambda: door.now_s,
            )  # fmt: skip
            door = Door(catalog)
            await story(door)

    asyncio.run(whole())
