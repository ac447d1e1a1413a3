"""Encryption by keys of the store and of clients: what comes back, what lies on disk, what is refused."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from skerry.base import Failed
from skerry.objects import buckets, versions
from skerry.objects.compaction import compact
from skerry.objects.masters import Masters
from skerry.objects.model import Piece, Version
from skerry.objects.packages import PACKAGE_BYTES
from skerry.objects.records import crc_of
from skerry.objects.scrubbing import Cursor, Scrubbed, look
from skerry.objects.versions import Content, Told
from skerry.s3.root_key import (
    FILE,
    MASTER_FILE,
    SESSION_FILE,
    master_keys,
    root_key,
    session_secret,
)
from skerry.testing.object_disk import SimulatedDisk
from tests.s3.site import Answer, Site, tell
from tests.s3.test_details import PART_BYTES, begin, between, completing

PREFIX, SOURCE = "x_amz_server_side_encryption", "x_amz_copy_source_server_side_encryption"
DEFAULT = (
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>%s"
    "</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
)
STORES = {PREFIX: "AES256"}


def keyed(letter: str = "k", prefix: str = PREFIX) -> dict[str, str]:
    """Return the headers with the key of a client."""
    key = letter.encode() * 32
    return {
        f"{prefix}_customer_algorithm": "AES256",
        f"{prefix}_customer_key": base64.b64encode(key).decode(),
        f"{prefix}_customer_key_md5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }


MINE, OTHER = keyed("k"), keyed("o")


def stored(site: Site) -> bytes:
    """Return all that lies on the disk."""
    disk = site.objects.disk
    assert isinstance(disk, SimulatedDisk)
    return b"".join([*map(bytes, disk.logs.values()), *disk.kept.values()])


def text(size: int) -> bytes:
    return (b"what nobody else may know " * (size // 26 + 1))[:size]


async def put_parts(site: Site, parts: Sequence[bytes], **headers: str) -> list[Answer]:
    """Upload parts with the numbers 3 and 7; the last answer is that to the completion."""
    wanted = headers if PREFIX in headers else {}
    rest = {} if PREFIX in headers else headers
    target = (
        f"/bkt/k?uploadId={await begin(site, x_amz_checksum_algorithm='CRC32', **wanted, **rest)}"
    )
    answers = [
        await site.call("PUT", f"{target}&partNumber={number}", data, **rest)
        for number, data in zip((3, 7), parts, strict=True)
    ]
    return [*answers, await site.call("POST", target, completing(*answers))]


@pytest.mark.parametrize("headers", [STORES, MINE], ids=["SSE-S3", "SSE-C"])
@pytest.mark.parametrize(
    "size", [0, 1, PACKAGE_BYTES, PACKAGE_BYTES + 1, 1 << 20, (1 << 20) + 1, 3 << 20]
)
def test_objects_of_every_size_come_back_and_do_not_lie_on_disk(
    tmp_path: Path, headers: dict[str, str], size: int
) -> None:
    async def story(site: Site) -> None:
        data, key = text(size), {} if PREFIX in headers else headers
        assert (await site.call("PUT", "/bkt/k", data, **headers)).status == 200
        assert (await site.call("GET", "/bkt/k", b"", **key)).body == data
        for low, high in ((0, 0), (size // 2, size // 2 + 70_000), (size - 1, size)):
            if 0 <= low < size:
                part = await site.call("GET", "/bkt/k", b"", range=f"bytes={low}-{high}", **key)
                assert (part.status, part.body) == (206, data[low : high + 1])
        head = await site.call("HEAD", "/bkt/k", b"", **key)
        assert head.headers["content-length"] == str(size)
        assert size < 26 or text(26) not in stored(site)

    tell(tmp_path, story)


def test_answers_tell_how_an_object_is_encrypted(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        md5 = hashlib.md5(b"a").hexdigest()
        for method in ("PUT", "GET", "HEAD"):
            answer = await site.call(method, "/bkt/s", b"a" if method == "PUT" else b"", **STORES)
            assert answer.headers["x-amz-server-side-encryption"] == "AES256"
            assert answer.headers["etag"] == f'"{md5}"'
            answer = await site.call(method, "/bkt/c", b"a" if method == "PUT" else b"", **MINE)
            told = "x-amz-server-side-encryption-customer-"
            assert answer.headers[f"{told}algorithm"] == "AES256"
            assert answer.headers[f"{told}key-md5"] == MINE[f"{PREFIX}_customer_key_md5"]
            assert len(answer.headers["etag"]) == 34
            assert answer.headers["etag"] != f'"{md5}"'

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("GET", "/bkt/c", {}, "InvalidRequest"),
        ("GET", "/bkt/c", OTHER, "AccessDenied"),
        ("GET", "/bkt/c?attributes", {"x_amz_object_attributes": "ETag"}, "InvalidRequest"),
        ("GET", "/bkt/s", MINE, "InvalidRequest"),
        ("GET", "/bkt/plain", MINE, "InvalidRequest"),
        ("GET", "/bkt/plain", {f"{PREFIX}_customer_key": "AAAA"}, "InvalidArgument"),
        ("HEAD", "/bkt/c", {f"{PREFIX}_customer_key": "AAAA"}, ""),
        ("PUT", "/bkt/x", {"x_amz_copy_source": "bkt/c"}, "InvalidRequest"),
        ("PUT", "/bkt/x", {"x_amz_copy_source": "bkt/c"} | keyed("o", SOURCE), "AccessDenied"),
        ("PUT", "/bkt/x", {"x_amz_copy_source": "bkt/s"} | keyed("k", SOURCE), "InvalidRequest"),
        ("PUT", "/bkt/s", {"x_amz_copy_source": "bkt/s"}, "InvalidRequest"),
        ("PUT", "/bkt/x", MINE | STORES, "InvalidArgument"),
        ("PUT", "/bkt/x", MINE | {f"{PREFIX}_customer_algorithm": "AES128"}, "InvalidArgument"),
        ("PUT", "/bkt/x", MINE | {f"{PREFIX}_customer_key": "AAAA"}, "InvalidArgument"),
        ("PUT", "/bkt/x", MINE | {f"{PREFIX}_customer_key": "\xe4"}, "InvalidArgument"),
        ("PUT", "/bkt/x", MINE | {f"{PREFIX}_customer_key_md5": "AAAA"}, "InvalidArgument"),
        ("PUT", "/bkt/x", {f"{PREFIX}_customer_algorithm": "AES256"}, "InvalidArgument"),
        ("PUT", "/bkt/x", {f"{PREFIX}_customer_key": "AAAA"}, "InvalidArgument"),
        ("PUT", "/bkt/x", {PREFIX: "rot13"}, "InvalidEncryptionAlgorithmError"),
        ("PUT", "/bkt/x", {PREFIX: "aws:kms"}, "NotImplemented"),
        ("POST", "/bkt/x?uploads", {PREFIX: "aws:kms"}, "NotImplemented"),
        ("POST", "/none/x?uploads", STORES, "NoSuchBucket"),
    ],
)
def test_wrong_keys_and_headers_are_refused_as_aws_does(
    tmp_path: Path, method: str, target: str, headers: dict[str, str], code: str
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/c", b"a", **MINE)
        await site.call("PUT", "/bkt/s", b"a", **STORES)
        await site.call("PUT", "/bkt/plain", b"a")

        answer = await site.call(method, target, b"", **headers)

        assert answer.code == code, answer
        assert MINE[f"{PREFIX}_customer_key"].encode() not in answer.body

    tell(tmp_path, story)


@pytest.mark.parametrize("size", [26, 2 << 20])
@pytest.mark.parametrize("to", [{}, STORES, OTHER], ids=["plain", "SSE-S3", "SSE-C"])
@pytest.mark.parametrize("source", [{}, STORES, MINE], ids=["plain", "SSE-S3", "SSE-C"])
def test_a_copy_is_encrypted_as_it_is_asked_for(
    tmp_path: Path, source: dict[str, str], to: dict[str, str], size: int
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/a", text(size), **source)
        opening = keyed("k", SOURCE) if source is MINE else {}
        copied = await site.call("PUT", "/bkt/b", b"", x_amz_copy_source="bkt/a", **opening, **to)

        assert copied.status == 200, copied
        found = await site.call("GET", "/bkt/b", b"", **(OTHER if to is OTHER else {}))
        assert found.body == text(size)
        assert ("x-amz-server-side-encryption" in found.headers) == (to is STORES)

    tell(tmp_path, story)


def test_an_object_can_be_copied_to_itself_to_encrypt_it(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"plain")
        await site.call("PUT", "/bkt/k", b"", x_amz_copy_source="bkt/k", **MINE)
        assert (await site.call("GET", "/bkt/k")).code == "InvalidRequest"
        await site.call(
            "PUT", "/bkt/k", b"", x_amz_copy_source="bkt/k", **OTHER, **keyed("k", SOURCE)
        )
        assert (await site.call("GET", "/bkt/k", b"", **OTHER)).body == b"plain"

    tell(tmp_path, story)


@pytest.mark.parametrize("headers", [STORES, MINE], ids=["SSE-S3", "SSE-C"])
def test_uploads_are_encrypted_part_by_part(tmp_path: Path, headers: dict[str, str]) -> None:
    async def story(site: Site) -> None:
        parts = [text(PART_BYTES), b"the end"]
        *_, completed = await put_parts(site, parts, **headers)
        assert completed.status == 200, completed
        key = {} if headers is STORES else headers
        found = await site.call("GET", "/bkt/k", b"", x_amz_checksum_mode="ENABLED", **key)
        assert found.body == b"".join(parts)
        assert found.headers["x-amz-checksum-crc32"].endswith("-2")
        across = f"bytes={PART_BYTES - 3}-{PART_BYTES + 2}"
        assert (await site.call("GET", "/bkt/k", b"", range=across, **key)).body == found.body[
            -10:-4
        ]
        last = await site.call("GET", "/bkt/k?partNumber=2", b"", **key)
        assert (last.body, last.headers["content-length"]) == (b"the end", "7")
        listed = await site.call("GET", "/bkt?list-type=2")
        assert between(listed, "Size") == [str(PART_BYTES + 7)]
        assert text(26) not in stored(site)

    tell(tmp_path, story)


def test_a_part_that_is_put_again_has_another_key(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        target = f"/bkt/k?uploadId={await begin(site, **MINE)}&partNumber=1"
        before = len(stored(site))
        await site.call("PUT", target, text(1000), **MINE)
        await site.call("PUT", target, text(1000), **MINE)

        written = stored(site)[before:]
        pieces = [written[at : at + 64] for at in range(200, len(written) - 64)]
        assert len(set(pieces)) == len(pieces)

    tell(tmp_path, story)


def test_parts_need_the_key_that_the_upload_began_with(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/a", b"a", **STORES)
        for begun, wrong in ((MINE, {}), (MINE, OTHER), (STORES, MINE), ({}, MINE)):
            target = f"/bkt/k?uploadId={await begin(site, **begun)}&partNumber=1"
            assert (await site.call("PUT", target, b"a", **wrong)).code == "InvalidRequest"
            copied = await site.call("PUT", target, b"", x_amz_copy_source="bkt/a", **wrong)
            assert copied.code == "InvalidRequest"
            right = {} if begun is STORES else begun
            copied = await site.call("PUT", target, b"", x_amz_copy_source="bkt/a", **right)
            assert copied.status == 200, copied

    tell(tmp_path, story)


def test_a_buckets_default_holds_where_a_request_says_nothing(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        told = "x-amz-server-side-encryption"
        missing = await site.call("GET", "/bkt?encryption")
        assert missing.code == "ServerSideEncryptionConfigurationNotFoundError"
        await site.call("PUT", "/bkt?encryption", (DEFAULT % "AES256").encode())
        found = await site.call("GET", "/bkt?encryption")
        assert between(found, "SSEAlgorithm") == ["AES256"]
        assert (await site.call("PUT", "/bkt/k", b"a")).headers[told] == "AES256"
        assert (await site.call("POST", "/bkt/k?uploads")).headers[told] == "AES256"
        copied = await site.call("PUT", "/bkt/l", b"", x_amz_copy_source="bkt/k")
        assert copied.headers[told] == "AES256"
        assert told not in (await site.call("PUT", "/bkt/k", b"a", **MINE)).headers
        await site.call("DELETE", "/bkt?encryption")
        assert told not in (await site.call("PUT", "/bkt/k", b"a")).headers

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (DEFAULT % "aws:kms", "NotImplemented"),
        (DEFAULT % "", "InvalidEncryptionAlgorithmError"),
        ("<ServerSideEncryptionConfiguration/>", "MalformedXML"),
        (DEFAULT.replace("<SSEAlg", "<KMSMasterKeyID>x</KMSMasterKeyID><SSEAlg") % "AES256", "InvalidArgument"),
    ],
)  # fmt: skip
def test_a_default_that_cannot_be_is_refused(tmp_path: Path, document: str, code: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt?encryption", document.encode())).code == code

    tell(tmp_path, story)


def test_a_policy_can_want_encryption(tmp_path: Path) -> None:
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":'
        '"s3:PutObject","Resource":"arn:aws:s3:::bkt/*","Condition":{"StringEquals":'
        '{"s3:x-amz-server-side-encryption":"AES256"}}}]}'
    )

    async def story(site: Site) -> None:
        put = b"PUT /bkt/k HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n%bconnection: close\r\n\r\n"
        assert (await site.call("PUT", "/bkt?policy", policy.encode())).status == 204
        assert b" 403 " in (await site.raw(put % b""))[:20]
        assert b" 200 " in (await site.raw(put % b"x-amz-server-side-encryption: AES256\r\n"))[:20]

    tell(tmp_path, story)


@pytest.mark.parametrize("place", [0, 1, 3, 20, 40, 70, -20, -17, -1])
def test_a_wrapped_key_that_was_changed_or_moved_opens_nothing(tmp_path: Path, place: int) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/a", b"of a", **STORES)
        await site.call("PUT", "/bkt/b", b"of b", **STORES)
        row = versions.find(site.objects, buckets.find(site.objects, "bkt"), "a")
        changed = bytearray(row.version.sealed)
        changed[place] ^= 1

        for key, sealed in (("a", bytes(changed)), ("b", row.version.sealed)):

            def forged(version: Version, _: int, sealed: bytes = sealed) -> Version:
                return msgspec.structs.replace(version, sealed=sealed)

            await versions.change(site.objects, "bkt", key, None, forged)
            assert (await site.call("GET", f"/bkt/{key}")).status == 500

    tell(tmp_path, story)


def test_master_keys_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    drawn = iter([b"i" * 8, b"k" * 32])
    made = master_keys(tmp_path, lambda _: next(drawn))

    assert master_keys(tmp_path, lambda _: b"") == made == Masters("69" * 8, {"69" * 8: b"k" * 32})
    assert (tmp_path / MASTER_FILE).stat().st_mode & 0o777 == 0o600
    assert "6b" not in repr(made)
    assert "kkk" not in repr(made)


LINES = [f"{letter * 16} {letter * 64}" for letter in "12"]


@pytest.mark.parametrize(
    "kept",
    [b"", b"\n", b"x\n", b"0" * 16 + b" " + b"0" * 63 + b"\n", b"\xff\xfe\0",
     f"{LINES[0]}\n{'1' * 16} {'3' * 64}\n".encode()],
)  # fmt: skip
def test_a_file_that_holds_no_master_keys_is_told(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / MASTER_FILE).write_bytes(kept)

    with pytest.raises(Failed, match="holds no keys"):
        master_keys(tmp_path, bytes)


@pytest.mark.parametrize("between", ["\n", "\r\n", "\n\n"])
def test_master_keys_are_read_however_an_editor_ends_their_lines(
    tmp_path: Path, between: str
) -> None:
    (tmp_path / MASTER_FILE).write_bytes(between.join(LINES).encode())

    found = master_keys(tmp_path, bytes)

    assert (found.current, len(found.keys)) == ("1" * 16, 2)


@pytest.mark.parametrize("read", [root_key, session_secret])
def test_a_secret_that_was_overwritten_is_told(
    tmp_path: Path, read: Callable[[Path, Callable[[int], bytes]], object]
) -> None:
    for file in (FILE, SESSION_FILE):
        (tmp_path / file).write_bytes(b"\xff\xfe\0")

    with pytest.raises(Failed, match="Bring it back"):
        read(tmp_path, bytes)


def test_older_master_keys_open_what_they_wrapped(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/old", b"old", **STORES)
        older = site.objects.masters
        assert older is not None
        site.objects.masters = Masters("1" * 16, {"1" * 16: b"1" * 32, **older.keys})
        await site.call("PUT", "/bkt/new", b"new", **STORES)
        assert (await site.call("GET", "/bkt/old")).body == b"old"
        site.objects.masters = Masters("1" * 16, {"1" * 16: b"1" * 32})
        assert (await site.call("GET", "/bkt/new")).body == b"new"
        assert (await site.call("GET", "/bkt/old")).status == 500

    tell(tmp_path, story)


def test_what_has_changed_on_the_disk_is_found_without_a_key_and_not_given_out(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        for name, size in (("small", 1000), ("big", 2 << 20)):
            await site.call("PUT", f"/bkt/{name}", text(size), **MINE)
        told: list[str] = []
        scrubbed = Scrubbed()

        def tell_of(_bucket: str, version: Version, _error: Failed) -> None:
            told.append(version.key)

        await look(site.objects, scrubbed, tell_of, Cursor(1), 1e12)
        assert (told, scrubbed.versions) == ([], 2)
        disk = site.objects.disk
        assert isinstance(disk, SimulatedDisk)
        (file,) = disk.kept
        disk.kept[file] = disk.kept[file][:70_000] + b"xx" + disk.kept[file][70_002:]
        await look(site.objects, scrubbed, tell_of, Cursor(1), 1e12)
        assert told == ["big"]
        assert (await site.call("GET", "/bkt/big", b"", **MINE)).status == 500
        assert (await site.call("GET", "/bkt/small", b"", **MINE)).body == text(1000)

    tell(tmp_path, story)


def test_who_tampers_and_mends_the_checksums_is_noticed_too(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", text(1000), **STORES)
        bucket = buckets.find(site.objects, "bkt")
        row = versions.find(site.objects, bucket, "k")
        assert row.version.piece is not None
        data = site.objects.disk.read(row.place.segment, row.data_offset, row.version.piece.size)
        forged = data[:5] + b"?" + data[6:]
        await versions.put(
            site.objects, "bkt", "k",
            Content(size=1000, etag="e", data=[forged], piece=Piece(len(forged), crc_of(forged)),
                    sealed=row.version.sealed), Told(),
        )  # fmt: skip
        answer = await site.call("GET", "/bkt/k")
        assert (answer.status, answer.code) == (500, "InternalError")

    tell(tmp_path, story)


def test_what_is_moved_to_make_room_stays_readable(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        site.objects.writer.segment_bytes = 4096
        await site.call("PUT", "/bkt/small", text(1000), **MINE)
        target = f"/bkt/part?uploadId={await begin(site, '/bkt/part', **STORES)}"
        part = await site.call("PUT", f"{target}&partNumber=3", text(2000))
        for _ in range(9):
            await site.call("PUT", "/bkt/other", text(3000))
        while 1 in site.objects.disk.segments():
            assert await compact(site.objects)

        told = f"<Part><PartNumber>3</PartNumber><ETag>{part.headers['etag']}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{told}</CompleteMultipartUpload>".encode()
        assert (await site.call("POST", target, document)).status == 200
        assert (await site.call("GET", "/bkt/part")).body == text(2000)
        assert (await site.call("GET", "/bkt/small", b"", **MINE)).body == text(1000)

    tell(tmp_path, story)


def test_a_quota_counts_the_bytes_of_clients(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        quota = b"<Quota><Bytes>2000</Bytes></Quota>"
        assert (await site.call("PUT", "/bkt?quota", quota)).status == 200
        target = f"/bkt/k?uploadId={await begin(site, **STORES)}&partNumber=1"
        assert (await site.call("PUT", target, text(1000))).status == 200
        assert (await site.call("PUT", "/bkt/a", text(1000), **MINE)).status == 200
        assert (await site.call("PUT", "/bkt/b", b"x", **MINE)).code == "QuotaExceeded"
        told = await site.call("GET", "/bkt?quota")
        assert between(told, "UsedBytes") == ["2000"]

    tell(tmp_path, story)
