"""Operations on tags: of objects and of buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from skerry.base import NotFound
from skerry.objects import buckets, versions
from skerry.s3.access import authorize_object, check_hope
from skerry.s3.call import bucket_of, empty, xml
from skerry.s3.ingest import read_small
from skerry.s3.object_calls import marker, present, version_headers
from skerry.s3.router import Operation
from skerry.s3.tags import OF_BUCKET_MAX, OF_OBJECT_MAX, tags_in_document, tags_xml

if TYPE_CHECKING:
    from skerry.objects.model import Version
    from skerry.s3.call import Call
    from skerry.s3.connection import Response

SETTING = "tagging"


async def get_tags(call: Call) -> Response:
    """Tell the tags of an object."""
    version_id = call.query.get("versionId") or None
    row = present(versions.find(call.objects, bucket_of(call), call.key, version_id), version_id)
    version = row.version
    return xml(tags_xml(version.tags), 200, version_headers(version, call))


async def put_tags(call: Call) -> Response:
    """Give an object tags in place of those it has."""
    check_hope(call)
    tags, version_id = (
        tags_in_document(await read_small(call), OF_OBJECT_MAX),
        call.query.get("versionId", ""),
    )
    authorize_object(call, "s3:PutObjectTagging", call.bucket, call.key, version_id, tags)
    version = await _change(call, tags)
    return empty(200, version_headers(version, call))


async def delete_tags(call: Call) -> Response:
    """Take the tags of an object away."""
    return empty(204, version_headers(await _change(call, {}), call))


async def get_bucket_tags(call: Call) -> Response:
    """Tell the tags of a bucket."""
    document = bucket_of(call).settings.get(SETTING)
    if document is None:
        raise NotFound("no_such_tags", "The bucket has no tags.")
    return xml(tags_xml(msgspec.json.decode(document, type=dict[str, str])))


async def put_bucket_tags(call: Call) -> Response:
    """Give a bucket tags in place of those it has."""
    tags = tags_in_document(await read_small(call), OF_BUCKET_MAX)
    document = msgspec.json.encode(tags) if tags else None
    await buckets.put_setting(call.objects, call.bucket, SETTING, document)
    return empty(204)


async def delete_bucket_tags(call: Call) -> Response:
    """Take the tags of a bucket away."""
    await buckets.put_setting(call.objects, call.bucket, SETTING, None)
    return empty(204)


async def _change(call: Call, tags: dict[str, str]) -> Version:
    def changed(version: Version, _now_ns: int) -> Version:
        if version.is_marker:
            raise marker(version)
        return msgspec.structs.replace(version, tags=tags)

    version_id = call.query.get("versionId") or None
    return await versions.change(call.objects, call.bucket, call.key, version_id, changed)


OPERATIONS = (
    Operation(
        name="GetObjectTagging", method="GET", on="object", handler=get_tags, query={"tagging": ""}
    ),
    Operation(
        name="PutObjectTagging", method="PUT", on="object", handler=put_tags,
        query={"tagging": ""}, checks_itself=True,
    ),
    Operation(
        name="DeleteObjectTagging", method="DELETE", on="object", handler=delete_tags,
        query={"tagging": ""},
    ),
    Operation(
        name="GetBucketTagging", method="GET", on="bucket", handler=get_bucket_tags,
        query={"tagging": ""},
    ),
    Operation(
        name="PutBucketTagging", method="PUT", on="bucket", handler=put_bucket_tags,
        query={"tagging": ""},
    ),
    Operation(
        name="DeleteBucketTagging", method="DELETE", on="bucket", handler=delete_bucket_tags,
        query={"tagging": ""}, action="s3:PutBucketTagging",
    ),
)  # fmt: skip
