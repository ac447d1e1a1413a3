"""Encryption by keys of the store and of clients, as boto3, the AWS command line, minio-py and pyiceberg use it."""

import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minio
import pyarrow as pa
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from minio.sse import SseCustomerKey, SseS3
from pyiceberg.catalog import Catalog, load_catalog

from tests.e2e.test_s3 import ACCESS, BIG, SECRET, Store, code_of

KEY, OTHER = b"k" * 32, b"o" * 32
MINE: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
THEIRS: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": OTHER}
SOURCE: dict[str, Any] = {f"CopySource{name}": value for name, value in MINE.items()}
PARTS = TransferConfig(multipart_threshold=8 << 20)
MINE_ALONE = BIG[::-1]  # bytes that no other test leaves in the store unencrypted
DEFAULT = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("sealed"))
    made.start()
    yield made
    assert made.end() == 0


@pytest.fixture
def bucket(store: Store, request: pytest.FixtureRequest) -> str:
    name = f"t-{abs(hash(request.node.nodeid)) % 10**10}"
    store.client().create_bucket(Bucket=name)
    return name


def tables(store: Store) -> Catalog:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a later version wants to be told where tokens are
        return load_catalog("x", type="rest", uri=f"{store.url}/iceberg", warehouse="lake")


def on_disk(store: Store, needle: bytes) -> bool:
    """Tell whether bytes lie anywhere in the store."""
    files = [path for path in store.directory.rglob("*") if path.is_file()]
    return any(needle in path.read_bytes() for path in files)


def test_a_clients_key_for_small_objects_and_those_in_parts(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_object(Bucket=bucket, Key="small", Body=b"nobody else reads it", **MINE)
    s3.upload_fileobj(io.BytesIO(MINE_ALONE), bucket, "big", ExtraArgs=MINE, Config=PARTS)

    assert s3.get_object(Bucket=bucket, Key="small", **MINE)["Body"].read(6) == b"nobody"
    found = s3.get_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED", **MINE)
    assert (found["Body"].read(), found["ContentLength"]) == (MINE_ALONE, len(MINE_ALONE))
    across = s3.get_object(Bucket=bucket, Key="big", Range="bytes=8388600-8388700", **MINE)
    assert across["Body"].read() == MINE_ALONE[8388600:8388701]
    into = io.BytesIO()
    s3.download_fileobj(bucket, "big", into, ExtraArgs=MINE)
    assert into.getvalue() == MINE_ALONE
    assert s3.head_object(Bucket=bucket, Key="big", PartNumber=1, **MINE)["PartsCount"] == 3
    for needle in (b"nobody else reads", MINE_ALONE[:256], KEY):
        assert not on_disk(store, needle)


def test_who_has_not_the_key_gets_nothing(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"a", **MINE)

    for key, code in (({}, ("InvalidRequest", 400)), (THEIRS, ("AccessDenied", 403))):
        with pytest.raises(ClientError) as caught:
            s3.get_object(Bucket=bucket, Key="k", **key)
        assert code_of(caught) == code
        with pytest.raises(ClientError) as caught:
            s3.head_object(Bucket=bucket, Key="k", **key)
        assert code_of(caught)[1] == code[1]


def test_copies_change_the_key(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.upload_fileobj(io.BytesIO(BIG), bucket, "k", ExtraArgs=MINE, Config=PARTS)
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="theirs", CopySource=source, **SOURCE, **THEIRS)
    s3.copy(source, bucket, "parts", {**SOURCE, **THEIRS}, Config=PARTS)
    s3.copy_object(
        Bucket=bucket, Key="s3", CopySource=source, ServerSideEncryption="AES256", **SOURCE
    )
    s3.copy_object(Bucket=bucket, Key="plain", CopySource=source, **SOURCE)

    for name, key in (("theirs", THEIRS), ("parts", THEIRS), ("s3", {}), ("plain", {})):
        found = s3.get_object(Bucket=bucket, Key=name, **key)
        assert found["Body"].read() == BIG, name
        assert found.get("ServerSideEncryption") == ("AES256" if name == "s3" else None)


def test_a_buckets_default(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=DEFAULT)
    told = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"this shall not lie there")
    s3.upload_fileobj(io.BytesIO(BIG), bucket, "big", Config=PARTS)

    assert told[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.head_object(Bucket=bucket, Key="big")["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"this shall not lie there"
    assert not on_disk(store, b"this shall not lie there")
    s3.delete_bucket_encryption(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.get_bucket_encryption(Bucket=bucket)
    assert code_of(caught) == ("ServerSideEncryptionConfigurationNotFoundError", 404)


def test_it_can_be_read_after_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.start()
    store.client().create_bucket(Bucket="bkt")
    for name, how in (("s3", {"ServerSideEncryption": "AES256"}), ("c", MINE)):
        store.client().put_object(Bucket="bkt", Key=name, Body=name.encode() * 9, **how)
    store.end(signal.SIGKILL)
    for path in tmp_path.glob("index.db*"):
        path.unlink()
    store.start()

    for name, key in (("s3", {}), ("c", MINE)):
        found = store.client().get_object(Bucket="bkt", Key=name, **key)
        assert found["Body"].read() == name.encode() * 9
    assert store.end() == 0


def test_the_aws_command_line(store: Store, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "big").write_bytes(BIG)
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
                   "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": store.url}  # fmt: skip
    sealed = ("--sse-c", "AES256", "--sse-c-key", f"fileb://{tmp_path / 'key'}")
    for source, target in (
        (tmp_path / "big", f"s3://{bucket}/big"), (f"s3://{bucket}/big", tmp_path / "back"),
    ):  # fmt: skip
        command = [Path(sys.executable).with_name("aws"), "s3", "cp", source, target, *sealed]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)

    assert (tmp_path / "back").read_bytes() == BIG


def test_minios_client_with_keys_of_both_kinds(store: Store, bucket: str) -> None:
    client = minio.Minio(
        store.url.removeprefix("http://"), ACCESS, SECRET, secure=False, region="us-east-1"
    )
    client.put_object(bucket, "s3", io.BytesIO(b"hello"), 5, sse=SseS3())
    client.put_object(bucket, "c", io.BytesIO(BIG), len(BIG), sse=SseCustomerKey(KEY))

    assert client.get_object(bucket, "s3").read() == b"hello"
    assert client.get_object(bucket, "c", ssec=SseCustomerKey(KEY)).read() == BIG
    assert client.stat_object(bucket, "c", ssec=SseCustomerKey(KEY)).size == len(BIG)


def test_tables_in_a_bucket_that_encrypts_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.start(
        AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, SKERRY_BUCKETS="lake:public"
    )
    store.client().put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration=DEFAULT)
    tables(store).create_namespace("n")
    table = tables(store).create_table(("n", "t"), pa.schema([pa.field("words", pa.string())]))
    table.append(pa.table({"words": ["nobody-else-reads-it"]}))

    assert tables(store).load_table(("n", "t")).scan().to_arrow().num_rows == 1
    assert not on_disk(store, b"nobody-else-reads-it")
    assert not on_disk(store, b'"format-version"')
    assert store.end() == 0
