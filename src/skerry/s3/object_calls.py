"""Operations on objects: put, get, head, delete, copy."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from skerry.base import Conflict, Invalid, NotBuilt, NotFound
from skerry.objects import buckets, quotas, reading, uploads, versions
from skerry.objects.model import PART_BYTES_MAX, Checksum, Version
from skerry.objects.versions import Condition, Told
from skerry.s3.access import authorize_object, bypasses_governance
from skerry.s3.call import (
    NAMESPACE,
    Call,
    bucket_of,
    check_length,
    checksum_header,
    empty,
    expect_owner,
    http_date,
    iso,
    seconds_of,
    xml,
)
from skerry.s3.connection import Response
from skerry.s3.encryption import HEADER, encryption_headers, opened, opened_source, sealing_of
from skerry.s3.ingest import copy_in, expectations, take, wanted_algorithm
from skerry.s3.lock_headers import check_digest, lock_headers, lock_of
from skerry.s3.router import Operation
from skerry.s3.tags import tags_in_header

if TYPE_CHECKING:
    from skerry.objects import Row
    from skerry.objects.model import Bucket

REDIRECT = "x-amz-website-redirect-location"
"""The header of an object that sends visitors of a website elsewhere."""

_SAID = ("cache-control", "content-disposition", "content-encoding", "content-language",
         "content-type", "expires", REDIRECT)  # fmt: skip
_METADATA = "x-amz-meta-"
_METADATA_BYTES_MAX = 8 << 10  # AWS has 2 KiB; clients that ask for more are not hurt
_SIZE_DIGITS_MAX = 19
_RANGE = re.compile(r"bytes=([0-9]{0,64})-([0-9]{0,64})")  # far behind the end is its end
_CANNED_ACLS = frozenset({"", "private", "bucket-owner-full-control", "bucket-owner-read"})
_STORAGE_CLASSES = frozenset(
    {"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"}
)


async def put_object(call: Call) -> Response:
    """Put an object."""
    check_length(call)
    told, condition = told_of(call), write_condition(call)
    expected, chunks = expectations(call)
    if call.header("x-amz-write-offset-bytes") is not None:
        raise NotBuilt("not_implemented", "Appending to an object is not built in Skerry.")
    if expected.size > PART_BYTES_MAX:
        raise Invalid("too_large", "One PUT takes at most 5 GiB. Upload it in parts.")
    bucket = bucket_of(call)
    check_digest(bucket, told.lock, expected)
    quotas.foresee_put(call.objects, bucket, call.key, expected.size)
    sealing = sealing_of(call, bucket)
    taken = await take(call.objects, call.request.body.pieces(), expected, chunks, sealing)
    version = await versions.put(
        call.objects, call.bucket, call.key, taken.content(), told, condition
    )
    return empty(200, [("ETag", f'"{version.etag}"'), *version_headers(version, call),
                       *checksum_headers(version.checksum),
                       *encryption_headers(call, version.sealed)])  # fmt: skip


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
    check_source(call, version)
    source_keys = opened_source(call, source_bucket, version)
    keeps, keeps_tags = _directive(call, "metadata"), _directive(call, "tagging")
    asked, algorithm = told_of(call), wanted_algorithm(call.request.headers)
    is_same = (source_bucket, source_key, version_id) == (call.bucket, call.key, None)
    sealing = sealing_of(call, bucket_of(call))
    changes = asked.storage_class or REDIRECT in asked.headers or _names_encryption(call)
    if is_same and keeps and not changes:
        raise Invalid("bad_copy", "Copying an object to itself must change something.")
    if version.size > PART_BYTES_MAX:
        raise Invalid("too_large", "A copy takes at most 5 GiB. Copy it in parts.")
    told = asked = dataclasses.replace(asked, made_by="copy")
    if keeps:
        headers = {name: value for name, value in version.headers.items() if name != REDIRECT}
        headers |= {name: value for name, value in asked.headers.items() if name == REDIRECT}
        told = dataclasses.replace(asked, headers=headers, metadata=version.metadata)
    if keeps_tags:
        told = dataclasses.replace(told, tags=version.tags)
        if told.tags:
            source_id = version_id or ""
            authorize_object(call, "s3:GetObjectTagging", source_bucket, source_key, source_id)
            authorize_object(call, "s3:PutObjectTagging", call.bucket, call.key, "", told.tags)
    like = Checksum(algorithm, b"") if algorithm else version.checksum
    quotas.foresee_put(call.objects, bucket_of(call), call.key, version.size)
    taken = await copy_in(call.objects, row, 0, version.size, like, source_keys, sealing)
    made = await versions.put(
        call.objects, call.bucket, call.key, taken.content(), told, write_condition(call)
    )
    headers = [*version_headers(made, call), *encryption_headers(call, made.sealed)]
    if source.versioning != "off":
        headers.append(("x-amz-copy-source-version-id", version.version_id))
    return xml(f"<CopyObjectResult {NAMESPACE}>{_copied(made)}</CopyObjectResult>", 200, headers)


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
    if not headers.get(REDIRECT, "/").startswith(("/", "http://", "https://")):
        raise Invalid("bad_redirect", f"{REDIRECT} begins with '/', 'http://' or 'https://'.")
    metadata = {
        name[len(_METADATA) :]: value
        for name, value in call.request.headers.items()
        if name.startswith(_METADATA)
    }
    if sum(len(name) + len(value) for name, value in metadata.items()) > _METADATA_BYTES_MAX:
        raise Invalid("metadata_too_large", "An object's metadata has at most 8 KiB.")
    # Presigned URLs hold headers too, where a line may end: nothing more may follow in an answer.
    if any(
        "\n" in text or "\r" in text
        for each in (headers, metadata)
        for text in (*each, *each.values())
    ):
        raise Invalid("bad_argument", "What is said of an object has no ends of lines.")
    check_acl(call)
    storage_class = call.header("x-amz-storage-class") or ""
    if storage_class and storage_class not in _STORAGE_CLASSES:
        raise Invalid("bad_storage_class", f"There is no storage class {storage_class[:40]!r}.")
    tags = tags_in_header(call.header("x-amz-tagging") or "")
    return Told(
        headers=headers, metadata=metadata, tags=tags,
        storage_class="" if storage_class == "STANDARD" else storage_class, lock=lock_of(call),
        made_by="post" if call.request.operation == "PostObject" else "",
    )  # fmt: skip


def check_acl(call: Call) -> None:
    """Raise Invalid(no_acl) where a request wants an ACL that is not what holds anyway."""
    has_grants = any(name.startswith("x-amz-grant-") for name in call.request.headers)
    if has_grants or (call.header("x-amz-acl") or "") not in _CANNED_ACLS:
        raise no_acl()


def no_acl() -> Invalid:
    """Return the error of who wants an ACL."""
    return Invalid("no_acl", "The bucket does not allow ACLs: its owner owns all that is in it.")


# -- giving --


async def _given(call: Call, *, with_body: bool) -> Response:
    bucket = bucket_of(call)
    version_id = call.query.get("versionId") or None
    row = present(versions.find(call.objects, bucket, call.key, version_id), version_id)
    version = row.version
    keys = opened(call, version)
    headers = [*_headers_of(version, bucket), *lock_headers(call, version),
               *encryption_headers(call, version.sealed)]  # fmt: skip
    if unchanged := _condition_of_get(call, version):
        return empty(unchanged, headers)
    begin, size, status, checksum = 0, version.size, 200, version.checksum
    if "partNumber" in call.query:
        if "range" in call.request.headers:
            raise Invalid("part_and_range", "Ask for a part or for a range, not for both.")
        begin, size, checksum = _part_of(call, version)
        status = 206 if size else 200  # no range is written that has no bytes
        if version.parts:
            headers.append(("x-amz-mp-parts-count", str(len(version.parts))))
    elif (found := _range_of(call, version)) is not None:
        begin, size = found
        status, checksum = 206, None
    if status == 206:
        headers.append(("Content-Range", f"bytes {begin}-{begin + size - 1}/{version.size}"))
    if (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED":
        headers += checksum_headers(checksum)
    headers = _as_asked(call, headers)
    if not with_body:
        return Response(status, headers, b"", size)
    body = await reading.open_range(call.objects, row, begin, size, keys)
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
    is_other = (text := call.header("if-range")) is not None and not _is_same(text, version)
    if match is None or not (match[1] or match[2]) or is_other:
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


def _is_same(text: str, version: Version) -> bool:
    """Tell whether If-Range means this version: who goes on with another one gets it whole."""
    since_s = seconds_of(text)
    same_s = version.modified_at_ns // 10**9
    return text.strip().strip('"') == version.etag if since_s is None else since_s == same_s


def _part_of(call: Call, version: Version) -> tuple[int, int, Checksum | None]:
    """Return begin, size and checksum of a part, by its place among the parts."""
    index = part_number(call)
    parts = version.parts or ((1, version.size),)
    if index > len(parts):
        raise Invalid("no_such_part", f"The object has {len(parts)} parts.")
    number, size = parts[index - 1]
    checksum = version.checksum
    if version.upload_id:
        kept = uploads.parts(call.objects, version.upload_id, number - 1, 1)
        checksum = kept[0].checksum if kept else None
    return sum(each for _, each in parts[: index - 1]), size, checksum


def part_number(call: Call) -> int:
    """Return the number of a part in the query. Raises Invalid(bad_part_number)."""
    text = call.query.get("partNumber", "")
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 10_000:
        raise Invalid("bad_part_number", "Parts are numbered from 1 to 10000.")
    return int(text)


def present(row: Row, version_id: str | None) -> Row:
    """Return row if it is no delete marker. Raises NotFound(no_such_key), Invalid(is_marker)."""
    if row.version.is_marker:
        if version_id is None:
            gone = {"marker": row.version.version_id}
            raise NotFound("no_such_key", "The object was deleted.", gone)
        raise marker(row.version)
    return row


def marker(version: Version) -> Invalid:
    """Return the error of who asks for the bytes of a marker."""
    told = {"marker": version.version_id, "modified": http_date(version.modified_at_ns)}
    return Invalid("is_marker", "That version is a delete marker.", told)


def version_headers(version: Version, call: Call) -> list[tuple[str, str]]:
    """Return the header that tells which version is meant, where there can be several."""
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


def checksum_xml(checksum: Checksum | None) -> str:
    """Return a checksum as documents have it, nothing if there is none."""
    if checksum is None:
        return ""
    name = f"Checksum{checksum.algorithm}"
    return f"<{name}>{checksum_text(checksum)}</{name}>"


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
    modified_s = seconds_of(modified) if modified is not None else None
    if modified is not None and modified_s is None:
        raise Invalid("bad_argument", "x-amz-if-match-last-modified-time is a date of HTTP.")
    if size is not None and (not size.isdecimal() or len(size) > _SIZE_DIGITS_MAX):
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
    expect_owner(call, bucket, "x-amz-source-expected-bucket-owner")
    return bucket, key, version_id


def _directive(call: Call, what: str) -> bool:
    """Return whether a copy keeps what its source has."""
    text = (call.header(f"x-amz-{what}-directive") or "COPY").upper()
    if text not in ("COPY", "REPLACE"):
        raise Invalid("bad_argument", f"x-amz-{what}-directive is COPY or REPLACE.")
    return text == "COPY"


def check_source(call: Call, version: Version) -> None:
    """Raise Conflict(condition_failed) where the source of a copy is not as it shall be."""
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


def _names_encryption(call: Call) -> bool:
    return HEADER in call.request.headers or f"{HEADER}-customer-key" in call.request.headers


def _copied(version: Version) -> str:
    text = f"<LastModified>{iso(version.modified_at_ns)}</LastModified>"
    text += f"<ETag>&quot;{version.etag}&quot;</ETag>"
    return text + checksum_xml(version.checksum)


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
)  # fmt: skip
