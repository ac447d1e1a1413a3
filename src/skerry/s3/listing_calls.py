"""Listings: objects in both versions of the call, versions, and the deletion of many."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from urllib.parse import quote

from skerry.base import Invalid, SkerryError
from skerry.objects import listing, versions
from skerry.objects.model import Version
from skerry.s3.bucket_calls import owner_xml
from skerry.s3.call import NAMESPACE, Call, bucket_of, iso, xml
from skerry.s3.connection import Response
from skerry.s3.errors import told, xml_text
from skerry.s3.ingest import read_small
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

_PAGE_MAX = 1000
_DELETED_MAX = 1000


def _encoder(call: Call) -> Callable[[str], str]:
    kind = call.query.get("encoding-type", "")
    if kind not in ("", "url"):
        raise Invalid("bad_argument", "encoding-type is url.")
    return _in_url if kind else xml_text


def _in_url(text: str) -> str:
    return quote(text, safe="/*-._~")


async def list_objects_v2(call: Call) -> Response:
    """List objects, from a token on."""
    if call.query.get("list-type") != "2":
        raise Invalid("bad_argument", "list-type is 2.")
    bucket, encode = bucket_of(call), _encoder(call)
    query = call.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit, token = call.number("max-keys", _PAGE_MAX, _PAGE_MAX), query.get("continuation-token")
    start = query.get("start-after", "")
    after = start if token is None else _token_text(token)
    found = listing.page(
        call.objects, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
    )
    owner = owner_xml(bucket.owner) if query.get("fetch-owner") == "true" else ""
    parts = [
        f"<ListBucketResult {NAMESPACE}><Name>{bucket.name}</Name><Prefix>{encode(prefix)}</Prefix>",
        f"<MaxKeys>{limit}</MaxKeys><KeyCount>{len(found.versions) + len(found.prefixes)}</KeyCount>",
        f"<IsTruncated>{'true' if found.next is not None else 'false'}</IsTruncated>",
    ]
    if delimiter:
        parts.append(f"<Delimiter>{encode(delimiter)}</Delimiter>")
    if "encoding-type" in query:
        parts.append("<EncodingType>url</EncodingType>")
    if token is not None:
        parts.append(f"<ContinuationToken>{xml_text(token)}</ContinuationToken>")
    if start:
        parts.append(f"<StartAfter>{encode(start)}</StartAfter>")
    if found.next is not None:
        parts.append(f"<NextContinuationToken>{_token(found.next)}</NextContinuationToken>")
    parts += [_content(each, encode(each.key), owner) for each in found.versions]
    parts += [_common(encode(each)) for each in found.prefixes]
    return xml("".join((*parts, "</ListBucketResult>")))


async def list_objects(call: Call) -> Response:
    """List objects, from a marker on: the first version of the call."""
    bucket, encode = bucket_of(call), _encoder(call)
    query = call.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit, marker = call.number("max-keys", _PAGE_MAX, _PAGE_MAX), query.get("marker", "")
    found = listing.page(
        call.objects, bucket, prefix=prefix, delimiter=delimiter, after=marker, limit=limit
    )
    owner = owner_xml(bucket.owner)
    parts = [
        f"<ListBucketResult {NAMESPACE}><Name>{bucket.name}</Name><Prefix>{encode(prefix)}</Prefix>",
        f"<Marker>{encode(marker)}</Marker><MaxKeys>{limit}</MaxKeys>",
        f"<IsTruncated>{'true' if found.next is not None else 'false'}</IsTruncated>",
    ]
    if delimiter:
        parts.append(f"<Delimiter>{encode(delimiter)}</Delimiter>")
    if "encoding-type" in query:
        parts.append("<EncodingType>url</EncodingType>")
    if found.next is not None:
        parts.append(f"<NextMarker>{encode(found.next)}</NextMarker>")
    parts += [_content(each, encode(each.key), owner) for each in found.versions]
    parts += [_common(encode(each)) for each in found.prefixes]
    return xml("".join((*parts, "</ListBucketResult>")))


async def list_versions(call: Call) -> Response:
    """List versions and delete markers, of each key the newest first."""
    bucket, encode = bucket_of(call), _encoder(call)
    query = call.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = call.number("max-keys", _PAGE_MAX, _PAGE_MAX)
    marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version_marker and not marker:
        raise Invalid("bad_argument", "version-id-marker comes with a key-marker.")
    found = listing.version_page(
        call.objects, bucket, prefix=prefix, delimiter=delimiter, limit=limit,
        after=(marker, version_marker),
    )  # fmt: skip
    parts = [
        f"<ListVersionsResult {NAMESPACE}><Name>{bucket.name}</Name>",
        f"<Prefix>{encode(prefix)}</Prefix><KeyMarker>{encode(marker)}</KeyMarker>",
        f"<VersionIdMarker>{xml_text(version_marker)}</VersionIdMarker><MaxKeys>{limit}</MaxKeys>",
        f"<IsTruncated>{'true' if found.next is not None else 'false'}</IsTruncated>",
    ]
    if delimiter:
        parts.append(f"<Delimiter>{encode(delimiter)}</Delimiter>")
    if "encoding-type" in query:
        parts.append("<EncodingType>url</EncodingType>")
    if found.next is not None:
        key, version_id = found.next
        parts.append(f"<NextKeyMarker>{encode(key)}</NextKeyMarker>")
        if version_id:
            parts.append(f"<NextVersionIdMarker>{version_id}</NextVersionIdMarker>")
    owner = owner_xml(bucket.owner)
    for each, is_latest in found.versions:
        parts.append(_version(each, encode(each.key), owner, is_latest=is_latest))
    parts += [_common(encode(each)) for each in found.prefixes]
    return xml("".join((*parts, "</ListVersionsResult>")))


async def delete_objects(call: Call) -> Response:
    """Delete many objects or versions."""
    document = parsed(await read_small(call, needs_digest=True), "Delete")
    asked = document.findall("Object")
    if not 1 <= len(asked) <= _DELETED_MAX:
        raise bad_xml(f"Name 1 to {_DELETED_MAX} objects.")
    is_quiet = text_of(document, "Quiet").lower() == "true"
    bypasses = (call.header("x-amz-bypass-governance-retention") or "").lower() == "true"
    bucket_of(call)

    async def one(key: str, version_id: str | None, etag: str) -> str:
        condition = versions.NO_CONDITION
        if etag:
            condition = versions.Condition(etags=frozenset({etag.strip('"')}))
        named = f"<Key>{xml_text(key)}</Key>"
        if version_id:
            named += f"<VersionId>{xml_text(version_id)}</VersionId>"
        try:
            done = await versions.delete(
                call.objects, call.bucket, key, version_id, condition,
                bypasses_governance=bypasses,
            )  # fmt: skip
        except SkerryError as error:
            code, message = told(error).code, xml_text(error.message)
            return f"<Error>{named}<Code>{code}</Code><Message>{message}</Message></Error>"
        if is_quiet:
            return ""
        if done.is_marker or done.was_marker:
            named += "<DeleteMarker>true</DeleteMarker>"
            named += f"<DeleteMarkerVersionId>{done.version_id}</DeleteMarkerVersionId>"
        return f"<Deleted>{named}</Deleted>"

    results = await asyncio.gather(
        *(
            one(text_of(each, "Key"), text_of(each, "VersionId") or None, text_of(each, "ETag"))
            for each in asked
        )
    )
    return xml(f"<DeleteResult {NAMESPACE}>{''.join(results)}</DeleteResult>")


def _content(version: Version, key: str, owner: str) -> str:
    checksum = version.checksum
    algorithm = f"<ChecksumAlgorithm>{checksum.algorithm}</ChecksumAlgorithm>" if checksum else ""
    return (
        f"<Contents><Key>{key}</Key><LastModified>{iso(version.modified_at_ns)}</LastModified>"
        f"<ETag>&quot;{version.etag}&quot;</ETag>{algorithm}<Size>{version.size}</Size>{owner}"
        f"<StorageClass>{version.storage_class or 'STANDARD'}</StorageClass></Contents>"
    )


def _version(version: Version, key: str, owner: str, *, is_latest: bool) -> str:
    latest = "true" if is_latest else "false"
    head = (
        f"<Key>{key}</Key><VersionId>{version.version_id}</VersionId><IsLatest>{latest}</IsLatest>"
        f"<LastModified>{iso(version.modified_at_ns)}</LastModified>{owner}"
    )
    if version.is_marker:
        return f"<DeleteMarker>{head}</DeleteMarker>"
    return (
        f"<Version>{head}<ETag>&quot;{version.etag}&quot;</ETag><Size>{version.size}</Size>"
        f"<StorageClass>{version.storage_class or 'STANDARD'}</StorageClass></Version>"
    )


def _common(prefix: str) -> str:
    return f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"


def _token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _token_text(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Invalid("bad_argument", "The continuation token is not one of ours.") from None


OPERATIONS = (
    Operation(
        name="ListObjectsV2", method="GET", on="bucket", handler=list_objects_v2,
        query={"list-type": ""}, action="s3:ListBucket",
    ),
    Operation(
        name="ListObjectVersions", method="GET", on="bucket", handler=list_versions,
        query={"versions": ""}, action="s3:ListBucketVersions",
    ),
    Operation(
        name="ListObjects", method="GET", on="bucket", handler=list_objects,
        action="s3:ListBucket",
    ),
    Operation(
        name="DeleteObjects", method="POST", on="bucket", handler=delete_objects,
        query={"delete": ""}, action="s3:DeleteObject",
    ),
)  # fmt: skip
