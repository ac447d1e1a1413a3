"""Operations on objects: put, get, head, delete, copy, tags."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from skerry.base import Conflict, Invalid, NotFound
from skerry.objects import buckets, reading, versions
from skerry.objects.model import OBJECT_BYTES_MAX, PART_BYTES_MAX, Checksum, Version
from skerry.objects.versions import Condition, Told
from skerry.s3.access import authorize_object, bypasses_governance, check_hope
from skerry.s3.call import (
    NAMESPACE,
    Call,
    bucket_of,
    checksum_header,
    empty,
    http_date,
    iso,
    seconds_of,
    xml,
)
from skerry.s3.connection import Response
from skerry.s3.errors import xml_text
from skerry.s3.ingest import copy_in, expectations, read_small, take
from skerry.s3.router import Operation
from skerry.s3.xml_in import parsed, text_of

if TYPE_CHECKING:
    from skerry.objects import Row
    from skerry.objects.model import Bucket

_SAID = ("cache-control", "content-disposition", "content-encoding", "content-language",
         "content-type", "expires", "x-amz-website-redirect-location")  # fmt: skip
_METADATA = "x-amz-meta-"
_METADATA_BYTES_MAX = 8 << 10  # AWS has 2 KiB; clients that ask for more are not hurt
_TAGS_MAX = 10
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_CANNED_ACLS = frozenset({"", "private", "bucket-owner-full-control", "bucket-owner-read"})
_STORAGE_CLASSES = frozenset(
    {"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"}
)


async def put_object(call: Call) -> Response:
    """Put an object."""
    told, condition = told_of(call), write_condition(call)
    expected, chunks = expectations(call)
    if expected.size > PART_BYTES_MAX:
        raise Invalid("too_large", "One PUT takes at most 5 GiB. Upload it in parts.")
    bucket_of(call)
    taken = await take(call.objects, call.request.body.pieces(), expected, chunks)
    version = await versions.put(
        call.objects, call.bucket, call.key, taken.content(), told, condition
    )
    return empty(200, [("ETag", f'"{version.etag}"'), *_version_headers(version, call),
                       *checksum_headers(version.checksum)])  # fmt: skip


async def get_object(call: Call) -> Response:
    """Give an object, or a range of it."""
    return await _given(call, with_body=True)


async def head_object(call: Call) -> Response:
    """Tell what is known of an object."""
    return await _given(call, with_body=False)


async def delete_object(call: Call) -> Response:
    """Delete an object, or a version of it."""
    done = await versions.delete(
        call.objects, call.bucket, call.key, call.query.get("versionId") or None,
        _delete_condition(call), bypasses_governance=bypasses_governance(call),
    )  # fmt: skip
    headers: list[tuple[str, str]] = []
    if done.version_id is not None:
        headers.append(("x-amz-version-id", done.version_id))
    if done.is_marker or done.was_marker:
        headers.append(("x-amz-delete-marker", "true"))
    return empty(204, headers)


async def copy_object(call: Call) -> Response:
    """Put an object with the bytes of another."""
    source_bucket, source_key, version_id = source_of(call)
    source = buckets.find(call.objects, source_bucket)
    row = present(versions.find(call.objects, source, source_key, version_id), version_id)
    version = row.version
    _check_source(call, version)
    keeps = (call.header("x-amz-metadata-directive") or "COPY").upper() == "COPY"
    asked = told_of(call)
    is_same = (source_bucket, source_key, version_id) == (call.bucket, call.key, None)
    if is_same and keeps and not asked.storage_class:
        raise Invalid("bad_copy", "Copying an object to itself must change something.")
    if version.size > PART_BYTES_MAX:
        raise Invalid("too_large", "A copy takes at most 5 GiB. Copy it in parts.")
    told = asked
    if keeps:
        told = Told(
            headers=version.headers, metadata=version.metadata, tags=version.tags,
            storage_class=asked.storage_class, lock=asked.lock,
        )  # fmt: skip
    if (call.header("x-amz-tagging-directive") or "COPY").upper() == "REPLACE":
        told = Told(
            headers=told.headers, metadata=told.metadata, tags=asked.tags,
            storage_class=told.storage_class, lock=told.lock,
        )  # fmt: skip
    elif told.tags:
        source_id = version_id or ""
        authorize_object(call, "s3:GetObjectTagging", source_bucket, source_key, source_id)
        authorize_object(call, "s3:PutObjectTagging", call.bucket, call.key, "", told.tags)
    taken = await copy_in(call.objects, row, 0, version.size, version.checksum)
    made = await versions.put(
        call.objects, call.bucket, call.key, taken.content(), told, write_condition(call)
    )
    headers = _version_headers(made, call)
    if source.versioning != "off":
        headers.append(("x-amz-copy-source-version-id", version.version_id))
    return xml(f"<CopyObjectResult {NAMESPACE}>{_copied(made)}</CopyObjectResult>", 200, headers)


async def get_tags(call: Call) -> Response:
    """Tell the tags of an object."""
    version_id = call.query.get("versionId") or None
    row = present(versions.find(call.objects, bucket_of(call), call.key, version_id), version_id)
    told = "".join(
        f"<Tag><Key>{xml_text(key)}</Key><Value>{xml_text(value)}</Value></Tag>"
        for key, value in row.version.tags.items()
    )
    return xml(f"<Tagging {NAMESPACE}><TagSet>{told}</TagSet></Tagging>")


async def put_tags(call: Call) -> Response:
    """Give an object tags in place of those it has."""
    check_hope(call)
    document = parsed(await read_small(call), "Tagging")
    pairs = [(text_of(e, "Key"), text_of(e, "Value")) for e in document.iterfind("TagSet/Tag")]
    tags, version_id = _tags(pairs), call.query.get("versionId", "")
    authorize_object(call, "s3:PutObjectTagging", call.bucket, call.key, version_id, tags)
    await _change_tags(call, tags)
    return empty()


async def delete_tags(call: Call) -> Response:
    """Take the tags of an object away."""
    await _change_tags(call, {})
    return empty(204)


async def get_attributes(call: Call) -> Response:
    """Tell some of what is known of an object."""
    wanted = {each.strip() for each in (call.header("x-amz-object-attributes") or "").split(",")}
    if not wanted & {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}:
        raise Invalid("bad_argument", "x-amz-object-attributes says what to tell.")
    version_id = call.query.get("versionId") or None
    row = present(versions.find(call.objects, bucket_of(call), call.key, version_id), version_id)
    version, parts = row.version, ""
    if "ETag" in wanted:
        parts += f"<ETag>{version.etag}</ETag>"
    if "Checksum" in wanted and version.checksum:
        name = f"Checksum{version.checksum.algorithm}"
        parts += f"<Checksum><{name}>{checksum_text(version.checksum)}</{name}></Checksum>"
    if "ObjectParts" in wanted and version.parts:
        parts += f"<ObjectParts><PartsCount>{len(version.parts)}</PartsCount></ObjectParts>"
    if "StorageClass" in wanted:
        parts += f"<StorageClass>{version.storage_class or 'STANDARD'}</StorageClass>"
    if "ObjectSize" in wanted:
        parts += f"<ObjectSize>{version.size}</ObjectSize>"
    text = f"<GetObjectAttributesResponse {NAMESPACE}>{parts}</GetObjectAttributesResponse>"
    modified = ("Last-Modified", http_date(version.modified_at_ns))
    return xml(text, 200, [modified, *_version_headers(version, call)])


# -- what is said of an object --


def told_of(call: Call) -> Told:
    """Return what a request says of the object that it makes. Raises Invalid."""
    headers = {name: value for name in _SAID if (value := call.header(name))}
    if "aws-chunked" in headers.get("content-encoding", ""):
        kinds = [each.strip() for each in headers["content-encoding"].split(",")]
        kept = ",".join(each for each in kinds if each != "aws-chunked")
        headers["content-encoding"] = kept
        if not kept:
            del headers["content-encoding"]
    metadata = {
        name[len(_METADATA) :]: value
        for name, value in call.request.headers.items()
        if name.startswith(_METADATA)
    }
    if sum(len(name) + len(value) for name, value in metadata.items()) > _METADATA_BYTES_MAX:
        raise Invalid("metadata_too_large", "An object's metadata has at most 8 KiB.")
    check_acl(call)
    storage_class = call.header("x-amz-storage-class") or ""
    if storage_class and storage_class not in _STORAGE_CLASSES:
        raise Invalid("bad_storage_class", f"There is no storage class {storage_class[:40]!r}.")
    text = call.header("x-amz-tagging") or ""
    pairs = [part.partition("=")[::2] for part in text.split("&") if part]
    tags = _tags([(_query_text(name), _query_text(value)) for name, value in pairs])
    return Told(
        headers=headers, metadata=metadata, tags=tags,
        storage_class="" if storage_class == "STANDARD" else storage_class,
    )  # fmt: skip


def check_acl(call: Call) -> None:
    """Raise Invalid(no_acl) where a request wants an ACL that is not what holds anyway."""
    if (call.header("x-amz-acl") or "") not in _CANNED_ACLS:
        raise no_acl()


def no_acl() -> Invalid:
    """Return the error of who wants an ACL."""
    return Invalid("no_acl", "The bucket does not allow ACLs: its owner owns all that is in it.")


def _query_text(text: str) -> str:
    return unquote(text.replace("+", " "))


def _tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) < len(pairs) or len(tags) > _TAGS_MAX:
        raise Invalid("bad_tags", f"An object has at most {_TAGS_MAX} tags, no two of one name.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise Invalid("bad_tags", "A tag's key has 1 to 128 characters, its value up to 256.")
    return tags


async def _change_tags(call: Call, tags: dict[str, str]) -> None:
    def changed(version: Version, _now_ns: int) -> Version:
        if version.is_marker:
            raise _marker()
        return msgspec.structs.replace(version, tags=tags)

    version_id = call.query.get("versionId") or None
    await versions.change(call.objects, call.bucket, call.key, version_id, changed)


# -- giving --


async def _given(call: Call, *, with_body: bool) -> Response:
    bucket = bucket_of(call)
    version_id = call.query.get("versionId") or None
    row = present(versions.find(call.objects, bucket, call.key, version_id), version_id)
    version = row.version
    headers = _headers_of(version, bucket)
    if unchanged := _condition_of_get(call, version):
        return empty(unchanged, headers)
    begin, size, status = 0, version.size, 200
    if "partNumber" in call.query:
        begin, size = _part_range(call, version)
        status = 206
        if version.parts:
            headers.append(("x-amz-mp-parts-count", str(len(version.parts))))
    elif (found := _range_of(call, version)) is not None:
        begin, size = found
        status = 206
    if status == 206:
        headers.append(("Content-Range", f"bytes {begin}-{begin + size - 1}/{version.size}"))
    elif (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
        headers += checksum_headers(version.checksum)
    headers = _as_asked(call, headers)
    if not with_body:
        return Response(status, headers, b"", size)
    body = await reading.open_range(call.objects, row, begin, size)
    return Response(status, headers, body, size)


def _as_asked(call: Call, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return headers with those that the query sets, which only a signed request may."""
    if call.identity.is_anonymous:
        return headers
    asked = {
        name: "".join(letter for letter in value if letter >= " ")
        for name in _SAID
        if (value := call.query.get(f"response-{name}"))
    }
    return [each for each in headers if each[0].lower() not in asked] + list(asked.items())


def _headers_of(version: Version, bucket: Bucket) -> list[tuple[str, str]]:
    headers = [
        ("ETag", f'"{version.etag}"'), ("Last-Modified", http_date(version.modified_at_ns)),
        ("Accept-Ranges", "bytes"),
    ]  # fmt: skip
    headers += [(name, value) for name, value in version.headers.items()]
    if "content-type" not in version.headers:
        headers.append(("Content-Type", "binary/octet-stream"))
    headers += [(_METADATA + name, value) for name, value in version.metadata.items()]
    if bucket.versioning != "off":
        headers.append(("x-amz-version-id", version.version_id))
    if version.tags:
        headers.append(("x-amz-tagging-count", str(len(version.tags))))
    if version.storage_class:
        headers.append(("x-amz-storage-class", version.storage_class))
    return headers


def _condition_of_get(call: Call, version: Version) -> int | None:
    """Return 304 where the client has the object already. Raises Conflict(condition_failed)."""
    etag, modified_s = version.etag, version.modified_at_ns // 10**9
    if (text := call.header("if-match")) is not None:
        if not _etags(text) & {"*", etag}:
            raise Conflict("condition_failed", "The object is another one by now.")
    elif (text := call.header("if-unmodified-since")) is not None:
        since_s = seconds_of(text)
        if since_s is not None and modified_s > since_s:
            raise Conflict("condition_failed", "The object was modified since.")
    if (text := call.header("if-none-match")) is not None:
        return 304 if _etags(text) & {"*", etag} else None
    if (text := call.header("if-modified-since")) is not None:
        since_s = seconds_of(text)
        if since_s is not None and modified_s <= since_s:
            return 304
    return None


def _range_of(call: Call, version: Version) -> tuple[int, int] | None:
    """Return begin and size of the range that is asked for, None for all. Raises Invalid(bad_range)."""
    match = _RANGE.fullmatch((call.header("range") or "").strip())
    if match is None or not (match[1] or match[2]):
        return None  # as HTTP has it: what is not understood is not there
    if match[1]:
        begin = int(match[1])
        end = min(int(match[2]), version.size - 1) if match[2] else version.size - 1
        if match[2] and int(match[2]) < begin:
            return None
    else:
        begin, end = max(0, version.size - int(match[2])), version.size - 1
        if int(match[2]) == 0:
            begin = version.size
    if begin >= version.size:
        raise Invalid("bad_range", "The range lies behind the end of the object.")
    return begin, end - begin + 1


def _part_range(call: Call, version: Version) -> tuple[int, int]:
    number = call.number("partNumber", 1, 10_000)
    sizes = [size for _, size in version.parts] or [version.size]
    if not 1 <= number <= len(sizes):
        raise Invalid("bad_range", f"The object has {len(sizes)} parts.")
    return sum(sizes[: number - 1]), sizes[number - 1]


def present(row: Row, version_id: str | None) -> Row:
    """Return row if it is no delete marker. Raises NotFound(no_such_key), Invalid(is_marker)."""
    if row.version.is_marker:
        if version_id is None:
            raise NotFound("no_such_key", "The object was deleted.")
        raise _marker()
    return row


def _marker() -> Invalid:
    return Invalid("is_marker", "That version is a delete marker.")


def _version_headers(version: Version, call: Call) -> list[tuple[str, str]]:
    bucket = buckets.find(call.objects, call.bucket)
    return [] if bucket.versioning == "off" else [("x-amz-version-id", version.version_id)]


def checksum_headers(checksum: Checksum | None) -> list[tuple[str, str]]:
    """Return the headers that tell a checksum."""
    if checksum is None:
        return []
    kind = "COMPOSITE" if checksum.parts else "FULL_OBJECT"
    return [
        (checksum_header(checksum.algorithm), checksum_text(checksum)),
        ("x-amz-checksum-type", kind),
    ]


def checksum_text(checksum: Checksum) -> str:
    """Return a checksum as S3 writes it."""
    text = base64.b64encode(checksum.value).decode()
    return f"{text}-{checksum.parts}" if checksum.parts else text


# -- conditions and sources --


def _etags(text: str) -> set[str]:
    return {each.strip().removeprefix("W/").strip('"') for each in text.split(",")}


def write_condition(call: Call) -> Condition:
    """Return under which condition a request writes. Raises Invalid."""
    match, none = call.header("if-match"), call.header("if-none-match")
    if none is not None:
        if none.strip() != "*" or match is not None:
            raise Invalid("bad_argument", "If-None-Match of a write is *, alone.")
        return Condition(is_absent=True)
    return Condition(etags=frozenset(_etags(match))) if match is not None else versions.NO_CONDITION


def _delete_condition(call: Call) -> Condition:
    match = call.header("if-match")
    modified = call.header("x-amz-if-match-last-modified-time")
    size = call.header("x-amz-if-match-size")
    if match is None and modified is None and size is None:
        return versions.NO_CONDITION
    modified_s = seconds_of(modified) if modified else None
    if size is not None and (not size.isdecimal() or int(size[:20]) > OBJECT_BYTES_MAX):
        raise Invalid("bad_argument", "x-amz-if-match-size is a number.")
    return Condition(
        etags=frozenset(_etags(match)) if match is not None else frozenset(),
        modified_at_s=modified_s, size=int(size) if size is not None else None,
    )  # fmt: skip


def source_of(call: Call) -> tuple[str, str, str | None]:
    """Return bucket, key and version of the source of a copy, which may be read.

    Raises Invalid(bad_copy_source), Denied(access_denied).
    """
    text = call.header("x-amz-copy-source") or ""
    path, _, query = text.partition("?")
    try:
        # Some clients encode the slash between bucket and key as well.
        path = unquote_to_bytes(path).decode().removeprefix("/")
    except UnicodeDecodeError:
        path = ""
    bucket, _, key = path.partition("/")
    version_id = query.removeprefix("versionId=") if query.startswith("versionId=") else None
    if not bucket or not key:
        raise Invalid("bad_copy_source", "x-amz-copy-source is BUCKET/KEY, encoded.")
    authorize_object(call, "s3:GetObject", bucket, key, version_id or "")
    return bucket, key, version_id


def _check_source(call: Call, version: Version) -> None:
    prefix = "x-amz-copy-source-if-"
    modified_s = version.modified_at_ns // 10**9
    match, none = call.header(prefix + "match"), call.header(prefix + "none-match")
    since = seconds_of(call.header(prefix + "modified-since") or "")
    before = seconds_of(call.header(prefix + "unmodified-since") or "")
    is_wrong = (
        (match is not None and not _etags(match) & {"*", version.etag})
        or (none is not None and bool(_etags(none) & {"*", version.etag}))
        or (since is not None and modified_s <= since)
        or (match is None and before is not None and modified_s > before)
    )
    if is_wrong:
        raise Conflict("condition_failed", "The source is not as the request wants it.")


def _copied(version: Version) -> str:
    text = f"<LastModified>{iso(version.modified_at_ns)}</LastModified>"
    text += f"<ETag>&quot;{version.etag}&quot;</ETag>"
    if version.checksum is not None:
        name = f"Checksum{version.checksum.algorithm}"
        text += f"<{name}>{checksum_text(version.checksum)}</{name}>"
    return text


OPERATIONS = (
    Operation(
        name="CopyObject", method="PUT", on="object", handler=copy_object,
        header="x-amz-copy-source", action="s3:PutObject",
    ),
    Operation(name="PutObject", method="PUT", on="object", handler=put_object),
    Operation(name="GetObject", method="GET", on="object", handler=get_object),
    Operation(
        name="HeadObject", method="HEAD", on="object", handler=head_object, action="s3:GetObject"
    ),
    Operation(name="DeleteObject", method="DELETE", on="object", handler=delete_object),
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
        name="GetObjectAttributes", method="GET", on="object", handler=get_attributes,
        query={"attributes": ""},
    ),
)  # fmt: skip
