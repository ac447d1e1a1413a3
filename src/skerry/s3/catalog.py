"""The catalogue of tables on the port of S3: its requests handed over, its keys to objects."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid
from skerry.iceberg import Asked, Caller, Catalog
from skerry.iceberg import Key as CatalogKey
from skerry.s3.access import authorize_object
from skerry.s3.call import Call
from skerry.s3.connection import Response
from skerry.s3.identity import Identity

if TYPE_CHECKING:
    from skerry.s3.connection import Request
    from skerry.s3.keyring import Keyring
    from skerry.tables import Tables

_LIFETIME_S = 3600  # of a key to a table's files; clients ask for a new one with the table
_READS = ("s3:GetObject", "s3:GetObjectVersion")
_WRITES = (
    "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
)  # fmt: skip


def door(
    tables: Tables, keyring: Keyring, region: str, now_s: Callable[[], int]
) -> Callable[[Request, str], Awaitable[Response]]:
    """Return what answers a request to the catalogue, given its id too."""

    def find_key(access_key: str) -> CatalogKey | None:
        try:
            identity, secret = keyring.find(access_key, None)
        except Denied:
            return None
        return CatalogKey(secret=secret, account=identity.account)

    def vend(caller: Caller, bucket: str, prefix: str, is_writer: bool) -> Mapping[str, str]:  # noqa: FBT001 - the catalogue's shape
        if caller.is_anonymous:  # what a public bucket lets everybody do needs no key
            return {"s3.anonymous": "true"}
        policy = table_policy(bucket, prefix, is_writer=is_writer)
        made = keyring.sessions.issue(caller.account, caller.access_key, policy, _LIFETIME_S)
        return {
            "s3.access-key-id": made.access_key, "s3.secret-access-key": made.secret,
            "s3.session-token": made.session_token,
            "s3.session-token-expires-at-ms": str(made.expires_at_s * 1000),
        }  # fmt: skip

    catalog = Catalog(tables=tables, find_key=find_key, vend=vend, region=region, now_s=now_s)

    async def answer(request: Request, request_id: str) -> Response:
        def may(caller: Caller, action: str, bucket: str, key: str) -> bool:
            identity = Identity()
            try:
                if not caller.is_anonymous:
                    identity, _ = keyring.find(caller.access_key, None)
                call = Call(
                    objects=tables.objects, request=request, bucket=bucket, key=key, query={},
                    identity=identity, claim=None, secret="", region=region,
                    request_id=request_id, keyring=keyring,
                )  # fmt: skip
                authorize_object(call, action, bucket, key)
            except (Denied, Invalid):
                return False
            return True

        request.operation = "Catalog"
        asked = Asked(
            method=request.method, target=request.target, headers=request.headers,
            pieces=request.body.pieces, size=request.size, may=may,
        )  # fmt: skip
        found = await catalog.serve(asked)
        return Response(found.status, found.headers, found.body)

    return answer


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
