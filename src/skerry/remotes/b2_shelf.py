"""A bucket of Backblaze B2 as a clean sees it, by B2's own API.

b2sdk is an extra (docs/decisions), imported late.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from skerry.base import Denied, Failed, Invalid, NotAvailable, NotFound, SkerryError
from skerry.remotes.clean_plan import Upload, Version
from skerry.remotes.model import Remote

B2: TypeAlias = Any
"""A B2Api of b2sdk.v3."""

_PAGE_VERSIONS = 1000  # a page of more is billed as more
_PAGE_PARTS = 1000
_UPLOADS_PAGE = 100  # B2 lists no more
_REALM = "production"
_MILLISECOND_NS = 10**6


def connect_b2(remote: Remote) -> B2:
    """Return an API that the key of a remote has opened.

    Raises NotAvailable(b2_not_installed), and as `B2Shelf`.
    """
    try:
        from b2sdk.v3 import B2Api, InMemoryAccountInfo  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise NotAvailable(
            "b2_not_installed",
            f"This needs {error.name}, which is not installed: `pip install 'skerry[b2]'` "
            "brings it.",
        ) from None
    made: B2 = B2Api(InMemoryAccountInfo())
    with _told():
        made.authorize_account(remote.access_key, remote.secret, remote.endpoint or _REALM)
    return made


def bucket_names(api: B2) -> list[str]:
    """Return the names of all buckets. Raises as `B2Shelf`."""
    with _told():
        return [each.name for each in api.list_buckets()]


class B2Shelf:
    """Implements Shelf by b2_list_file_versions and b2_delete_file_version.

    Raises Denied, NotFound, Invalid and NotAvailable with the code of B2.
    """

    at_once = 1
    page = _PAGE_VERSIONS
    """How many versions a request lists."""

    def __init__(self, api: B2, bucket: str) -> None:
        self.name = bucket
        with _told():
            self._id: str = api.get_bucket_by_name(bucket).id_
        self._session: Any = api.session

    def version_pages(self, prefix: str) -> Iterator[Sequence[Version]]:
        """Yield all versions and the markers that hide them."""
        after: tuple[str | None, str | None] = (prefix or None, None)
        before = None  # the key of the page before: its versions may go on
        while True:
            with _told():
                page = self._session.list_file_versions(self._id, *after, self.page, prefix)
            found: list[Version] = []
            for row in page["files"]:
                # `start` is an unfinished upload, which hides nothing and is listed apart.
                if row["action"] in ("upload", "copy", "hide"):
                    found.append(_version(row, is_latest=row["fileName"] != before))
                    before = row["fileName"]
            yield found
            if page["nextFileName"] is None:
                return
            after = (page["nextFileName"], page["nextFileId"])

    def upload_pages(self, prefix: str) -> Iterator[Sequence[Upload]]:
        """Yield all unfinished large files."""
        after: str | None = None
        while True:
            with _told():
                page = self._session.list_unfinished_large_files(
                    self._id, after, _UPLOADS_PAGE, prefix
                )
            yield [
                Upload(
                    key=row["fileName"], upload_id=row["fileId"],
                    began_at_ns=row["uploadTimestamp"] * _MILLISECOND_NS,
                )
                for row in page["files"]
            ]  # fmt: skip
            after = page["nextFileId"]
            if after is None:
                return

    def upload_bytes(self, upload: Upload) -> int:
        """Return how many bytes an unfinished large file holds."""
        total, after = 0, 1
        try:
            while after is not None:
                with _told():
                    page = self._session.list_parts(upload.upload_id, after, _PAGE_PARTS)
                total += sum(part["contentLength"] for part in page["parts"])
                after = page["nextPartNumber"]
        except (NotFound, Invalid):
            return 0
        return total

    def delete(self, versions: Sequence[Version]) -> dict[Version, str]:
        """Delete versions by the ids of their files."""
        refused: dict[Version, str] = {}
        for each in versions:
            reason = self._gone(self._session.delete_file_version, each.version_id, each.key)
            if reason is not None:
                refused[each] = reason
        return refused

    def cancel(self, upload: Upload) -> str | None:
        """Cancel a large file."""
        return self._gone(self._session.cancel_large_file, upload.upload_id)

    def _gone(self, call: Any, *named: str) -> str | None:  # noqa: ANN401 - of b2sdk
        try:
            with _told():
                call(*named)
        except NotFound:
            return None
        except (Denied, Invalid) as error:
            return error.message
        return None


def _version(row: Mapping[str, Any], *, is_latest: bool) -> Version:
    return Version(
        key=row["fileName"],
        version_id=row["fileId"],
        is_latest=is_latest,
        is_marker=row["action"] == "hide",
        size_bytes=row.get("contentLength") or 0,
        modified_at_ns=row["uploadTimestamp"] * _MILLISECOND_NS,
    )


@contextmanager
def _told() -> Generator[None]:
    """Raise what b2sdk raises as errors of ours."""
    from b2sdk.v3 import exception  # noqa: PLC0415

    # The first that fits. b2sdk itself has tried again what may work later.
    kinds: Sequence[tuple[Any, type[SkerryError]]] = (
        (
            (exception.FileNotPresent, exception.NonExistentBucket, exception.BucketIdNotFound),
            NotFound,
        ),
        ((exception.Unauthorized, exception.AccessDenied, exception.RestrictedBucket), Denied),
        (exception.NotAllowedByAppKeyError, Denied),
        ((exception.TransientErrorMixin, exception.TooManyRequests), NotAvailable),
        ((exception.CapExceeded, exception.MaxRetriesExceeded), NotAvailable),
        (exception.BadRequest, Invalid),
    )
    try:
        yield
    except exception.B2Error as error:
        made = next((ours for theirs, ours in kinds if isinstance(error, theirs)), Failed)
        raise made("b2_refused", f"B2: {error}") from None
