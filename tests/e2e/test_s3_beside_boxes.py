"""The object store that `skerry up` serves: the root's key, and a life of its own."""

import os
import signal
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.e2e.conftest import Program


@pytest.fixture
def s3(program: Program) -> Any:
    access, secret = (program.data / "objects" / "root-key").read_text().split()
    make: Any = boto3.client  # pyright: ignore[reportUnknownMemberType]
    return make(
        "s3", endpoint_url=f"http://127.0.0.1:{program.s3_port}", region_name="us-east-1",
        aws_access_key_id=access, aws_secret_access_key=secret,
        config=Config(signature_version="s3v4", retries={"max_attempts": 8}),
    )  # fmt: skip


def test_objects_outlive_a_daemon_that_is_killed(program: Program, s3: Any) -> None:
    s3.create_bucket(Bucket="beside")
    s3.put_object(Bucket="beside", Key="k", Body=b"kept")
    store = int((program.data / "s3" / "lock").read_text())
    program.kill()
    assert s3.get_object(Bucket="beside", Key="k")["Body"].read() == b"kept"
    program.start()

    assert int((program.data / "s3" / "lock").read_text()) == store
    assert s3.get_object(Bucket="beside", Key="k")["Body"].read() == b"kept"
    s3.delete_object(Bucket="beside", Key="k")
    s3.delete_bucket(Bucket="beside")


def test_a_store_that_is_killed_is_started_again(program: Program, s3: Any) -> None:
    before = int((program.data / "s3" / "lock").read_text())
    os.kill(before, signal.SIGKILL)
    assert s3.list_buckets()["Buckets"] == []
    assert int((program.data / "s3" / "lock").read_text()) != before
