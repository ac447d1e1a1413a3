"""Operations on buckets: make, list, look, delete, versioning."""

from __future__ import annotations

import msgspec

from skerry.base import Conflict, Invalid
from skerry.objects import buckets
from skerry.objects.model import Bucket
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, iso, xml
from skerry.s3.connection import Response
from skerry.s3.errors import xml_text
from skerry.s3.ingest import read_small
from skerry.s3.object_calls import check_acl, no_acl
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

_OWNERSHIP = "BucketOwnerEnforced"


async def list_buckets(call: Call) -> Response:
    """Tell the buckets of all, in order of their names."""
    limit = call.number("max-buckets", 10_000, 10_000)
    prefix, after = call.query.get("prefix", ""), call.query.get("continuation-token", "")
    is_elsewhere = call.query.get("bucket-region", call.region) != call.region
    found = [] if is_elsewhere else buckets.page(call.objects, prefix, after, limit + 1)
    more, found = len(found) > limit, found[:limit]
    token = f"<ContinuationToken>{found[-1].name}</ContinuationToken>" if more and found else ""
    told = "".join(
        f"<Bucket><Name>{each.name}</Name><CreationDate>{iso(each.created_at_ns)}</CreationDate>"
        f"<BucketRegion>{call.region}</BucketRegion></Bucket>"
        for each in found
    )
    return xml(
        f"<ListAllMyBucketsResult {NAMESPACE}>{owner_xml(call.identity.account)}"
        f"<Buckets>{told}</Buckets>{token}</ListAllMyBucketsResult>"
    )


async def create_bucket(call: Call) -> Response:
    """Make a bucket."""
    body = await read_small(call)
    check_acl(call)
    if (call.header("x-amz-object-ownership") or _OWNERSHIP) != _OWNERSHIP:
        raise no_acl()
    if body:
        parsed(body, "CreateBucketConfiguration")
    has_lock = (call.header("x-amz-bucket-object-lock-enabled") or "").lower() == "true"
    try:
        await buckets.make(call.objects, call.bucket, call.identity.account, has_lock=has_lock)
    except Conflict as error:
        if error.code != "bucket_is_yours" or call.region != "us-east-1" or has_lock:
            raise  # AWS answers 200 in that region alone, and clients of old count on it
    return empty(200, [("Location", f"/{call.bucket}")])


async def head_bucket(call: Call) -> Response:
    """Tell whether there is a bucket."""
    bucket_of(call)
    return empty(200, [("x-amz-bucket-region", call.region)])


async def delete_bucket(call: Call) -> Response:
    """Delete an empty bucket."""
    await buckets.delete(call.objects, call.bucket)
    return empty(204)


async def get_location(call: Call) -> Response:
    """Tell the region."""
    bucket_of(call)
    region = "" if call.region == "us-east-1" else call.region
    return xml(f"<LocationConstraint {NAMESPACE}>{region}</LocationConstraint>")


async def get_versioning(call: Call) -> Response:
    """Tell whether a bucket keeps versions."""
    status = {"off": "", "enabled": "Enabled", "suspended": "Suspended"}[bucket_of(call).versioning]
    told = f"<Status>{status}</Status>" if status else ""
    return xml(f"<VersioningConfiguration {NAMESPACE}>{told}</VersioningConfiguration>")


async def put_versioning(call: Call) -> Response:
    """Have a bucket keep versions, or no more."""
    document = parsed(await read_small(call), "VersioningConfiguration")
    status = text_of(document, "Status")
    if status not in ("Enabled", "Suspended"):
        raise bad_xml("Status is Enabled or Suspended.")
    if text_of(document, "MfaDelete") == "Enabled":
        raise Invalid("bad_argument", "There is no MFA here.")

    def changed(bucket: Bucket) -> Bucket:
        if status == "Suspended" and bucket.has_lock:
            raise Conflict("bucket_has_lock", "A bucket with object lock keeps all versions.")
        return msgspec.structs.replace(
            bucket, versioning="enabled" if status == "Enabled" else "suspended"
        )

    await buckets.change(call.objects, call.bucket, changed)
    return empty()


def owner_xml(account: str, name: str = "Owner") -> str:
    """Return an owner as XML has it."""
    text = xml_text(account)
    return f"<{name}><ID>{text}</ID><DisplayName>{text}</DisplayName></{name}>"


OPERATIONS = (
    Operation(
        name="ListBuckets", method="GET", on="service", handler=list_buckets,
        action="s3:ListAllMyBuckets",
    ),
    Operation(name="CreateBucket", method="PUT", on="bucket", handler=create_bucket),
    Operation(
        name="HeadBucket", method="HEAD", on="bucket", handler=head_bucket, action="s3:ListBucket"
    ),
    Operation(name="DeleteBucket", method="DELETE", on="bucket", handler=delete_bucket),
    Operation(
        name="GetBucketLocation", method="GET", on="bucket", handler=get_location,
        query={"location": ""},
    ),
    Operation(
        name="GetBucketVersioning", method="GET", on="bucket", handler=get_versioning,
        query={"versioning": ""},
    ),
    Operation(
        name="PutBucketVersioning", method="PUT", on="bucket", handler=put_versioning,
        query={"versioning": ""},
    ),
)  # fmt: skip
