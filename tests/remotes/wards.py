"""Buckets with versions, and ways to put things in them: at our own store, and at B2's simulator."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Protocol

from b2sdk.v3 import B2Api, B2HttpApiConfig, InMemoryAccountInfo, RawSimulator

from skerry.remotes.b2_shelf import B2Shelf
from skerry.remotes.s3_shelf import S3Shelf
from skerry.remotes.shelf import Shelf
from tests.remotes.place import Shore


class Ward(Protocol):
    """A bucket with versions, and ways to put things in it."""

    def shelf(self, bucket: str = "bkt") -> Shelf: ...
    def put(self, key: str, data: bytes) -> None: ...
    def hide(self, key: str) -> None: ...
    def begin(self, key: str) -> None: ...
    def read(self, key: str) -> bytes: ...


@dataclass
class S3Ward:
    shore: Shore

    def shelf(self, bucket: str = "bkt") -> Shelf:
        return S3Shelf(self.shore.client, bucket)

    def put(self, key: str, data: bytes) -> None:
        self.shore.put(key, data)

    def hide(self, key: str) -> None:
        self.shore.client.delete_object(Bucket="bkt", Key=key)

    def begin(self, key: str) -> None:
        client = self.shore.client
        named = {"Bucket": "bkt", "Key": key}
        named["UploadId"] = client.create_multipart_upload(**named)["UploadId"]
        client.upload_part(**named, PartNumber=1, Body=b"12345")

    def read(self, key: str) -> bytes:
        return self.shore.get(key)


@dataclass
class B2Ward:
    api: Any
    bucket: Any

    def shelf(self, bucket: str = "bkt") -> Shelf:
        return B2Shelf(self.api, bucket)

    def put(self, key: str, data: bytes) -> None:
        self.bucket.upload_bytes(data, key)

    def hide(self, key: str) -> None:
        self.bucket.hide_file(key)

    def begin(self, key: str) -> None:
        large = self.api.services.large_file.start_large_file(self.bucket.id_, key, "a/b", {})
        digest = hashlib.sha1(b"12345").hexdigest()
        self.api.session.upload_part(large.file_id, 1, 5, digest, io.BytesIO(b"12345"))

    def read(self, key: str) -> bytes:
        into = io.BytesIO()
        self.bucket.download_file_by_name(key).save(into)
        return into.getvalue()


def b2_ward() -> B2Ward:
    api: Any = B2Api(InMemoryAccountInfo(), api_config=B2HttpApiConfig(_raw_api_class=RawSimulator))
    api.authorize_account(*api.session.raw_api.create_account(), "production")
    return B2Ward(api, api.create_bucket("bkt", "allPrivate"))
