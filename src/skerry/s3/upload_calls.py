"""Operations on multipart uploads: begin, put parts, list, complete, give up."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from skerry.base import Invalid
from skerry.objects import buckets, listing, quotas, uploads, versions
from skerry.objects.combine import combined
from skerry.objects.model import PART_BYTES_MAX, Checksum, Part, Upload
from skerry.objects.uploads import Chosen, Summing
from skerry.s3.bucket_calls import owner_xml
from skerry.s3.call import NAMESPACE, Call, bucket_of, check_length, empty, iso, xml
from skerry.s3.encryption import (
    encryption_headers,
    opened_source,
    sealing_of,
    sealing_of_part,
)
from skerry.s3.errors import xml_text
from skerry.s3.ingest import (
    ALGORITHMS,
    checksum_value,
    copy_in,
    digest_of,
    expectations,
    read_small,
    take,
)
from skerry.s3.listing_calls import encoder
from skerry.s3.lock_headers import check_digest
from skerry.s3.object_calls import (
    check_source,
    checksum_headers,
    checksum_xml,
    part_number,
    present,
    source_of,
    told_of,
    write_condition,
)
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from skerry.s3.connection import Response
    from skerry.s3.ingest import Expected

_PAGE_MAX = 1000
_SOURCE_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")


async def create_upload(call: Call) -> Response:
    """Begin an upload."""
    wanted = (call.header("x-amz-checksum-algorithm") or "").lower()
    algorithm = ALGORITHMS.get(wanted)
    if wanted and algorithm is None:
        raise Invalid("bad_checksum", f"There is no checksum {wanted[:20]!r}.")
    kind = (call.header("x-amz-checksum-type") or "").upper()
    is_whole = kind == "FULL_OBJECT" or (algorithm == "CRC64NVME")
    if is_whole and (algorithm is None or algorithm.startswith("SHA")):
        raise Invalid("bad_checksum", "Only a CRC can be of the full object.")
    sealing = sealing_of(call, bucket_of(call))
    upload = await uploads.begin(
        call.objects, call.bucket, call.key, call.identity.account, told_of(call),
        Summing(algorithm, is_whole), sealing.said if sealing is not None else b"",
    )  # fmt: skip
    headers = encryption_headers(call, upload.sealed)
    if algorithm is not None:
        headers += [("x-amz-checksum-algorithm", algorithm),
                    ("x-amz-checksum-type", _kind(upload))]  # fmt: skip
    return xml(
        f"<InitiateMultipartUploadResult {NAMESPACE}><Bucket>{call.bucket}</Bucket>"
        f"<Key>{xml_text(call.key)}</Key><UploadId>{upload.upload_id}</UploadId>"
        "</InitiateMultipartUploadResult>", 200, headers,
    )  # fmt: skip


async def upload_part(call: Call) -> Response:
    """Put a part."""
    check_length(call)
    upload, number = _upload_of(call), part_number(call)
    expected, chunks = expectations(call)
    if expected.size > PART_BYTES_MAX:
        raise Invalid("too_large", "A part has at most 5 GiB.")
    check_digest(bucket_of(call), upload.lock, expected)
    sealing = sealing_of_part(call, upload)
    quotas.foresee_part(call.objects, upload, number, expected.size)
    expected = _with_algorithm(expected, upload)
    taken = await take(call.objects, call.request.body.pieces(), expected, chunks, sealing)
    part = await uploads.put_part(
        call.objects, upload, number, taken.piece, taken.data, taken.md5, taken.known()
    )
    return empty(200, [("ETag", f'"{part.md5.hex()}"'), *checksum_headers(part.checksum)[:1],
                       *encryption_headers(call, upload.sealed)])  # fmt: skip


async def upload_part_copy(call: Call) -> Response:
    """Put a part with bytes of an object."""
    upload, number = _upload_of(call), part_number(call)
    bucket, key, version_id = source_of(call)
    source = buckets.find(call.objects, bucket)
    row = present(versions.find(call.objects, source, key, version_id), version_id)
    check_source(call, row.version)
    source_keys, sealing = opened_source(call, bucket, row.version), sealing_of_part(call, upload)
    begin, size = 0, row.version.size
    if (text := call.header("x-amz-copy-source-range")) is not None:
        match = _SOURCE_RANGE.fullmatch(text)
        if match is None or not int(match[1]) <= int(match[2]) < row.version.size:
            raise Invalid("bad_argument", "x-amz-copy-source-range lies within the source.")
        begin, size = int(match[1]), int(match[2]) - int(match[1]) + 1
    if size > PART_BYTES_MAX:
        raise Invalid("too_large", "A part has at most 5 GiB.")
    quotas.foresee_part(call.objects, upload, number, size)
    like = Checksum(upload.algorithm, b"") if upload.algorithm else None
    taken = await copy_in(call.objects, row, begin, size, like, source_keys, sealing)
    part = await uploads.put_part(
        call.objects, upload, number, taken.piece, taken.data, taken.md5, taken.known()
    )
    told = [("x-amz-copy-source-version-id", row.version.version_id)]
    told = told if source.versioning != "off" else []
    told += encryption_headers(call, upload.sealed)
    return xml(
        f"<CopyPartResult {NAMESPACE}><LastModified>{iso(part.modified_at_ns)}</LastModified>"
        f"<ETag>&quot;{part.md5.hex()}&quot;</ETag>{checksum_xml(part.checksum)}</CopyPartResult>",
        200, told,
    )  # fmt: skip


async def complete_upload(call: Call) -> Response:
    """Make the object of its parts."""
    document = parsed(await read_small(call), "CompleteMultipartUpload")
    chosen = [_chosen(each) for each in document.findall("Part")]
    if not chosen:
        raise bad_xml("Name the parts that the object shall have.")
    said, size, kind = _whole_said(call), _size_said(call), call.header("x-amz-checksum-type")

    def checksum_of(upload: Upload, parts: Sequence[Part]) -> Checksum | None:
        made = _checksum(upload, parts)
        if size is not None and size != sum(part.size for part in parts):
            raise Invalid("bad_checksum", "The parts have another size than x-amz-mp-object-size.")
        if kind is not None and upload.algorithm and kind.upper() != _kind(upload):
            raise Invalid("bad_checksum", f"The upload was begun with the type {_kind(upload)}.")
        if said is not None and (made is None or said != (made.algorithm, made.value)):
            raise Invalid("bad_digest", "The object does not fit the checksum that is said.")
        return made

    version = await uploads.complete(
        call.objects, call.bucket, call.key, _upload_id(call), chosen, write_condition(call),
        checksum_of,
    )  # fmt: skip
    headers = encryption_headers(call, version.sealed)
    if bucket_of(call).versioning != "off":
        headers.append(("x-amz-version-id", version.version_id))
    checksum = checksum_xml(version.checksum)
    if version.checksum is not None:
        made = "COMPOSITE" if version.checksum.parts else "FULL_OBJECT"
        checksum += f"<ChecksumType>{made}</ChecksumType>"
    place = f"http://{xml_text(call.header('host') or '')}/{call.bucket}/{quote(call.key)}"
    return xml(
        f"<CompleteMultipartUploadResult {NAMESPACE}><Location>{place}</Location>"
        f"<Bucket>{call.bucket}</Bucket><Key>{xml_text(call.key)}</Key>"
        f"<ETag>&quot;{version.etag}&quot;</ETag>{checksum}</CompleteMultipartUploadResult>",
        200, headers,
    )  # fmt: skip


async def abort_upload(call: Call) -> Response:
    """Give an upload up."""
    await uploads.give_up(call.objects, call.bucket, call.key, _upload_id(call))
    return empty(204)


async def list_parts(call: Call) -> Response:
    """List the parts of an upload."""
    upload = _upload_of(call)
    limit = call.number("max-parts", _PAGE_MAX, _PAGE_MAX)
    after = call.number("part-number-marker", 0, 10_000)
    found = uploads.parts(call.objects, upload.upload_id, after, limit + 1)
    more, found = 0 < limit < len(found), found[:limit]
    told = "".join(
        f"<Part><PartNumber>{each.number}</PartNumber>"
        f"<LastModified>{iso(each.modified_at_ns)}</LastModified>"
        f"<ETag>&quot;{each.md5.hex()}&quot;</ETag>{checksum_xml(each.checksum)}"
        f"<Size>{each.size}</Size></Part>"
        for each in found
    )
    summed = ""
    if upload.algorithm is not None:
        summed = f"<ChecksumAlgorithm>{upload.algorithm}</ChecksumAlgorithm>"
        summed += f"<ChecksumType>{_kind(upload)}</ChecksumType>"
    following = f"<NextPartNumberMarker>{found[-1].number}</NextPartNumberMarker>" if found else ""
    return xml(
        f"<ListPartsResult {NAMESPACE}><Bucket>{call.bucket}</Bucket>"
        f"<Key>{xml_text(call.key)}</Key><UploadId>{upload.upload_id}</UploadId>"
        f"{owner_xml(upload.owner, 'Initiator')}{owner_xml(upload.owner)}"
        f"<StorageClass>{upload.storage_class or 'STANDARD'}</StorageClass>"
        f"{summed}<PartNumberMarker>{after}</PartNumberMarker>{following}<MaxParts>{limit}</MaxParts>"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{told}</ListPartsResult>"
    )


async def list_uploads(call: Call) -> Response:
    """List the uploads under way in a bucket."""
    bucket, encode = bucket_of(call), encoder(call)
    limit = call.number("max-uploads", _PAGE_MAX, _PAGE_MAX)
    prefix, after = call.query.get("prefix", ""), call.query.get("key-marker", "")
    delimiter, after_id = call.query.get("delimiter", ""), call.query.get("upload-id-marker", "")
    found = listing.upload_page(
        call.objects, bucket, prefix=prefix, delimiter=delimiter, limit=limit,
        after=(after, after_id if after else ""),
    )  # fmt: skip
    told = "".join(_under_way(each, encode(each.key)) for each in found.uploads)
    told += "".join(
        f"<CommonPrefixes><Prefix>{encode(each)}</Prefix></CommonPrefixes>"
        for each in found.prefixes
    )
    following = ""
    if found.next is not None:
        following = (
            f"<NextKeyMarker>{encode(found.next[0])}</NextKeyMarker>"
            f"<NextUploadIdMarker>{found.next[1]}</NextUploadIdMarker>"
        )
    if delimiter:
        following += f"<Delimiter>{encode(delimiter)}</Delimiter>"
    if "encoding-type" in call.query:
        following += "<EncodingType>url</EncodingType>"
    return xml(
        f"<ListMultipartUploadsResult {NAMESPACE}><Bucket>{bucket.name}</Bucket>"
        f"<KeyMarker>{encode(after)}</KeyMarker><UploadIdMarker>{xml_text(after_id)}"
        f"</UploadIdMarker>{following}<Prefix>{encode(prefix)}</Prefix>"
        f"<MaxUploads>{limit}</MaxUploads>"
        f"<IsTruncated>{'true' if found.next is not None else 'false'}</IsTruncated>{told}"
        "</ListMultipartUploadsResult>"
    )


def _under_way(upload: Upload, key: str) -> str:
    algorithm = upload.algorithm
    summed = f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm>" if algorithm else ""
    return (
        f"<Upload><Key>{key}</Key><UploadId>{upload.upload_id}</UploadId>"
        f"{owner_xml(upload.owner, 'Initiator')}{owner_xml(upload.owner)}"
        f"<StorageClass>{upload.storage_class or 'STANDARD'}</StorageClass>"
        f"<Initiated>{iso(upload.begun_at_ns)}</Initiated>{summed}</Upload>"
    )


def _upload_of(call: Call) -> Upload:
    return uploads.find(call.objects, bucket_of(call), call.key, _upload_id(call))


def _upload_id(call: Call) -> str:
    return call.query.get("uploadId", "")


def _chosen(element: Element) -> Chosen:
    number = text_of(element, "PartNumber")
    if not number.isdecimal() or len(number) > 5:
        raise bad_xml("A part has a PartNumber.")
    checksum: bytes | None = None
    for algorithm in ALGORITHMS.values():
        if text := text_of(element, f"Checksum{algorithm}"):
            checksum = checksum_value(algorithm, text)
    return Chosen(
        number=int(number), etag=text_of(element, "ETag").strip().strip('"'), checksum=checksum
    )


def _with_algorithm(expected: Expected, upload: Upload) -> Expected:
    """Return what is expected of a part: the checksum that the upload was begun with, as AWS."""
    if upload.algorithm is None or expected.algorithm == upload.algorithm:
        return expected
    if expected.algorithm is not None:
        raise Invalid(
            "bad_checksum",
            f"The upload was begun with checksums {upload.algorithm}, not {expected.algorithm}.",
        )
    return dataclasses.replace(expected, algorithm=upload.algorithm)


def _kind(upload: Upload) -> str:
    return "FULL_OBJECT" if upload.is_whole else "COMPOSITE"


def _size_said(call: Call) -> int | None:
    text = call.header("x-amz-mp-object-size")
    if text is not None and (not text.isdecimal() or len(text) > 19):
        raise Invalid("bad_argument", "x-amz-mp-object-size is a number.")
    return None if text is None else int(text)


def _whole_said(call: Call) -> tuple[str, bytes] | None:
    for name, algorithm in ALGORITHMS.items():
        text = call.header(f"x-amz-checksum-{name}")
        if text is not None and "-" not in text:
            return algorithm, checksum_value(algorithm, text)
    return None


def _checksum(upload: Upload, parts: Sequence[Part]) -> Checksum | None:
    """Return the checksum of an object, made of those of its parts."""
    algorithm = upload.algorithm
    if algorithm is None:
        return None
    values = [
        part.checksum.value
        for part in parts
        if part.checksum is not None and part.checksum.algorithm == algorithm
    ]
    if len(values) < len(parts):
        return None
    if upload.is_whole:
        sizes = [part.size for part in parts]
        return Checksum(algorithm, combined(algorithm, list(zip(values, sizes, strict=True))))
    digest = digest_of(algorithm)
    digest.update(b"".join(values))
    return Checksum(algorithm, digest.digest(), len(parts))


OPERATIONS = (
    Operation(
        name="CreateMultipartUpload", method="POST", on="object", handler=create_upload,
        query={"uploads": ""}, action="s3:PutObject",
    ),
    Operation(
        name="UploadPartCopy", method="PUT", on="object", handler=upload_part_copy,
        query={"partNumber": "", "uploadId": ""}, header="x-amz-copy-source",
        action="s3:PutObject",
    ),
    Operation(
        name="UploadPart", method="PUT", on="object", handler=upload_part,
        query={"partNumber": "", "uploadId": ""}, action="s3:PutObject",
    ),
    Operation(
        name="CompleteMultipartUpload", method="POST", on="object", handler=complete_upload,
        query={"uploadId": ""}, action="s3:PutObject",
    ),
    Operation(
        name="AbortMultipartUpload", method="DELETE", on="object", handler=abort_upload,
        query={"uploadId": ""},
    ),
    Operation(
        name="ListParts", method="GET", on="object", handler=list_parts, query={"uploadId": ""},
        action="s3:ListMultipartUploadParts",
    ),
    Operation(
        name="ListMultipartUploads", method="GET", on="bucket", handler=list_uploads,
        query={"uploads": ""}, action="s3:ListBucketMultipartUploads",
    ),
)  # fmt: skip
