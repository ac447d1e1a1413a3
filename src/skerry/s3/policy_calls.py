"""Operations on the policy of a bucket, and on what keeps it from being one for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid, NotFound
from skerry.objects import buckets
from skerry.s3.access import ACCESS_BLOCK, BLOCKS, POLICY, RESTRICTS
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.connection import Response
from skerry.s3.ingest import read_small
from skerry.s3.policies import bucket_policy
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from skerry.objects.model import Bucket

# What of a block is only said again: there are no ACLs that could be public.
_FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", BLOCKS, RESTRICTS)


async def put_policy(call: Call) -> Response:
    """Give a bucket a policy."""
    document = await read_small(call)
    policy = bucket_policy(document, call.bucket)
    flags = bucket_of(call).settings.get(ACCESS_BLOCK, b"").decode().split(",")
    if policy.is_public and BLOCKS in flags:
        raise Denied(
            "public_policy", "The bucket's public access block refuses policies for everybody."
        )
    await buckets.put_setting(call.objects, call.bucket, POLICY, document)
    return empty(204)


async def get_policy(call: Call) -> Response:
    """Give the policy of a bucket, as it was put."""
    return Response(200, [("Content-Type", "application/json")], _policy_of(bucket_of(call)))


async def delete_policy(call: Call) -> Response:
    """Take the policy of a bucket away."""
    await buckets.put_setting(call.objects, call.bucket, POLICY, None)
    return empty(204)


async def get_policy_status(call: Call) -> Response:
    """Tell whether the policy of a bucket allows everybody something."""
    bucket = bucket_of(call)
    is_public = bucket_policy(_policy_of(bucket), bucket.name).is_public
    told = "TRUE" if is_public else "FALSE"
    return xml(f"<PolicyStatus {NAMESPACE}><IsPublic>{told}</IsPublic></PolicyStatus>")


async def put_access_block(call: Call) -> Response:
    """Keep everybody out, whatever a policy says."""
    document = parsed(await read_small(call), "PublicAccessBlockConfiguration")
    texts = {name: text_of(document, name, "false").strip().lower() for name in _FLAGS}
    if not set(texts.values()) <= {"true", "false"}:
        raise bad_xml("What is blocked is true or false.")
    if unknown := {each.tag for each in document} - set(_FLAGS):
        raise Invalid("bad_xml", f"There is no {min(unknown)[:60]} to block.")
    flags = ",".join(name for name in _FLAGS if texts[name] == "true")
    await buckets.put_setting(call.objects, call.bucket, ACCESS_BLOCK, flags.encode())
    return empty()


async def get_access_block(call: Call) -> Response:
    """Tell what is blocked."""
    setting = bucket_of(call).settings.get(ACCESS_BLOCK)
    if setting is None:
        raise NotFound("no_such_access_block", "The bucket has no public access block.")
    flags = setting.decode().split(",")
    told = "".join(f"<{name}>{'true' if name in flags else 'false'}</{name}>" for name in _FLAGS)
    root = "PublicAccessBlockConfiguration"
    return xml(f"<{root} {NAMESPACE}>{told}</{root}>")


async def delete_access_block(call: Call) -> Response:
    """Block nothing."""
    await buckets.put_setting(call.objects, call.bucket, ACCESS_BLOCK, None)
    return empty(204)


def _policy_of(bucket: Bucket) -> bytes:
    document = bucket.settings.get(POLICY)
    if document is None:
        raise NotFound("no_such_policy", "The bucket has no policy.")
    return document


_POLICY, _STATUS, _BLOCK = {"policy": ""}, {"policyStatus": ""}, {"publicAccessBlock": ""}
OPERATIONS = (
    Operation(
        name="PutBucketPolicy", method="PUT", on="bucket", handler=put_policy, query=_POLICY
    ),
    Operation(
        name="GetBucketPolicy", method="GET", on="bucket", handler=get_policy, query=_POLICY
    ),
    Operation(
        name="DeleteBucketPolicy", method="DELETE", on="bucket", handler=delete_policy,
        query=_POLICY,
    ),
    Operation(
        name="GetBucketPolicyStatus", method="GET", on="bucket", handler=get_policy_status,
        query=_STATUS,
    ),
    Operation(
        name="PutPublicAccessBlock", method="PUT", on="bucket", handler=put_access_block,
        query=_BLOCK,
    ),
    Operation(
        name="GetPublicAccessBlock", method="GET", on="bucket", handler=get_access_block,
        query=_BLOCK,
    ),
    Operation(
        name="DeletePublicAccessBlock", method="DELETE", on="bucket",
        handler=delete_access_block, query=_BLOCK,
    ),
)  # fmt: skip
