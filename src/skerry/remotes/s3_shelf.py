"""A bucket of any S3 as a clean sees it."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skerry.base import Denied, NotFound
from skerry.remotes.clean_plan import Upload, Version
from skerry.remotes.ends import moment_ns
from skerry.remotes.s3 import S3, pages, told

_UNVERSIONED = "null"
_GONE = ("NoSuchVersion", "NoSuchKey")


class S3Shelf:
    """Implements Shelf by ListObjectVersions and DeleteObjects."""

    at_once = 1000
    page = 1000
    """How many versions a request lists."""

    def __init__(self, client: S3, bucket: str) -> None:
        self.name = bucket
        self._client = client
        with told(bucket):
            status = client.get_bucket_versioning(Bucket=bucket).get("Status")
        # While versioning is off, a write takes the place of the version `null`: what was hidden
        # when it was listed would be current when it is deleted.
        self._null_can_go = status == "Enabled"

    def version_pages(self, prefix: str) -> Iterator[Sequence[Version]]:
        """Yield all versions and markers."""
        asked = {"Bucket": self.name, "Prefix": prefix, "MaxKeys": self.page}
        for page in pages(self._client, "list_object_versions", **asked):
            yield self._in_order(page)

    def _in_order(self, page: Mapping[str, Any]) -> list[Version]:
        """Return a page's versions and markers as they were before they were told apart.

        Of one key, the order among the versions is the listing's, and so is that among markers;
        between the two it is by time, the current one first.
        """
        versions = [self._version(row, is_marker=False) for row in page.get("Versions", ())]
        markers = [self._version(row, is_marker=True) for row in page.get("DeleteMarkers", ())]
        found: list[Version] = []
        left, right = map(_by_key, (versions, markers))
        for key in sorted(left.keys() | right.keys()):
            found += _merged(left.get(key, []), right.get(key, []))
        return found

    def _version(self, row: Mapping[str, Any], *, is_marker: bool) -> Version:
        version_id = row["VersionId"]
        return Version(
            key=row["Key"],
            version_id=version_id,
            is_latest=row["IsLatest"],
            is_marker=is_marker,
            size_bytes=row.get("Size", 0),
            modified_at_ns=moment_ns(row["LastModified"]),
            can_go=version_id != _UNVERSIONED or self._null_can_go,
        )

    def upload_pages(self, prefix: str) -> Iterator[Sequence[Upload]]:
        """Yield all unfinished uploads."""
        asked = {"Bucket": self.name, "Prefix": prefix}
        for page in pages(self._client, "list_multipart_uploads", **asked):
            yield [
                Upload(
                    key=row["Key"],
                    upload_id=row["UploadId"],
                    began_at_ns=moment_ns(row["Initiated"]),
                )
                for row in page.get("Uploads", ())
            ]

    def upload_bytes(self, upload: Upload) -> int:
        """Return how many bytes an upload holds."""
        named = {"Bucket": self.name, "Key": upload.key, "UploadId": upload.upload_id}
        try:
            found = pages(self._client, "list_parts", **named)
            return sum(part["Size"] for page in found for part in page.get("Parts", ()))
        except NotFound:
            return 0

    def delete(self, versions: Sequence[Version]) -> dict[Version, str]:
        """Delete versions by their ids, never by their keys alone."""
        assert all(each.version_id for each in versions), "a key alone would hide what is current"
        named = [{"Key": each.key, "VersionId": each.version_id} for each in versions]
        with told(self.name):
            answer = self._client.delete_objects(
                Bucket=self.name, Delete={"Objects": named, "Quiet": True}
            )
        told_of = {(each.key, each.version_id): each for each in versions}
        return {
            told_of[row["Key"], row["VersionId"]]: row.get("Message") or row.get("Code", "")
            for row in answer.get("Errors", ())
            if row.get("Code") not in _GONE
        }

    def cancel(self, upload: Upload) -> str | None:
        """Abort an upload."""
        named = {"Bucket": self.name, "Key": upload.key, "UploadId": upload.upload_id}
        try:
            with told(f"{self.name}/{upload.key}"):
                self._client.abort_multipart_upload(**named)
        except NotFound:
            pass
        except Denied as error:
            return error.message
        return None


def _by_key(versions: list[Version]) -> dict[str, list[Version]]:
    return {key: [*each] for key, each in itertools.groupby(versions, key=lambda v: v.key)}


def _merged(versions: list[Version], markers: list[Version]) -> list[Version]:
    def newest_first(version: Version) -> tuple[bool, int]:
        return (not version.is_latest, -version.modified_at_ns)

    merged: list[Version] = []
    left, right = [*versions], [*markers]
    while left and right:
        first = left if newest_first(left[0]) <= newest_first(right[0]) else right
        merged.append(first.pop(0))
    return merged + left + right
