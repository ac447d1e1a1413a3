"""Operations on a bucket's quota. AWS has none: they are ours, made like the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from skerry.base import NotFound
from skerry.objects import buckets, quotas
from skerry.objects.quotas import SETTING, Quota
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.ingest import read_small
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from skerry.s3.connection import Response

_DIGITS_MAX = 18


async def get_quota(call: Call) -> Response:
    """Tell the quota of a bucket, and how much of it is used."""
    bucket = bucket_of(call)
    quota, there = quotas.quota_of(bucket), buckets.used(call.objects, bucket)
    if quota is None:
        raise NotFound("no_such_quota", "The bucket has no quota.")
    size = "" if quota.bytes is None else f"<Bytes>{quota.bytes}</Bytes>"
    count = "" if quota.objects is None else f"<Objects>{quota.objects}</Objects>"
    used = f"<UsedBytes>{there.bytes}</UsedBytes><UsedObjects>{there.objects}</UsedObjects>"
    return xml(f"<Quota {NAMESPACE}>{size}{count}{used}</Quota>")


async def put_quota(call: Call) -> Response:
    """Give a bucket a quota; what is there already stays, whatever it is."""
    document = parsed(await read_small(call), "Quota")
    quota = Quota(bytes=_number(document, "Bytes"), objects=_number(document, "Objects"))
    if quota == Quota():
        raise bad_xml("A Quota has Bytes, Objects, or both.")
    setting = msgspec.json.encode(quota)
    await buckets.put_setting(call.objects, call.bucket, SETTING, setting)
    return empty()


async def delete_quota(call: Call) -> Response:
    """Have a bucket take as much as there is room."""
    await buckets.put_setting(call.objects, call.bucket, SETTING, None)
    return empty(204)


def _number(document: Element, name: str) -> int | None:
    if document.find(name) is None:
        return None
    text = text_of(document, name).strip()
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise bad_xml(f"{name} is a number, of at most {_DIGITS_MAX} digits.")
    return int(text)


OPERATIONS = (
    Operation(
        name="GetBucketQuota", method="GET", on="bucket", handler=get_quota, query={"quota": ""}
    ),
    Operation(
        name="PutBucketQuota", method="PUT", on="bucket", handler=put_quota, query={"quota": ""}
    ),
    Operation(
        name="DeleteBucketQuota", method="DELETE", on="bucket", handler=delete_quota,
        query={"quota": ""}, action="s3:PutBucketQuota",
    ),
)  # fmt: skip
