"""Operations on a bucket's cross-origin rules, and what they make of the requests of browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from skerry.base import Denied, Invalid, NotFound
from skerry.objects import buckets
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.cors import (
    SETTING,
    VARY,
    Rule,
    allowing,
    asked_headers,
    rule_for,
    rules_in,
    rules_of,
    rules_xml,
)
from skerry.s3.ingest import read_small
from skerry.s3.router import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.objects import Objects
    from skerry.s3.connection import Response

_WHY_NOT = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of "
    "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are "
    "not whitelisted by the resource's CORS spec."
)


async def get_rules(call: Call) -> Response:
    """Tell the rules of a bucket."""
    rules = rules_of(bucket_of(call).settings)
    if not rules:
        raise NotFound("no_such_cors", "The CORS configuration does not exist.")
    return xml(f"<CORSConfiguration {NAMESPACE}>{rules_xml(rules)}</CORSConfiguration>")


async def put_rules(call: Call) -> Response:
    """Give a bucket rules in place of those it has."""
    document = msgspec.json.encode(rules_in(await read_small(call)))
    await buckets.put_setting(call.objects, call.bucket, SETTING, document)
    return empty()


async def delete_rules(call: Call) -> Response:
    """Take the rules of a bucket away."""
    await buckets.put_setting(call.objects, call.bucket, SETTING, None)
    return empty(204)


def preflight(objects: Objects, bucket: str, headers: Mapping[str, str]) -> Response:
    """Answer a browser that asks before it sends what a page wants of a bucket.

    Raises Invalid(bad_preflight), Denied(cors_forbidden).
    """
    origin, method = headers.get("origin"), headers.get("access-control-request-method", "")
    if not origin:
        raise Invalid("bad_preflight", "Insufficient information. Origin request header needed.")
    if not method:
        raise Invalid("bad_preflight", "Invalid Access-Control-Request-Method: null")
    rules = _rules_of(objects, bucket)
    if not rules:
        raise Denied("cors_forbidden", "CORSResponse: CORS is not enabled for this bucket.")
    asked = asked_headers(headers.get("access-control-request-headers", ""))
    rule = rule_for(rules, origin, method, asked) if asked is not None else None
    if rule is None:
        raise Denied("cors_forbidden", _WHY_NOT)
    return empty(200, [*allowing(rule, origin, asked or ()), VARY])


def shared(
    objects: Objects, bucket: str, method: str, headers: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the headers by which a browser lets a page have the answer to a request."""
    origin = headers.get("origin")
    rules = _rules_of(objects, bucket) if origin else []
    if not rules or not origin:
        return []
    rule = rule_for(rules, origin, method)
    return [VARY] if rule is None else [*allowing(rule, origin), VARY]


def _rules_of(objects: Objects, bucket: str) -> list[Rule]:
    if not bucket or not buckets.is_there(objects, bucket):
        return []
    return rules_of(buckets.find(objects, bucket).settings)


OPERATIONS = (
    Operation(
        name="GetBucketCors", method="GET", on="bucket", handler=get_rules, query={"cors": ""},
        action="s3:GetBucketCORS",
    ),
    Operation(
        name="PutBucketCors", method="PUT", on="bucket", handler=put_rules, query={"cors": ""},
        action="s3:PutBucketCORS",
    ),
    Operation(
        name="DeleteBucketCors", method="DELETE", on="bucket", handler=delete_rules,
        query={"cors": ""}, action="s3:PutBucketCORS",
    ),
)  # fmt: skip
