"""Operations on how the new objects of a bucket are encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import Invalid, NotFound
from skerry.objects import buckets
from skerry.objects.sealing import SETTING
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.encryption import ALGORITHM, check_algorithm
from skerry.s3.ingest import read_small
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from skerry.s3.connection import Response


async def get_encryption(call: Call) -> Response:
    """Tell how new objects are encrypted where their requests say nothing of it."""
    if SETTING not in bucket_of(call).settings:
        raise NotFound("no_such_encryption", "The bucket has no encryption that is set.")
    return xml(
        f"<ServerSideEncryptionConfiguration {NAMESPACE}><Rule><ApplyServerSideEncryptionByDefault>"
        f"<SSEAlgorithm>{ALGORITHM}</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
        "<BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
    )


async def put_encryption(call: Call) -> Response:
    """Have new objects encrypted from now on; those that are there stay as they are."""
    bucket_of(call)
    document = parsed(await read_small(call), "ServerSideEncryptionConfiguration")
    rules = document.findall("Rule")
    default = rules[0].find("ApplyServerSideEncryptionByDefault") if len(rules) == 1 else None
    if default is None:
        raise bad_xml("One Rule has ApplyServerSideEncryptionByDefault.")
    check_algorithm(text_of(default, "SSEAlgorithm"))
    if default.find("KMSMasterKeyID") is not None:
        raise Invalid("bad_argument", f"With {ALGORITHM} there is no KMSMasterKeyID.")
    await buckets.put_setting(call.objects, call.bucket, SETTING, ALGORITHM.encode())
    return empty()


async def delete_encryption(call: Call) -> Response:
    """Have new objects not encrypted, unless their requests want it."""
    await buckets.put_setting(call.objects, call.bucket, SETTING, None)
    return empty(204)


_QUERY = {"encryption": ""}
OPERATIONS = (
    Operation(
        name="GetBucketEncryption", method="GET", on="bucket", handler=get_encryption, query=_QUERY
    ),
    Operation(
        name="PutBucketEncryption", method="PUT", on="bucket", handler=put_encryption, query=_QUERY
    ),
    Operation(
        name="DeleteBucketEncryption", method="DELETE", on="bucket", handler=delete_encryption,
        query=_QUERY,
    ),
)  # fmt: skip
