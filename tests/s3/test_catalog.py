"""What tables need of S3: keys to the files of one, and public buckets that clients can write to."""

import json
from pathlib import Path

import pytest

from skerry.base import Invalid
from skerry.objects import buckets
from skerry.objects.model import bucket_name
from skerry.s3.access import ANONYMOUS
from skerry.s3.catalog import table_policy
from tests.objects.place import get
from tests.s3.site import Site, parsed, tell


def test_a_key_to_a_table_reaches_its_files_alone() -> None:
    objects, listing = json.loads(table_policy("lake", "ns/t-1", is_writer=False))["Statement"]
    assert objects["Resource"] == "arn:aws:s3:::lake/ns/t-1/*"
    assert objects["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "ns/t-1/*"}}

    objects, _ = json.loads(table_policy("lake", "ns/t-1", is_writer=True))["Statement"]
    assert {"s3:PutObject", "s3:DeleteObject"} <= set(objects["Action"])
    assert "s3:DeleteObjectVersion" not in objects["Action"]


def test_no_bucket_has_the_name_of_the_catalogue() -> None:
    with pytest.raises(Invalid):
        bucket_name("iceberg")
    assert bucket_name("iceberg-1") == "iceberg-1"


def test_everybody_puts_in_chunks_and_deletes_in_a_public_bucket(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await buckets.put_setting(site.objects, "bkt", ANONYMOUS, b"public")
        head = "PUT /bkt/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-encoding: aws-chunked\r\n"
        told = "x-amz-decoded-content-length: 5\r\nx-amz-trailer: x-amz-checksum-crc64nvme\r\n"
        chunks = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc64nvme:M3eFcAZSQlc=\r\n\r\n"
        size = f"content-length: {len(chunks)}\r\n\r\n"
        put = parsed(await site.raw((head + told + size).encode() + chunks))
        assert put.status == 200  # as PyArrow sends it, without x-amz-content-sha256
        assert await get(site.objects, "bkt", "k") == b"hello"

        delete = b"DELETE /bkt/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        assert parsed(await site.raw(delete)).status == 204

    tell(tmp_path, story)
