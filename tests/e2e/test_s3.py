"""`skerry s3`, driven by clients of other people's making, unchanged. Needs no root."""

import contextlib
import http.client
import io
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import minio
import obstore
import pyarrow as pa
import pytest
import s3fs
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from minio.deleteobjects import DeleteObject
from obstore.store import S3Store
from pyarrow import fs, parquet

from tests.e2e.conftest import SKERRY, free_port

ACCESS, SECRET = "tester", "secret-of-tester"
KILLS = int(os.environ.get("SKERRY_TEST_KILLS", "10"))
BIG = bytes(range(256)) * (20 << 12)  # 20 MiB, which clients upload in parts


class Store:
    """A server on a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, **more: str) -> str:
        """Start it; return what it says before it is ready."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MINIO_", "S3_"))}
        self.process = subprocess.Popen(
            [SKERRY, "s3", "--dir", str(self.directory), "--listen", f"127.0.0.1:{self.port}"],
            env={**plain, **(more or {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET})},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            if line.startswith("skerry s3 is ready"):
                return said
            said += line
        raise AssertionError(said)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def client(self, access: str = ACCESS, secret: str = SECRET, **options: Any) -> Any:
        config = Config(signature_version="s3v4", **options)
        make: Any = boto3.client  # pyright: ignore[reportUnknownMemberType]
        return make(
            "s3", endpoint_url=self.url, region_name="us-east-1", config=config,
            aws_access_key_id=access, aws_secret_access_key=secret,
        )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("objects"))
    made.start()
    yield made
    assert made.end() == 0


@pytest.fixture
def bucket(store: Store, request: pytest.FixtureRequest) -> str:
    name = f"t-{abs(hash(request.node.nodeid)) % 10**10}"
    store.client().create_bucket(Bucket=name)
    return name


def code_of(caught: pytest.ExceptionInfo[Any]) -> tuple[str, int]:
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_objects_with_what_is_said_of_them(store: Store, bucket: str) -> None:
    s3 = store.client()
    key = "a b/c+d=é&?.txt"
    s3.put_object(
        Bucket=bucket, Key=key, Body=b"hello", ContentType="text/plain", Metadata={"me": "you"},
        CacheControl="no-cache", Tagging="k=v%20w",
    )  # fmt: skip

    found = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    assert found["Body"].read() == b"hello"
    assert (found["ContentType"], found["CacheControl"]) == ("text/plain", "no-cache")
    assert (found["Metadata"], found["TagCount"]) == ({"me": "you"}, 1)
    assert found["ChecksumCRC32"] == "NhCmhg=="
    tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    assert tags == [{"Key": "k", "Value": "v w"}]
    part = s3.get_object(Bucket=bucket, Key=key, Range="bytes=1-3")
    assert (part["Body"].read(), part["ContentRange"]) == (b"ell", "bytes 1-3/5")
    assert s3.get_object(Bucket=bucket, Key=key, Range="bytes=-2")["Body"].read() == b"lo"
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key=key, Range="bytes=5-")
    assert code_of(caught) == ("InvalidRange", 416)
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key=key, IfNoneMatch=found["ETag"])
    assert code_of(caught)[1] == 304


def test_big_objects_in_parts_and_copies(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.upload_fileobj(io.BytesIO(BIG), bucket, "parts")
    s3.put_object(Bucket=bucket, Key="whole", Body=BIG)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "parts"})
    s3.copy(CopySource={"Bucket": bucket, "Key": "whole"}, Bucket=bucket, Key="copied")

    for key in ("parts", "whole", "copy", "copied"):
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == BIG, key
    middle = s3.get_object(Bucket=bucket, Key="parts", Range="bytes=8388600-8388700")
    assert middle["Body"].read() == BIG[8388600:8388701]
    assert s3.head_object(Bucket=bucket, Key="parts", PartNumber=1)["PartsCount"] == 3
    assert s3.head_object(Bucket=bucket, Key="parts")["ETag"].endswith('-3"')


def test_an_upload_is_listed_and_given_up(store: Store, bucket: str) -> None:
    s3 = store.client()
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etag = s3.upload_part(**named, PartNumber=2, Body=b"small")["ETag"]
    s3.upload_part(**named, PartNumber=7, Body=b"last")
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [each["UploadId"] for each in uploads] == [upload]
    assert [each["PartNumber"] for each in s3.list_parts(**named)["Parts"]] == [2, 7]
    for parts, code in (
        ([{"PartNumber": 2, "ETag": etag}, {"PartNumber": 7, "ETag": '"x"'}], "InvalidPart"),
        ([{"PartNumber": 2, "ETag": etag}, {"PartNumber": 2, "ETag": etag}], "InvalidPartOrder"),
    ):
        with pytest.raises(ClientError) as caught:
            s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        assert code_of(caught)[0] == code

    s3.abort_multipart_upload(**named)
    with pytest.raises(ClientError) as caught:
        s3.list_parts(**named)
    assert code_of(caught) == ("NoSuchUpload", 404)


def test_versions_and_markers(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k")
    assert code_of(caught) == ("NoSuchKey", 404)
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"before"

    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    told = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [each["VersionId"] for each in told] == [first, "null"]


def test_listings_page_by_page(store: Store, bucket: str) -> None:
    s3 = store.client()
    keys = [f"{top}/{n:03}" for top in "abc" for n in range(25)] + ["a-", "d"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")

    for name, field in (("list_objects_v2", "Contents"), ("list_objects", "Contents")):
        pages = s3.get_paginator(name).paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
        assert [each["Key"] for page in pages for each in page[field]] == sorted(keys)
        pages = s3.get_paginator(name).paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2}
        )
        prefixes = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        assert prefixes == ["a/", "b/", "c/"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="c/023")["Contents"]
    assert [each["Key"] for each in after] == ["c/024", "d"]
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(gone["Deleted"]) == len(keys)
    s3.delete_bucket(Bucket=bucket)


def test_of_two_who_create_one_key_one_does(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_object(Bucket=bucket, Key="lock", Body=b"1", IfNoneMatch="*")

    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="lock", Body=b"2", IfNoneMatch="*")

    assert code_of(caught) == ("PreconditionFailed", 412)


def test_who_has_no_key_or_a_wrong_one_is_refused(store: Store, bucket: str) -> None:
    for access, secret, code in (
        ("nobody", SECRET, "InvalidAccessKeyId"), (ACCESS, "wrong", "SignatureDoesNotMatch"),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            store.client(access, secret).list_buckets()
        assert code_of(caught) == (code, 403)
    with pytest.raises(urllib.request.HTTPError) as refused:
        urllib.request.urlopen(f"{store.url}/{bucket}", timeout=20)
    assert refused.value.code == 403
    refused.value.close()


def test_a_presigned_url_opens_one_object(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})

    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.read() == b"hello"
    with pytest.raises(urllib.request.HTTPError) as refused:
        urllib.request.urlopen(url.replace("/k?", "/other?"), timeout=20)
    assert refused.value.code == 403
    refused.value.close()


def test_what_is_not_built_says_so(store: Store, bucket: str) -> None:
    with pytest.raises(ClientError) as caught:
        store.client().put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})

    assert code_of(caught) == ("NotImplemented", 501)
    assert "PutBucketLogging" in str(caught.value)


def test_what_nobody_has_set_is_told_so(store: Store, bucket: str) -> None:
    s3 = store.client()
    (grant,) = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert (grant["Permission"], grant["Grantee"]["Type"]) == ("FULL_CONTROL", "CanonicalUser")
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="private")
    assert len(s3.get_object_acl(Bucket=bucket, Key="k")["Grants"]) == 1
    with pytest.raises(ClientError) as caught:
        s3.get_bucket_policy(Bucket=bucket)
    assert code_of(caught) == ("NoSuchBucketPolicy", 404)


def tool(store: Store, *words: str) -> str:
    """Run a client's command line, of this environment or of the system."""
    environment = {
        **os.environ, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": store.url,
        "S3_ENDPOINT_URL": store.url, "RCLONE_CONFIG_R_TYPE": "s3",
        "RCLONE_CONFIG_R_PROVIDER": "Other", "RCLONE_CONFIG_R_ACCESS_KEY_ID": ACCESS,
        "RCLONE_CONFIG_R_SECRET_ACCESS_KEY": SECRET, "RCLONE_CONFIG_R_ENDPOINT": store.url,
        "AWS_CONFIG_FILE": os.devnull, "RCLONE_CONFIG": os.devnull, "RESTIC_PASSWORD": "x",
    }  # fmt: skip
    own = Path(sys.executable).parent / words[0]
    program = str(own) if own.exists() else words[0]
    done = subprocess.run(
        [program, *words[1:]], env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout.decode()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    (made / "deep").mkdir(parents=True)
    (made / "small file.txt").write_bytes(b"hi\n")
    (made / "deep" / "big").write_bytes(BIG)
    return made


def same(one: Path, other: Path) -> None:
    assert (other / "small file.txt").read_bytes() == (one / "small file.txt").read_bytes()
    assert (other / "deep" / "big").read_bytes() == (one / "deep" / "big").read_bytes()


def test_the_aws_command_line(store: Store, bucket: str, tree: Path, tmp_path: Path) -> None:
    tool(store, "aws", "s3", "sync", str(tree), f"s3://{bucket}/t", "--no-progress")
    tool(
        store, "aws", "s3", "mv", f"s3://{bucket}/t/deep/big", f"s3://{bucket}/t/x", "--no-progress"
    )
    tool(
        store, "aws", "s3", "cp", f"s3://{bucket}/t/x", f"s3://{bucket}/t/deep/big", "--no-progress"
    )
    tool(store, "aws", "s3", "sync", f"s3://{bucket}/t", str(tmp_path / "back"), "--no-progress")
    listed = tool(store, "aws", "s3", "ls", "--recursive", f"s3://{bucket}")

    same(tree, tmp_path / "back")
    assert "t/small file.txt" in listed
    tool(store, "aws", "s3", "rb", "--force", f"s3://{bucket}")


def test_s5cmd(store: Store, bucket: str, tree: Path, tmp_path: Path) -> None:
    tool(store, "s5cmd", "cp", f"{tree}/", f"s3://{bucket}/t/")
    tool(store, "s5cmd", "cp", f"s3://{bucket}/t/*", f"{tmp_path}/back/")

    same(tree, tmp_path / "back")
    assert tool(store, "s5cmd", "cat", f"s3://{bucket}/t/small file.txt") == "hi\n"
    tool(store, "s5cmd", "rm", f"s3://{bucket}/t/*")


def test_s3cmd(store: Store, bucket: str, tree: Path, tmp_path: Path) -> None:
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {ACCESS}\nsecret_key = {SECRET}\nuse_https = False\n"
        f"host_base = 127.0.0.1:{store.port}\nhost_bucket = 127.0.0.1:{store.port}/%(bucket)\n"
    )

    def s3cmd(*words: str) -> None:
        tool(store, "s3cmd", "-c", str(config), "-q", *words)

    s3cmd("sync", f"{tree}/", f"s3://{bucket}/t/")
    s3cmd("cp", f"s3://{bucket}/t/deep/big", f"s3://{bucket}/t/copy")
    s3cmd("sync", f"s3://{bucket}/t/", f"{tmp_path}/back/")
    s3cmd("mb", f"s3://{bucket}-new")
    s3cmd("rb", f"s3://{bucket}-new")
    s3cmd("del", "-r", f"s3://{bucket}/t/")

    same(tree, tmp_path / "back")


def test_rclone(store: Store, bucket: str, tree: Path, tmp_path: Path) -> None:
    tool(store, "rclone", "sync", str(tree), f"r:{bucket}/t")
    tool(store, "rclone", "check", str(tree), f"r:{bucket}/t")
    tool(store, "rclone", "moveto", f"r:{bucket}/t/deep/big", f"r:{bucket}/t/x")
    tool(store, "rclone", "moveto", f"r:{bucket}/t/x", f"r:{bucket}/t/deep/big")
    tool(store, "rclone", "copy", f"r:{bucket}/t", str(tmp_path / "back"))
    tool(store, "rclone", "purge", f"r:{bucket}/t")

    same(tree, tmp_path / "back")


def test_a_shell_takes_what_the_docs_say_of_rclone(store: Store, bucket: str, tree: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "s3.md").read_text().splitlines()
    said = next(each for each in docs if each.startswith("    rclone copy dir "))
    said = said.replace("http://127.0.0.1:9000", store.url).replace(":data'", f":{bucket}'")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "PATH": programs}

    subprocess.run(
        ["/bin/sh", "-c", said.replace(" dir ", f" {tree} ")], env=os.environ | keys, check=True
    )

    assert store.client().head_object(Bucket=bucket, Key="deep/big")["ContentLength"] == len(BIG)


def test_restic(store: Store, bucket: str, tree: Path, tmp_path: Path) -> None:
    def restic(*words: str) -> None:
        repository = f"s3:{store.url}/{bucket}/backup"
        tool(store, "restic", "-r", repository, "--cache-dir", str(tmp_path / "cache"), *words)

    restic("init")
    restic("backup", str(tree))
    restic("check", "--read-data")
    restic("restore", "latest", "--target", str(tmp_path / "back"))

    same(tree, Path(f"{tmp_path}/back{tree}"))


def test_minios_own_client(store: Store, bucket: str) -> None:
    client = minio.Minio(f"127.0.0.1:{store.port}", ACCESS, SECRET, secure=False)
    client.put_object(bucket, "big", io.BytesIO(BIG), len(BIG))
    with contextlib.closing(client.get_object(bucket, "big")) as found:
        assert found.read() == BIG
    client.put_object(bucket, "small", io.BytesIO(b"x"), 1)

    listed = [each.object_name for each in client.list_objects(bucket, recursive=True)]
    assert listed == ["big", "small"]
    assert list(client.remove_objects(bucket, [DeleteObject("big"), DeleteObject("small")])) == []


def test_obstore(store: Store, bucket: str) -> None:
    client: Any = S3Store(
        bucket, endpoint=store.url, access_key_id=ACCESS, secret_access_key=SECRET,
        region="us-east-1", client_options={"allow_http": True},
    )  # fmt: skip
    obstore.put(client, "a", b"abc", mode="create")
    with pytest.raises(Exception, match="lready"):
        obstore.put(client, "a", b"abc", mode="create")
    obstore.put(client, "big", BIG)

    assert bytes(obstore.get(client, "big").bytes()) == BIG
    assert bytes(obstore.get_range(client, "big", start=5, end=9)) == BIG[5:9]
    obstore.copy(client, "a", "b")
    obstore.delete(client, ["a", "b", "big"])
    assert list(obstore.list(client).collect()) == []


def test_s3fs(store: Store, bucket: str, tree: Path, tmp_path: Path) -> None:
    files: Any = s3fs.S3FileSystem(
        key=ACCESS, secret=SECRET, endpoint_url=store.url, skip_instance_cache=True
    )
    files.put(str(tree), f"{bucket}/t", recursive=True)
    files.cp_file(f"{bucket}/t/deep/big", f"{bucket}/t/copy")
    files.get(f"{bucket}/t", str(tmp_path / "back"), recursive=True)
    with files.open(f"{bucket}/t/copy", "rb") as file:
        file.seek(8388600)
        assert file.read(101) == BIG[8388600:8388701]
    assert sorted(files.find(f"{bucket}/t")) == [
        f"{bucket}/t/{name}" for name in ("copy", "deep/big", "small file.txt")
    ]
    files.rm(f"{bucket}/t", recursive=True)

    same(tree, tmp_path / "back")
    assert not files.exists(f"{bucket}/t")


def test_pyarrow(store: Store, bucket: str) -> None:
    files = fs.S3FileSystem(
        access_key=ACCESS, secret_key=SECRET, endpoint_override=store.url, region="us-east-1",
        allow_bucket_creation=True, allow_bucket_deletion=True,
    )  # fmt: skip
    table = pa.table({"n": range(200_000), "s": ["x"] * 200_000})
    parquet.write_table(table, f"{bucket}/t/one.parquet", filesystem=files)
    with files.open_output_stream(f"{bucket}/t/big", metadata={"Content-Type": "a/b"}) as out:
        out.write(BIG)
    files.copy_file(f"{bucket}/t/big", f"{bucket}/t/copy")

    assert (
        parquet.read_table(f"{bucket}/t/one.parquet", filesystem=files, columns=["n"])[0]
        == table[0]
    )
    with files.open_input_file(f"{bucket}/t/copy") as found:
        assert found.read_at(101, 8388600) == BIG[8388600:8388701]
    listed = files.get_file_info(fs.FileSelector(bucket, recursive=True))
    assert [each.base_name for each in listed if each.is_file] == ["big", "copy", "one.parquet"]
    files.create_dir(f"{bucket}-new")
    files.delete_dir(f"{bucket}-new")
    files.delete_dir_contents(bucket)


def test_buckets_and_keys_by_the_environment(tmp_path: Path) -> None:
    store = Store(tmp_path)
    more = {"MINIO_ROOT_USER": "admin", "MINIO_ROOT_PASSWORD": "password"}
    for buckets in ("one,pub:download", "one,two"):
        store.start(**more, MINIO_DEFAULT_BUCKETS=buckets)
        s3 = store.client("admin", "password")
        s3.put_object(Bucket="pub", Key="k", Body=b"all")
        with urllib.request.urlopen(f"{store.url}/pub/k", timeout=20) as answer:
            assert answer.read() == b"all"
        with urllib.request.urlopen(f"{store.url}/minio/health/ready", timeout=20) as answer:
            assert answer.status == 200
        assert store.end() == 0
    assert "its secret is in" in store.start(HOME=str(tmp_path))
    access, secret = (tmp_path / "root-key").read_text().split()
    names = [each["Name"] for each in store.client(access, secret).list_buckets()["Buckets"]]
    assert names == ["one", "pub", "two"]
    assert store.end() == 0


def test_nothing_acknowledged_is_lost_when_it_is_killed_under_load(tmp_path: Path) -> None:
    store = Store(tmp_path)
    acknowledged: dict[str, bytes] = {}
    counted = threading.Semaphore(0)
    store.start()
    store.client().create_bucket(Bucket="bkt")

    def put(thread: int, life: int) -> None:
        s3 = store.client(retries={"max_attempts": 0}, read_timeout=20)
        for number in range(10**6):
            key, data = f"{thread}/{number % 50}", b"%d-%d" % (life, number) * (1 + number % 3000)
            try:
                s3.put_object(Bucket="bkt", Key=key, Body=data)
            except (BotoCoreError, ClientError, http.client.HTTPException):
                acknowledged[key] = b""  # it may be the one or the other
                return
            acknowledged[key] = data
            counted.release()

    for life in range(KILLS):
        threads = [threading.Thread(target=put, args=(n, life)) for n in range(4)]
        for each in threads:
            each.start()
        for _ in range(10 + 40 * (life % 10)):
            assert counted.acquire(timeout=60)
        store.end(signal.SIGKILL)
        for each in threads:
            each.join()
        store.start()
    s3 = store.client()
    for key, data in acknowledged.items():
        if data:
            assert s3.get_object(Bucket="bkt", Key=key)["Body"].read() == data
    assert store.end() == 0
