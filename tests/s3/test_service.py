"""What requests get: the errors of AWS for what is wrong, never a 500, never another's bytes."""

import asyncio
import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.objects import buckets
from skerry.s3.access import ANONYMOUS
from skerry.testing.object_disk import SimulatedDisk
from tests.s3.site import Site, parsed, presigned, request, tell

DELETE = b"<Delete><Object><Key>k</Key></Object></Delete>"
PARTS = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
)
VERSIONING = b"<VersioningConfiguration><Status>%b</Status></VersioningConfiguration>"


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "code"),
    [
        ("GET", "/none", b"", {}, "NoSuchBucket"),
        ("GET", "/none/k", b"", {}, "NoSuchBucket"),
        ("GET", "/bkt/none", b"", {}, "NoSuchKey"),
        ("GET", "/bkt/none?versionId=x", b"", {}, "NoSuchVersion"),
        ("PUT", "/ab", b"", {}, "InvalidBucketName"),
        ("PUT", "/192.168.0.1", b"", {}, "InvalidBucketName"),
        ("PUT", "/new", b"<x", {}, "MalformedXML"),
        ("PUT", "/bkt/" + "k" * 1025, b"", {}, "KeyTooLongError"),
        ("GET", "/bkt?list-type=2&max-keys=x", b"", {}, "InvalidArgument"),
        ("GET", "/bkt?list-type=2&max-keys=99999999999", b"", {}, "InvalidArgument"),
        ("GET", "/bkt?list-type=2&continuation-token=%C3%A4", b"", {}, "InvalidArgument"),
        ("GET", "/bkt?list-type=2&encoding-type=x", b"", {}, "InvalidArgument"),
        ("GET", "/bkt?versions=&version-id-marker=x", b"", {}, "InvalidArgument"),
        ("PUT", "/bkt/k", b"x", {"content_md5": "x"}, "InvalidDigest"),
        ("PUT", "/bkt/k", b"x", {"content_md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        ("PUT", "/bkt/k", b"x", {"x_amz_checksum_crc32": "AAAAAA=="}, "BadDigest"),
        ("PUT", "/bkt/k", b"x", {"x_amz_checksum_crc32": "AA=="}, "InvalidRequest"),
        ("PUT", "/bkt/k", b"x", {"x_amz_sdk_checksum_algorithm": "MD4"}, "InvalidRequest"),
        ("PUT", "/bkt/k", b"x", {"x_amz_trailer": "x-amz-checksum-crc32"}, "InvalidRequest"),
        ("PUT", "/bkt/k", b"x", {"x_amz_storage_class": "FLOPPY"}, "InvalidStorageClass"),
        ("PUT", "/bkt/k", b"x", {"x_amz_tagging": "a=1&a=2"}, "InvalidTag"),
        ("PUT", "/bkt/k", b"x", {"x_amz_meta_a": "x" * 9000}, "MetadataTooLarge"),
        ("PUT", "/bkt/k", b"x", {"if_none_match": "etag"}, "InvalidArgument"),
        ("PUT", "/bkt/k", b"x", {"if_match": "etag"}, "NoSuchKey"),
        ("PUT", "/bkt/k", b"x", {"x_amz_content_sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ("PUT", "/bkt/k", b"", {"x_amz_copy_source": "bkt"}, "InvalidArgument"),
        ("PUT", "/bkt/k", b"", {"x_amz_copy_source": "/bkt/%ff"}, "InvalidArgument"),
        ("PUT", "/bkt/k", b"", {"x_amz_copy_source": "/bkt/none"}, "NoSuchKey"),
        ("PUT", "/bkt/k?partNumber=0&uploadId=x", b"", {}, "NoSuchUpload"),
        ("POST", "/bkt/k?uploadId=x", PARTS, {}, "NoSuchUpload"),
        ("DELETE", "/bkt/k?uploadId=x", b"", {}, "NoSuchUpload"),
        ("POST", "/bkt?delete", DELETE, {}, "InvalidRequest"),
        ("POST", "/bkt?delete", b"<Delete/>", {"content_md5": "9cvGDLJBPoc7J8zFIqZMdw=="}, "BadDigest"),
        ("PUT", "/bkt?versioning", VERSIONING % b"On", {}, "MalformedXML"),
        ("PUT", "/bkt?versioning", b"<Other/>", {}, "MalformedXML"),
        ("PUT", "/bkt?versioning", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", {}, "MalformedXML"),
        ("PUT", "/bkt?versioning", b"<a>" * 5000, {}, "MalformedXML"),
        ("PUT", "/bkt?versioning", b"<a>" * 50 + b"</a>" * 50, {}, "MalformedXML"),
        ("GET", "/bkt?cors", b"", {}, "NoSuchCORSConfiguration"),
        ("GET", "/bkt?tagging", b"", {}, "NoSuchTagSet"),
        ("PUT", "/bkt?replication", b"", {}, "NotImplemented"),
        ("PUT", "/bkt?acl", b"", {"x_amz_acl": "public-read"}, "AccessControlListNotSupported"),
        ("PUT", "/bkt/k", b"", {"x_amz_acl": "public-read"}, "AccessControlListNotSupported"),
        ("GET", "/bkt/none?acl", b"", {}, "NoSuchKey"),
        ("POST", "/bkt/k?select", b"", {}, "NotImplemented"),
        ("PATCH", "/bkt/k", b"", {}, "MethodNotAllowed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_as_aws_does(
    tmp_path: Path, method: str, target: str, body: bytes, headers: dict[str, str], code: str
) -> None:
    async def story(site: Site) -> None:
        answer = await site.call(method, target, body, **headers)

        assert answer.code == code, answer
        assert 400 <= answer.status < 500 or code == "NotImplemented"
        assert answer.headers["x-amz-request-id"]

    tell(tmp_path, story)


def test_chunks_in_every_way_that_clients_have(tmp_path: Path) -> None:
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    headers = {
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x_amz_decoded_content_length": "5", "x_amz_trailer": "x-amz-checksum-crc32",
        "content_encoding": "aws-chunked,gzip",
    }  # fmt: skip

    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt/k", body, **headers)).status == 200
        found = await site.call("GET", "/bkt/k", x_amz_checksum_mode="ENABLED")
        assert found.body == b"hello"
        assert found.headers["content-encoding"] == "gzip"
        assert found.headers["x-amz-checksum-crc32"] == "NhCmhg=="
        for wrong, code in (
            (body.replace(b"NhC", b"NhD"), "BadDigest"), (body[:-9], "IncompleteBody"),
            (body.replace(b"x-amz-checksum-crc32", b"x"), "InvalidRequest"),
            (body.replace(b"5\r\nhello", b"6\r\nhello!"), "IncompleteBody"),
        ):  # fmt: skip
            answer = await site.call("PUT", "/bkt/other", wrong, **headers)
            assert answer.code == code
        assert (await site.call("GET", "/bkt/other")).code == "NoSuchKey"

    tell(tmp_path, story)


def test_a_bucket_in_the_host_name_and_a_slash_that_is_encoded(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/a/b", b"", host="bkt.s3.test")
        await site.call("PUT", "/bkt/c", x_amz_copy_source="bkt%2Fa%2Fb")
        listed = await site.call("GET", "/", host="bkt.s3.test:9000")

        assert b"<Key>a/b</Key>" in listed.body
        assert b"<Key>c</Key>" in listed.body

    tell(tmp_path, story)


def test_probes_are_answered_where_no_bucket_has_their_name(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        get = b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        for path in (b"health/live", b"minio/health/ready"):
            assert (await site.raw(get % path)).startswith(b"HTTP/1.1 200")
        hosted = get.replace(b"Host: x", b"Host: bkt.s3.test") % b"health/live"
        assert (await site.raw(hosted)).startswith(b"HTTP/1.1 403")
        await buckets.make(site.objects, "health", "root")
        assert (await site.raw(get % b"health/live")).startswith(b"HTTP/1.1 403")

    tell(tmp_path, story)


def test_a_presigned_url_may_hold_what_would_be_a_header(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        target = presigned("PUT", "/bkt/k", x_amz_meta_color="red", x_amz_tagging="a=b")
        head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"
        assert parsed(await site.raw(head.encode() + b"x")).status == 200
        found = await site.call("GET", "/bkt/k")
        assert found.headers["x-amz-meta-color"] == "red"
        assert found.headers["x-amz-tagging-count"] == "1"

    tell(tmp_path, story)


def test_metadata_may_have_any_bytes(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        text = "ü€".encode().decode("latin-1")
        assert (await site.call("PUT", "/bkt/k", x_amz_meta_name=text)).status == 200
        assert (await site.call("GET", "/bkt/k")).headers["x-amz-meta-name"] == "ü€"

    tell(tmp_path, story)


def test_a_body_that_breaks_off_is_no_object(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for size in (100, 3 << 20):
            whole = request("PUT", "/bkt/k", b"x" * size)
            answer = parsed(await site.raw(whole[:-1]))
            assert answer.code in ("IncompleteBody", "")
        assert (await site.call("GET", "/bkt/k")).code == "NoSuchKey"
        assert site.objects.disk.files() == []

    tell(tmp_path, story)


def test_requests_that_follow_each_other_on_a_connection(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        keep = b"connection: keep-alive"
        put = request("PUT", "/bkt/k", b"hello").replace(b"connection: close", keep)
        get = request("GET", "/bkt/k").replace(b"connection: close", keep)
        said = await site.raw(put + get + get + request("GET", "/bkt/none"))

        assert said.count(b"HTTP/1.1 200 OK") == 3
        assert said.count(b"\r\n\r\nhello") == 2
        assert said.count(b"HTTP/1.1 404") == 1

    tell(tmp_path, story)


def test_an_answer_that_nobody_waits_for_a_body_of_keeps_the_connection_sound(
    tmp_path: Path,
) -> None:
    async def story(site: Site) -> None:
        keep = b"connection: keep-alive"
        wrong = request("PUT", "/none/k", b"x" * 1000).replace(b"connection: close", keep)
        said = await site.raw(wrong + request("GET", "/bkt"))

        assert said.startswith(b"HTTP/1.1 404")
        assert b"<ListBucketResult" in said

    tell(tmp_path, story)


def test_a_body_is_asked_for_only_when_it_is_wanted(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        for target, first, second in (("/bkt/k", b"100", b"200"), ("/none/k", b"404", b"")):
            head = request("PUT", target, b"hello", {"expect": "100-continue"})[:-5]
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(head)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 " + first)
            if second:
                writer.write(b"hello")
                assert (await reader.read()).startswith(b"HTTP/1.1 " + second)
            writer.close()

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"GET / HTTP/1.1\r\na: " + b"b" * 70_000,
        b"GET /" + b"a" * 70_000, b"\x16\x03\x01", b"GET / HTTP/9.9\r\n\r\n",
        b"PUT /bkt/k HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"PUT /bkt/k HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nab",
        b"PUT /bkt/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT /bkt/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET /bkt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET //bkt HTTP/1.1\r\nHost: x\r\n\r\n", b"GET * HTTP/1.1\r\n\r\n",
        b"GET http://x/bkt HTTP/1.1\r\n\r\n", b"GET /%ff HTTP/1.1\r\n\r\n",
        b"GET /?" + b"a&" * 100 + b" HTTP/1.1\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(tmp_path: Path, data: bytes) -> None:
    async def story(site: Site) -> None:
        with contextlib.suppress(ConnectionError):
            said = await site.raw(data)
            assert not said or said.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), said
        assert (await site.call("GET", "/bkt")).status == 200

    tell(tmp_path, story)


texts = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]), texts, texts, texts,
                          st.binary(max_size=50)), min_size=10, max_size=10))  # fmt: skip
def test_noise_never_ends_in_a_mistake_of_ours(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str, str, str, bytes]]
) -> None:
    async def story(site: Site) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            for method, key, name, value, body in calls:
                head = f"{method} /bkt/{key}?{name}={value} HTTP/1.1\r\nHost: x\r\n"
                fields = f"Authorization: {value}\r\nx-amz-{key[:9]}: {name}\r\n"
                length = f"Content-Length: {len(body)}\r\n\r\n"
                with contextlib.suppress(ConnectionError):
                    answer = await site.raw((head + fields + length).encode("latin-1") + body)
                    assert not answer.startswith(b"HTTP/1.1 500"), answer
        assert said.getvalue() == ""

    tell(tmp_path_factory.mktemp("s3"), story)


def test_everybody_copies_only_what_everybody_may_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await buckets.make(site.objects, "pub", "root")
        await buckets.put_setting(site.objects, "pub", ANONYMOUS, b"public")
        for bucket in ("bkt", "pub"):
            await site.call("PUT", f"/{bucket}/k", b"x")
        for source, status in ((b"bkt", b"403"), (b"pub", b"200")):
            said = await site.raw(
                b"PUT /pub/copy HTTP/1.1\r\nHost: x\r\nx-amz-copy-source: /%b/k\r\n"
                b"Content-Length: 0\r\n\r\n" % source
            )
            assert said.startswith(b"HTTP/1.1 " + status)

    tell(tmp_path, story)


def test_keys_that_xml_cannot_hold_are_listed_as_aws_does(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt/a%01%26b")).status == 200
        assert b"<Key>a&#x1;&amp;b</Key>" in (await site.call("GET", "/bkt")).body
        encoded = await site.call("GET", "/bkt?encoding-type=url")
        assert b"<Key>a%01%26b</Key>" in encoded.body

    tell(tmp_path, story)


def test_an_answer_whose_bytes_have_changed_breaks_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"x" * (3 << 20))
        disk = site.objects.disk
        assert isinstance(disk, SimulatedDisk)
        (file,) = disk.kept
        disk.kept[file] = disk.kept[file][: 5 << 19] + b"y" + disk.kept[file][(5 << 19) + 1 :]

        with contextlib.suppress(ConnectionError):
            said = await site.raw(request("GET", "/bkt/k"))
            assert len(said) < 3 << 20

    tell(tmp_path, story)
    assert "data_changed" in capsys.readouterr().err
