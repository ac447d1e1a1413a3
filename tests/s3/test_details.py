"""What answers tell beside the bytes, and what is agreed to because it holds anyway."""

import base64
import hashlib
from pathlib import Path

import pytest

from skerry.objects import buckets, uploads
from skerry.objects.versions import Told
from tests.s3.site import Answer, Site, parsed, presigned, tell

OWNERSHIP = (
    b"<OwnershipControls><Rule><ObjectOwnership>%b</ObjectOwnership></Rule></OwnershipControls>"
)
TAGS = "<Tagging><TagSet>%s</TagSet></Tagging>"
TAG = "<Tag><Key>%s</Key><Value>%s</Value></Tag>"
PART_BYTES = 5 << 20


def tags(**pairs: str) -> bytes:
    return (TAGS % "".join(TAG % pair for pair in pairs.items())).encode()


def between(answer: Answer, name: str) -> list[str]:
    """Return the texts of all elements of that name."""
    rest = answer.body.decode().split(f"<{name}>")[1:]
    return [each.partition(f"</{name}>")[0] for each in rest]


async def versioned(site: Site) -> None:
    await buckets.make(site.objects, "kept", "root", has_lock=True)


async def begin(site: Site, target: str = "/bkt/k", **headers: str) -> str:
    return between(await site.call("POST", f"{target}?uploads", b"", **headers), "UploadId")[0]


def completing(*parts: Answer) -> bytes:
    told = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
        for number, part in zip((3, 7), parts, strict=True)
    )
    return f"<CompleteMultipartUpload>{told}</CompleteMultipartUpload>".encode()


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "code"),
    [
        ("PUT", "/bkt/k", b"", {"x_amz_write_offset_bytes": "1"}, "NotImplemented"),
        ("PUT", "/bkt/k", b"", {"x_amz_website_redirect_location": "a"}, "InvalidRedirectLocation"),
        ("PUT", "/bkt/k", b"", {"x_amz_expected_bucket_owner": "another"}, "AccessDenied"),
        ("PUT", "/bkt/k", b"", {"x_amz_copy_source": "bkt/k", "x_amz_source_expected_bucket_owner": "b"}, "AccessDenied"),
        ("PUT", "/bkt/k", b"", {"x_amz_tagging": "a%7F=b"}, "InvalidTag"),
        ("PUT", "/new", b"", {"x_amz_object_ownership": "ObjectWriter"}, "AccessControlListNotSupported"),
        ("PUT", "/bkt/k", b"", {"x_amz_grant_read": "id=1"}, "AccessControlListNotSupported"),
        ("PUT", "/new", b"", {"x_amz_acl": "public-read"}, "AccessControlListNotSupported"),
        ("PUT", "/bkt/k", b"", {"x_amz_copy_source": "bkt/k", "x_amz_metadata_directive": "MOVE"}, "NoSuchKey"),
        ("PUT", "/bkt?ownershipControls", OWNERSHIP % b"ObjectWriter", {}, "AccessControlListNotSupported"),
        ("PUT", "/bkt?ownershipControls", OWNERSHIP % b"x", {}, "MalformedXML"),
        ("PUT", "/none?ownershipControls", OWNERSHIP % b"BucketOwnerEnforced", {}, "NoSuchBucket"),
        ("PUT", "/bkt?requestPayment", b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>", {}, "NotImplemented"),
        ("PUT", "/bkt?accelerate", b"<AccelerateConfiguration/>", {}, "MalformedXML"),
        ("PUT", "/bkt?tagging", b"<Tagging/>", {}, ""),
        ("PUT", "/bkt?tagging", tags(**{f"k{n}": "v" for n in range(51)}), {}, "InvalidTag"),
        ("PUT", "/bkt?tagging", tags(**{"aws:x": "v"}), {}, "InvalidTag"),
        ("PUT", "/bkt?tagging", tags(k="v" * 257), {}, "InvalidTag"),
        ("PUT", "/none?tagging", tags(k="v"), {}, "NoSuchBucket"),
        ("GET", "/bkt?uploads&encoding-type=x", b"", {}, "InvalidArgument"),
        ("GET", "/bkt/none?attributes", b"", {"x_amz_object_attributes": "ETag"}, "NoSuchKey"),
        ("GET", "/bkt/none?attributes", b"", {"x_amz_object_attributes": "Color"}, "InvalidArgument"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_aws_does(
    tmp_path: Path, method: str, target: str, body: bytes, headers: dict[str, str], code: str
) -> None:
    async def story(site: Site) -> None:
        assert (await site.call(method, target, body, **headers)).code == code

    tell(tmp_path, story)


def test_a_bucket_has_tags_until_they_are_taken_away(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        many = tags(**{f"k{n}": "v w+x" for n in range(50)})
        assert (await site.call("PUT", "/bkt?tagging", many)).status == 204
        told = await site.call("GET", "/bkt?tagging")
        assert (len(between(told, "Key")), between(told, "Value")[0]) == (50, "v w+x")
        assert (await site.call("DELETE", "/bkt?tagging")).status == 204
        assert (await site.call("GET", "/bkt?tagging")).code == "NoSuchTagSet"

    tell(tmp_path, story)


def test_what_holds_anyway_is_agreed_to(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for query, body in (
            ("ownershipControls", OWNERSHIP % b"BucketOwnerEnforced"),
            ("requestPayment", b"<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"),
            ("accelerate", b"<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>"),
        ):  # fmt: skip
            assert (await site.call("PUT", f"/bkt?{query}", body)).status == 200
        assert (await site.call("DELETE", "/bkt?ownershipControls")).status == 204
        mine = await site.call("PUT", "/bkt/k", b"", x_amz_expected_bucket_owner="root")
        assert mine.status == 200

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "name", ["x_amz_meta_a", "x_amz_meta_a\r\nb", "x_amz_website_redirect_location"]
)
def test_no_presigned_url_writes_lines_into_answers(tmp_path: Path, name: str) -> None:
    target = presigned("PUT", "/bkt/k", **{name: "/a\r\nSet-Cookie: b"})
    head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    async def story(site: Site) -> None:
        assert parsed(await site.raw(head.encode())).code == "InvalidArgument"

    tell(tmp_path, story)


def test_a_delete_marker_in_the_way_says_so(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await versioned(site)
        await site.call("PUT", "/kept/k", b"x")
        marker = (await site.call("DELETE", "/kept/k")).headers["x-amz-version-id"]

        hidden = await site.call("GET", "/kept/k")
        asked = await site.call("HEAD", f"/kept/k?versionId={marker}")

        for answer, status in ((hidden, 404), (asked, 405)):
            assert answer.status == status
            assert answer.headers["x-amz-delete-marker"] == "true"
            assert answer.headers["x-amz-version-id"] == marker
        assert (asked.headers["allow"], asked.body) == ("DELETE", b"")

    tell(tmp_path, story)


def test_the_first_part_of_an_empty_object_is_empty(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"")

        answer = await site.call("GET", "/bkt/k?partNumber=1")

        assert (answer.status, answer.body) == (200, b"")
        assert "content-range" not in answer.headers
        assert (await site.call("GET", "/bkt/k?partNumber=2")).code == "InvalidPartNumber"

    tell(tmp_path, story)


def test_a_copy_has_the_checksum_that_is_asked_for_and_tags_of_its_own(tmp_path: Path) -> None:
    digest = base64.b64encode(hashlib.sha256(b"x").digest()).decode()

    async def story(site: Site) -> None:
        await site.call(
            "PUT", "/bkt/k", b"x", x_amz_tagging="a=b", x_amz_website_redirect_location="/there"
        )
        copied = await site.call(
            "PUT", "/bkt/copy", x_amz_copy_source="bkt/k", x_amz_checksum_algorithm="SHA256",
            x_amz_metadata_directive="REPLACE",
        )  # fmt: skip
        assert between(copied, "ChecksumSHA256") == [digest]
        assert between(await site.call("GET", "/bkt/copy?tagging"), "Key") == ["a"]
        told = (await site.call("HEAD", "/bkt/copy", x_amz_checksum_mode="ENABLED")).headers
        assert told["x-amz-checksum-sha256"] == digest
        assert "x-amz-website-redirect-location" not in told

    tell(tmp_path, story)


def test_uploads_are_listed_by_what_their_keys_have_in_common(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for key in ("a/1", "a/2", "b", "c/1", "c/1", "d"):
            await uploads.begin(site.objects, "bkt", key, "root", Told())
        seen: list[str] = []
        marker = id_marker = ""
        while True:
            target = "/bkt?uploads&delimiter=/&max-uploads=1&encoding-type=url"
            page = await site.call(
                "GET", f"{target}&key-marker={marker}&upload-id-marker={id_marker}"
            )
            seen += between(page, "Key") + [each for each in between(page, "Prefix") if each]
            if between(page, "IsTruncated") == ["false"]:
                break
            (marker,), (id_marker,) = (
                between(page, "NextKeyMarker"),
                between(page, "NextUploadIdMarker"),
            )
        assert seen == ["a/", "b", "c/", "d"]
        page = await site.call("GET", "/bkt?uploads&prefix=c/&delimiter=/")
        assert between(page, "Key") == ["c/1", "c/1"]

    tell(tmp_path, story)


async def two_parts(site: Site) -> tuple[str, Answer, Answer]:
    """Put two parts with checksums, one of them a copy; return the upload's target and answers."""
    target = f"/bkt/k?uploadId={await begin(site, x_amz_checksum_algorithm='CRC32')}"
    await site.call("PUT", "/bkt/source", b"y")
    first = await site.call("PUT", f"{target}&partNumber=3", b"x" * PART_BYTES)
    copied = await site.call("PUT", f"{target}&partNumber=7", x_amz_copy_source="bkt/source")
    copied.headers["etag"] = between(copied, "ETag")[0]
    copied.headers["x-amz-checksum-crc32"] = between(copied, "ChecksumCRC32")[0]
    return target, first, copied


def test_parts_are_told_with_their_sizes_and_checksums(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        target, *parts = await two_parts(site)
        sums = [each.headers["x-amz-checksum-crc32"] for each in parts]
        assert between(await site.call("GET", target), "ChecksumCRC32") == sums
        await site.call("POST", target, completing(*parts))
        asked = {"x_amz_object_attributes": "ObjectParts", "x_amz_max_parts": "1"}
        for index, size in enumerate((PART_BYTES, 1)):
            page = await site.call(
                "GET", "/bkt/k?attributes", b"", **asked, x_amz_part_number_marker=str(index)
            )
            assert between(page, "PartNumber") == [str(index + 1)]
            assert between(page, "Size") == [str(size)]
            assert between(page, "ChecksumCRC32") == [sums[index]]
            assert between(page, "IsTruncated") == ["false" if index else "true"]
            target = f"/bkt/k?partNumber={index + 1}"
            part = await site.call("HEAD", target, x_amz_checksum_mode="ENABLED")
            assert part.headers["x-amz-checksum-crc32"] == sums[index]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_mp_object_size": "7"}, "InvalidRequest"),
        ({"x_amz_mp_object_size": "x"}, "InvalidArgument"),
        ({"x_amz_checksum_type": "FULL_OBJECT"}, "InvalidRequest"),
        ({"x_amz_mp_object_size": str(PART_BYTES + 1)}, ""),
    ],
)
def test_what_is_said_of_a_whole_upload_must_hold(
    tmp_path: Path, headers: dict[str, str], code: str
) -> None:
    async def story(site: Site) -> None:
        target, *parts = await two_parts(site)
        other = {"x_amz_checksum_sha1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}
        wrong = await site.call("PUT", f"{target}&partNumber=9", b"", **other)
        assert wrong.code == "InvalidRequest"
        assert (await site.call("POST", target, completing(*parts), **headers)).code == code

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("if_range", "body"),
    [
        ('"9dd4e461268c8034f5c8564e155c67a6"', b"x"), ('"other"', b"xyz"),
        ("Tue, 14 Nov 2023 22:13:20 GMT", b"x"), ("Tue, 14 Nov 2023 22:13:21 GMT", b"xyz"),
    ],
)  # fmt: skip
def test_who_goes_on_with_another_object_gets_it_whole(
    tmp_path: Path, if_range: str, body: bytes
) -> None:
    async def story(site: Site) -> None:
        put = await site.call("PUT", "/bkt/k", b"xyz")
        etag = if_range.replace("9dd4e461268c8034f5c8564e155c67a6", put.headers["etag"].strip('"'))
        found = await site.call("GET", "/bkt/k", b"", range="bytes=0-0", if_range=etag)
        assert found.body == body
        assert found.headers["date"] == "Fri, 24 May 2013 00:00:00 GMT"

    tell(tmp_path, story)


def test_of_many_deletions_each_has_its_condition(tmp_path: Path) -> None:
    body = (
        b"<Delete><Object><Key>a</Key><Size>2</Size></Object><Object><Key>b</Key><Size>1</Size>"
        b"<LastModifiedTime>2023-11-14T22:13:20Z</LastModifiedTime></Object></Delete>"
    )

    async def story(site: Site) -> None:
        for key in "ab":
            await site.call("PUT", f"/bkt/{key}", b"x")
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        answer = await site.call("POST", "/bkt?delete", body, content_md5=digest)
        assert between(answer, "Code") == ["PreconditionFailed"]
        assert (await site.call("GET", "/bkt/b")).code == "NoSuchKey"
        assert (await site.call("GET", "/bkt/a")).status == 200

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x_amz_if_match_last_modified_time", "yesterday"), ("x_amz_if_match_size", "1" * 5000),
        ("x_amz_if_match_size", "0" * 5000), ("x_amz_if_match_size", "-1"),
    ],
)  # fmt: skip
def test_nothing_is_deleted_under_a_condition_that_is_none(
    tmp_path: Path, name: str, value: str
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"x")
        answer = await site.call("DELETE", "/bkt/k", b"", **{name: value})
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert (await site.call("GET", "/bkt/k")).status == 200

    tell(tmp_path, story)
