"""What is asked of a bucket and cannot be set yet: it is told as AWS tells what nobody has set.

So programs that look at all of a bucket before they use it go on. To set any of it answers 501.
ACLs are as AWS has them since 2023: the owner of a bucket owns all in it, and there are no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import NotFound
from skerry.objects import versions
from skerry.s3.bucket_calls import owner_xml
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.ingest import read_small
from skerry.s3.object_calls import check_acl, no_acl, present
from skerry.s3.router import Handler, Operation
from skerry.s3.xml_in import parsed, text_of

if TYPE_CHECKING:
    from skerry.s3.connection import Response

_XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

# By the query: the name of what would be set, and the code of AWS for what is not.
_MISSING = {
    "replication": ("BucketReplication", "no_such_replication"),
}
_EMPTY = {
    "logging": ("BucketLogging", "BucketLoggingStatus", ""),
    "accelerate": ("BucketAccelerateConfiguration", "AccelerateConfiguration", ""),
    "requestPayment": (
        "BucketRequestPayment", "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>",
    ),
    "ownershipControls": (
        "BucketOwnershipControls", "OwnershipControls",
        "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",
    ),
}  # fmt: skip


def _missing(name: str, code: str) -> Handler:
    async def tell(call: Call) -> Response:
        bucket_of(call)
        raise NotFound(code, f"The bucket has no {name}.")

    return tell


def _empty(root: str, content: str) -> Handler:
    async def tell(call: Call) -> Response:
        bucket_of(call)
        return xml(f"<{root} {NAMESPACE}>{content}</{root}>")

    return tell


async def get_acl(call: Call) -> Response:
    """Tell that the owner may do everything."""
    bucket = bucket_of(call)
    if call.key:
        version_id = call.query.get("versionId") or None
        present(versions.find(call.objects, bucket, call.key, version_id), version_id)
    grantee = owner_xml(bucket.owner, "Grantee").replace(
        "<Grantee>", f'<Grantee {_XSI} xsi:type="CanonicalUser">', 1
    )
    return xml(
        f"<AccessControlPolicy {NAMESPACE}>{owner_xml(bucket.owner)}<AccessControlList><Grant>"
        f"{grantee}<Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
        "</AccessControlPolicy>"
    )


async def put_acl(call: Call) -> Response:
    """Agree to what holds anyway, and to nothing else."""
    bucket, body = bucket_of(call), await read_small(call)
    check_acl(call)
    if body:  # some clients give back what they were told
        document = parsed(body, "AccessControlPolicy")
        for grant in document.iterfind("AccessControlList/Grant"):
            whose = grant.find("Grantee")
            owner = "" if whose is None else text_of(whose, "ID")
            if (owner, text_of(grant, "Permission")) != (bucket.owner, "FULL_CONTROL"):
                raise no_acl()
    return empty()


OPERATIONS = (
    *(
        Operation(
            name=f"Get{name}", method="GET", on="bucket", handler=_missing(name, code),
            query={query: ""},
        )
        for query, (name, code) in _MISSING.items()
    ),
    *(
        Operation(
            name=f"Get{name}", method="GET", on="bucket", handler=_empty(root, content),
            query={query: ""},
        )
        for query, (name, root, content) in _EMPTY.items()
    ),
    Operation(
        name="GetBucketAcl", method="GET", on="bucket", handler=get_acl, query={"acl": ""}
    ),
    Operation(
        name="PutBucketAcl", method="PUT", on="bucket", handler=put_acl, query={"acl": ""}
    ),
    Operation(
        name="GetObjectAcl", method="GET", on="object", handler=get_acl, query={"acl": ""}
    ),
    Operation(
        name="PutObjectAcl", method="PUT", on="object", handler=put_acl, query={"acl": ""}
    ),
)  # fmt: skip
