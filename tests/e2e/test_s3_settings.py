"""What is set for a bucket of `skerry s3`, by boto3 and by plain HTTP."""

import datetime as dt
import http.client
import io
from pathlib import Path

import boto3
import minio
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from minio.commonconfig import GOVERNANCE, Tags
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention

from tests.e2e.test_s3 import ACCESS, SECRET, Store, bucket, code_of, store, tool

__all__ = ["bucket", "store"]  # fixtures


def test_object_lock(store: Store, bucket: str) -> None:
    s3, name = store.client(), f"{bucket}-locked"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    told = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=told)
    version = s3.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    named = {"Bucket": name, "Key": "k", "VersionId": version}
    until = s3.head_object(**named)["ObjectLockRetainUntilDate"] + dt.timedelta(days=1)

    assert s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"] == told
    kept = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    s3.put_object_retention(**named, Retention=kept)
    assert s3.get_object_retention(**named)["Retention"] == kept
    s3.put_object_legal_hold(**named, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**named)["LegalHold"] == {"Status": "ON"}
    for bypasses in (False, True):
        with pytest.raises(ClientError) as caught:
            s3.delete_object(**named, BypassGovernanceRetention=bypasses)
        assert code_of(caught) == ("AccessDenied", 403)
    s3.put_object_legal_hold(**named, LegalHold={"Status": "OFF"})
    s3.delete_object(**named, BypassGovernanceRetention=True)


def test_tags_of_a_bucket(store: Store, bucket: str) -> None:
    s3, tags = store.client(), [{"Key": "a", "Value": "b c"}, {"Key": "d", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})

    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code_of(caught) == ("NoSuchTagSet", 404)


def test_parts_with_checksums(store: Store, bucket: str) -> None:
    s3, named = store.client(), {"Bucket": bucket, "Key": "k"}
    begun = s3.create_multipart_upload(**named, ChecksumAlgorithm="SHA256")
    upload = {**named, "UploadId": begun["UploadId"]}
    listed = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")["Uploads"]
    put = s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
    part = {"PartNumber": 1, "ETag": put["ETag"], "ChecksumSHA256": put["ChecksumSHA256"]}
    (told,) = s3.list_parts(**upload)["Parts"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]}, MpuObjectSize=1)
    known = s3.get_object_attributes(**named, ObjectAttributes=["ObjectParts", "Checksum"])

    assert listed[0]["ChecksumAlgorithm"] == "SHA256"
    assert (told["ChecksumSHA256"], told["Size"]) == (put["ChecksumSHA256"], 1)
    assert known["Checksum"]["ChecksumType"] == "COMPOSITE"
    assert known["ObjectParts"]["Parts"][0]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert known["ObjectParts"]["TotalPartsCount"] == 1


def ask(
    store: Store, method: str, path: str, host: str = "127.0.0.1", body: bytes = b"",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
    """Send a request as a browser does, and follow no redirect."""
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=20)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": f"{host}:{store.port}", **fields})
    answer = connection.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    found = answer.status, told, answer.read()
    connection.close()
    return found


def test_pages_of_other_origins(store: Store, bucket: str) -> None:
    s3, origin = store.client(), "https://app.example.com"
    rule = {"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["PUT", "GET"],
            "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}  # fmt: skip
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    asking = {"origin": origin, "access_control_request_headers": "content-type"}

    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    for method, expected in (("PUT", 200), ("DELETE", 403)):
        status, headers, _ = ask(
            store, "OPTIONS", f"/{bucket}/k", **asking, access_control_request_method=method
        )
        assert status == expected
        assert headers.get("access-control-allow-origin") == (origin if status == 200 else None)
    status, headers, body = ask(store, "GET", url.removeprefix(store.url), origin=origin)
    assert (status, body, headers["access-control-expose-headers"]) == (200, b"x", "ETag")
    s3.delete_bucket_cors(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.get_bucket_cors(Bucket=bucket)
    assert code_of(caught) == ("NoSuchCORSConfiguration", 404)


def test_a_website(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.start(
        AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, SKERRY_BUCKETS="site:download"
    )
    s3, host = store.client(), "site.s3-website.localhost"
    for key in ("index.html", "blog/index.html", "404.html"):
        s3.put_object(Bucket="site", Key=key, Body=key.encode(), ContentType="text/html")
    s3.put_object(Bucket="site", Key="old", Body=b"", WebsiteRedirectLocation="/blog/")
    told = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "404.html"}}
    s3.put_bucket_website(Bucket="site", WebsiteConfiguration=told)

    set_now = s3.get_bucket_website(Bucket="site")
    assert {name: set_now[name] for name in told} == told
    for path, status, page in (
        ("/", 200, b"index.html"), ("/blog/", 200, b"blog/index.html"), ("/no", 404, b"404.html"),
    ):  # fmt: skip
        found = ask(store, "GET", path, host)
        assert (found[0], found[1]["content-type"], found[2]) == (status, "text/html", page)
    for path, status, target in (("/blog", 302, "/blog/"), ("/old", 301, "/blog/")):
        found = ask(store, "GET", path, host)
        assert (found[0], found[1]["location"]) == (status, target)
    assert ask(store, "PUT", "/", host)[0] == 405
    assert store.end() == 0


def test_a_quota(store: Store, bucket: str) -> None:
    s3 = store.client()
    session = boto3.session.Session(ACCESS, SECRET, region_name="us-east-1")

    def call(method: str, body: str = "") -> tuple[int, bytes]:
        request = AWSRequest(method, f"{store.url}/{bucket}?quota", data=body.encode())
        S3SigV4Auth(session.get_credentials(), "s3", "us-east-1").add_auth(request)
        status, _, told = ask(
            store, method, f"/{bucket}?quota", body=body.encode(), **dict(request.headers.items())
        )
        return status, told

    assert call("PUT", "<Quota><Bytes>5</Bytes></Quota>")[0] == 200
    s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="l", Body=b"6")
    assert code_of(caught) == ("QuotaExceeded", 403)
    assert b"<UsedBytes>5</UsedBytes>" in call("GET")[1]
    assert call("DELETE")[0] == 204
    s3.put_object(Bucket=bucket, Key="l", Body=b"6")


def test_settings_by_s3cmd_and_the_aws_command_line(
    store: Store, bucket: str, tmp_path: Path
) -> None:
    config, cors = tmp_path / "s3cfg", tmp_path / "cors.xml"
    config.write_text(
        f"[default]\naccess_key = {ACCESS}\nsecret_key = {SECRET}\nuse_https = False\n"
        f"host_base = 127.0.0.1:{store.port}\nhost_bucket = 127.0.0.1:{store.port}/%(bucket)\n"
    )
    cors.write_text(
        "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET"
        "</AllowedMethod></CORSRule></CORSConfiguration>"
    )

    def s3cmd(*words: str) -> str:
        return tool(store, "s3cmd", "-c", str(config), *words)

    s3cmd("setcors", str(cors), f"s3://{bucket}")
    s3cmd("ws-create", "--ws-index=index.html", "--ws-error=error.html", f"s3://{bucket}")
    s3cmd("settagging", f"s3://{bucket}", "a=b&c=d")
    assert "<AllowedMethod>GET" in s3cmd("info", f"s3://{bucket}").replace(" ", "")
    assert "index.html" in s3cmd("ws-info", f"s3://{bucket}")
    assert "a: b" in s3cmd("gettagging", f"s3://{bucket}").replace("\t", " ")
    s3cmd("ws-delete", f"s3://{bucket}")
    s3cmd("delcors", f"s3://{bucket}")
    tool(store, "aws", "s3", "website", f"s3://{bucket}", "--index-document", "i.html")
    told = tool(store, "aws", "s3api", "get-bucket-website", "--bucket", bucket)
    assert "i.html" in told


def test_locks_by_minio(store: Store, bucket: str) -> None:
    client = minio.Minio(f"127.0.0.1:{store.port}", ACCESS, SECRET, secure=False)
    name, until = f"{bucket}-kept", dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    client.make_bucket(name, object_lock=True)
    client.set_object_lock_config(name, ObjectLockConfig(GOVERNANCE, 1, DAYS))
    client.put_object(name, "k", io.BytesIO(b"x"), 1, retention=Retention(GOVERNANCE, until))
    client.enable_object_legal_hold(name, "k")
    tags = Tags.new_bucket_tags()
    tags["a"] = "b"
    client.set_bucket_tags(name, tags)

    told = client.get_object_lock_config(name)
    assert (told.duration, told.duration_unit) == (1, DAYS)
    assert client.is_object_legal_hold_enabled(name, "k")
    kept = client.get_object_retention(name, "k")
    assert kept is not None
    assert abs(kept.retain_until_date - until) < dt.timedelta(seconds=1)
    assert client.get_bucket_tags(name) == {"a": "b"}
