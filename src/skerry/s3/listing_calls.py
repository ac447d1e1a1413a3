"""Listings: objects in both versions of the call, versions, and the deletion of many."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from urllib.parse import quote
from xml.etree.ElementTree import Element

from skerry.base import Invalid, SkerryError
from skerry.objects import listing, versions
from skerry.objects.model import Version
from skerry.s3.access import BYPASS, authorize_object, bypasses_governance, check_hope
from skerry.s3.bucket_calls import owner_xml
from skerry.s3.call import NAMESPACE, Call, bucket_of, iso, seconds_of, xml
from skerry.s3.connection import Response
from skerry.s3.errors import told, xml_text
from skerry.s3.ingest import read_small
from skerry.s3.lock_headers import moment_ns
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

_PAGE_MAX = 1000
_DELETED_MAX = 1000
_ASKED_AT_ONCE = 16  # keys; a policy of some KiB that somebody made slow takes 2 ms for each


def encoder(call: Call) -> Callable[[str], str]:
    """Return how a listing writes keys, as it is asked to. Raises Invalid(bad_argument)."""
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
    asked = _Asked(call)
    token, start = call.query.get("continuation-token"), call.query.get("start-after", "")
    found = asked.page(start if token is None else _token_text(token))
    parts = asked.head("ListBucketResult", is_truncated=found.next is not None)
    parts.append(f"<KeyCount>{len(found.versions) + len(found.prefixes)}</KeyCount>")
    if token is not None:
        parts.append(f"<ContinuationToken>{xml_text(token)}</ContinuationToken>")
    if start:
        parts.append(f"<StartAfter>{asked.encode(start)}</StartAfter>")
    if found.next is not None:
        parts.append(f"<NextContinuationToken>{_token(found.next)}</NextContinuationToken>")
    owner = owner_xml(asked.bucket.owner) if call.query.get("fetch-owner") == "true" else ""
    return xml("".join((*parts, *asked.contents(found, owner), "</ListBucketResult>")))


async def list_objects(call: Call) -> Response:
    """List objects, from a marker on: the first version of the call."""
    asked = _Asked(call)
    marker = call.query.get("marker", "")
    found = asked.page(marker)
    parts = asked.head("ListBucketResult", is_truncated=found.next is not None)
    parts.append(f"<Marker>{asked.encode(marker)}</Marker>")
    if found.next is not None:
        parts.append(f"<NextMarker>{asked.encode(found.next)}</NextMarker>")
    owner = owner_xml(asked.bucket.owner)
    return xml("".join((*parts, *asked.contents(found, owner), "</ListBucketResult>")))


async def list_versions(call: Call) -> Response:
    """List versions and delete markers, of each key the newest first."""
    asked = _Asked(call)
    marker, version_id = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
    if version_id and not marker:
        raise Invalid("bad_argument", "version-id-marker comes with a key-marker.")
    found = listing.version_page(
        call.objects, asked.bucket, prefix=asked.prefix, delimiter=asked.delimiter,
        limit=asked.limit, after=(marker, version_id),
    )  # fmt: skip
    parts = asked.head("ListVersionsResult", is_truncated=found.next is not None)
    parts.append(f"<KeyMarker>{asked.encode(marker)}</KeyMarker>")
    parts.append(f"<VersionIdMarker>{xml_text(version_id)}</VersionIdMarker>")
    if found.next is not None:
        parts.append(f"<NextKeyMarker>{asked.encode(found.next[0])}</NextKeyMarker>")
        if found.next[1]:
            parts.append(f"<NextVersionIdMarker>{found.next[1]}</NextVersionIdMarker>")
    owner = owner_xml(asked.bucket.owner)
    for each, is_latest in found.versions:
        parts.append(_version(each, asked.encode(each.key), owner, is_latest=is_latest))
    parts += [_common(asked.encode(each)) for each in found.prefixes]
    return xml("".join((*parts, "</ListVersionsResult>")))


class _Asked:
    """What all listings are asked for, and how they begin."""

    def __init__(self, call: Call) -> None:
        query = call.query
        self._call = call
        self.bucket = bucket_of(call)
        self.encode = encoder(call)
        self.prefix = query.get("prefix", "")
        self.delimiter = query.get("delimiter", "")
        self.limit = call.number("max-keys", _PAGE_MAX, _PAGE_MAX)

    def page(self, after: str) -> listing.Page:
        """Return the objects and prefixes after one."""
        return listing.page(
            self._call.objects, self.bucket, prefix=self.prefix, delimiter=self.delimiter,
            after=after, limit=self.limit,
        )  # fmt: skip

    def head(self, root: str, *, is_truncated: bool) -> list[str]:
        """Return how the document begins."""
        parts = [
            f"<{root} {NAMESPACE}><Name>{self.bucket.name}</Name>",
            f"<Prefix>{self.encode(self.prefix)}</Prefix><MaxKeys>{self.limit}</MaxKeys>",
            f"<IsTruncated>{'true' if is_truncated else 'false'}</IsTruncated>",
        ]
        if self.delimiter:
            parts.append(f"<Delimiter>{self.encode(self.delimiter)}</Delimiter>")
        if "encoding-type" in self._call.query:
            parts.append("<EncodingType>url</EncodingType>")
        return parts

    def contents(self, found: listing.Page, owner: str) -> list[str]:
        """Return the objects and prefixes of a page."""
        return [
            *(_content(each, self.encode(each.key), owner) for each in found.versions),
            *(_common(self.encode(each)) for each in found.prefixes),
        ]


async def delete_objects(call: Call) -> Response:
    """Delete many objects or versions."""
    check_hope(call)
    document = parsed(await read_small(call, needs_digest=True), "Delete")
    asked = document.findall("Object")
    if not 1 <= len(asked) <= _DELETED_MAX:
        raise bad_xml(f"Name 1 to {_DELETED_MAX} objects.")
    conditions = {each: _condition(each) for each in asked}
    is_quiet = text_of(document, "Quiet").lower() == "true"
    bypasses = bypasses_governance(call)
    bucket_of(call)

    async def one(each: Element, refusal: SkerryError | None) -> str:
        key, version_id = text_of(each, "Key"), text_of(each, "VersionId") or None
        named = f"<Key>{xml_text(key)}</Key>"
        if version_id:
            named += f"<VersionId>{xml_text(version_id)}</VersionId>"
        try:
            if refusal is not None:
                raise refusal
            done = await versions.delete(
                call.objects, call.bucket, key, version_id, conditions[each],
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

    found = await refusals(call, asked)
    results = await asyncio.gather(*map(one, asked, found))
    return xml(f"<DeleteResult {NAMESPACE}>{''.join(results)}</DeleteResult>")


async def refusals(call: Call, asked: Sequence[Element]) -> list[SkerryError | None]:
    """Return why each of many may not be deleted, and let others have their turn meanwhile."""
    found: list[SkerryError | None] = []
    for count, each in enumerate(asked):
        if count % _ASKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        found.append(_refusal(call, text_of(each, "Key"), text_of(each, "VersionId")))
    return found


def _refusal(call: Call, key: str, version_id: str) -> SkerryError | None:
    try:
        authorize_object(call, "s3:DeleteObject", call.bucket, key, version_id)
        if bypasses_governance(call):
            authorize_object(call, BYPASS, call.bucket, key)
    except SkerryError as error:
        return error
    return None


def _condition(element: Element) -> versions.Condition:
    """Return under which condition one of many objects is deleted. Raises Invalid(bad_xml)."""
    etag, size = text_of(element, "ETag"), text_of(element, "Size")
    modified = text_of(element, "LastModifiedTime")
    if not etag and not size and not modified:
        return versions.NO_CONDITION
    modified_s = seconds_of(modified) if modified else None
    if modified and modified_s is None:
        modified_s = moment_ns(modified) // 10**9
    if size and (not size.isdecimal() or len(size) > 19):
        raise bad_xml("Size is a number.")
    return versions.Condition(
        etags=frozenset({etag.strip('"')}) if etag else frozenset(), modified_at_s=modified_s,
        size=int(size) if size else None,
    )  # fmt: skip


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
        query={"delete": ""}, action="s3:DeleteObject", checks_itself=True,
    ),
)  # fmt: skip
