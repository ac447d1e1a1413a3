"""GetObjectAttributes: what is known of an object, and of the parts that it was uploaded in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import Invalid
from skerry.objects import uploads, versions
from skerry.s3.call import NAMESPACE, Call, bucket_of, http_date, xml
from skerry.s3.encryption import opened
from skerry.s3.object_calls import checksum_xml, present, version_headers
from skerry.s3.router import Operation

if TYPE_CHECKING:
    from skerry.objects.model import Version
    from skerry.s3.connection import Response

_KNOWN = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
_PARTS_PAGE_MAX = 1000


async def get_attributes(call: Call) -> Response:
    """Tell some of what is known of an object."""
    asked = call.header("x-amz-object-attributes") or ""
    wanted = {each.strip() for each in asked.split(",")}
    if not wanted <= _KNOWN:
        known = ", ".join(sorted(_KNOWN))
        raise Invalid("bad_argument", f"x-amz-object-attributes is made of: {known}.")
    version_id = call.query.get("versionId") or None
    row = present(versions.find(call.objects, bucket_of(call), call.key, version_id), version_id)
    version, parts = row.version, ""
    opened(call, version)  # as AWS: who has not the key is not told of checksums either
    if "ETag" in wanted:
        parts += f"<ETag>{version.etag}</ETag>"
    if "Checksum" in wanted and version.checksum:
        kind = "COMPOSITE" if version.checksum.parts else "FULL_OBJECT"
        told = f"{checksum_xml(version.checksum)}<ChecksumType>{kind}</ChecksumType>"
        parts += f"<Checksum>{told}</Checksum>"
    if "ObjectParts" in wanted and version.parts:
        parts += f"<ObjectParts>{_parts(call, version)}</ObjectParts>"
    if "StorageClass" in wanted:
        parts += f"<StorageClass>{version.storage_class or 'STANDARD'}</StorageClass>"
    if "ObjectSize" in wanted:
        parts += f"<ObjectSize>{version.size}</ObjectSize>"
    text = f"<GetObjectAttributesResponse {NAMESPACE}>{parts}</GetObjectAttributesResponse>"
    modified = ("Last-Modified", http_date(version.modified_at_ns))
    return xml(text, 200, [modified, *version_headers(version, call)])


def _parts(call: Call, version: Version) -> str:
    """Return a page of parts, numbered as they are got by their number: from 1, without gaps."""
    limit = _number(call, "x-amz-max-parts", _PARTS_PAGE_MAX, _PARTS_PAGE_MAX)
    after = _number(call, "x-amz-part-number-marker", 0, len(version.parts))
    page = version.parts[after : after + limit]
    first = page[0][0] if page else 0
    kept = {
        part.number: part.checksum
        for part in uploads.parts(call.objects, version.upload_id, first - 1, len(page))
    }
    told = "".join(
        f"<Part>{checksum_xml(kept.get(number))}<PartNumber>{after + index}</PartNumber>"
        f"<Size>{size}</Size></Part>"
        for index, (number, size) in enumerate(page, 1)
    )
    end = after + len(page)
    return (
        f"<IsTruncated>{'true' if end < len(version.parts) else 'false'}</IsTruncated>"
        f"<MaxParts>{limit}</MaxParts><NextPartNumberMarker>{end}</NextPartNumberMarker>"
        f"<PartNumberMarker>{after}</PartNumberMarker>{told}"
        f"<PartsCount>{len(version.parts)}</PartsCount>"
    )


def _number(call: Call, name: str, default: int, highest: int) -> int:
    text = call.header(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise Invalid("bad_argument", f"{name} is a number.")
    return min(int(text), highest)


OPERATIONS = (
    Operation(
        name="GetObjectAttributes", method="GET", on="object", handler=get_attributes,
        query={"attributes": ""},
    ),
)  # fmt: skip
