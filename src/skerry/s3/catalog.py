"""The catalogue of tables on the port of S3: its requests handed over, its keys to objects."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from skerry.iceberg import Asked, Caller, Catalog
from skerry.iceberg import Key as CatalogKey
from skerry.s3.call import Identity
from skerry.s3.connection import Response

if TYPE_CHECKING:
    from skerry.s3.connection import Request
    from skerry.s3.service import Key
    from skerry.tables import Tables

Issue: TypeAlias = Callable[[Caller, bytes], Mapping[str, str]]
"""Makes a key that may do what a caller may and a policy allows, in the words of the protocol."""

_READS = ("s3:GetObject", "s3:GetObjectVersion")
_WRITES = (
    "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
)  # fmt: skip


def door(
    tables: Tables,
    keys: Mapping[str, Key],
    may: Callable[[Identity, str, str], bool],
    region: str,
    now_s: Callable[[], int],
    issue: Issue | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers requests to the catalogue.

    issue: without it a caller is given the key back that they have shown to have.
    """

    def find_key(access_key: str) -> CatalogKey | None:
        key = keys.get(access_key)
        return CatalogKey(secret=key.secret, account=key.account) if key else None

    def may_do(caller: Caller, action: str, bucket: str) -> bool:
        identity = Identity(access_key=caller.access_key, account=caller.account)
        return may(identity, action, bucket)

    def vend(caller: Caller, bucket: str, prefix: str, is_writer: bool) -> Mapping[str, str]:  # noqa: FBT001 - the catalogue's shape
        if caller.is_anonymous:  # what a public bucket lets everybody do needs no key
            return {"s3.anonymous": "true"}
        if issue is not None:
            return issue(caller, table_policy(bucket, prefix, is_writer=is_writer))
        key = keys[caller.access_key]
        return {"s3.access-key-id": caller.access_key, "s3.secret-access-key": key.secret}

    catalog = Catalog(
        tables=tables, find_key=find_key, may=may_do, vend=vend, region=region, now_s=now_s
    )
    return functools.partial(_answer, catalog)


def table_policy(bucket: str, prefix: str, *, is_writer: bool) -> bytes:
    """Return a policy, in IAM's JSON, that allows what is done with the files of one table."""
    actions = [*_READS, *(_WRITES if is_writer else ())]
    statements = [
        {"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::{bucket}/{prefix}/*"},
        {
            "Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}/*"}},
        },
    ]  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()


async def _answer(catalog: Catalog, request: Request) -> Response:
    asked = Asked(
        method=request.method, target=request.target, headers=request.headers,
        pieces=request.body.pieces, size=request.size,
    )  # fmt: skip
    found = await catalog.serve(asked)
    return Response(found.status, found.headers, found.body)
