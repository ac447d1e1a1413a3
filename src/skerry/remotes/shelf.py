"""A bucket as a clean sees it: what is in it, and how that is deleted.

Two implement this: `s3_shelf` for any S3, `b2_shelf` for Backblaze B2 by its own API. One contract
suite passes on both. Calls block, and may come from several threads.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from skerry.remotes.clean_plan import Upload, Version


class Shelf(Protocol):
    """A bucket. Every call raises Denied, NotFound and NotAvailable as the remote tells."""

    name: str
    """How it is called in messages."""

    at_once: int
    """How many versions one request deletes."""

    def version_pages(self, prefix: str) -> Iterator[Sequence[Version]]:
        """Yield all versions and markers, by key, the newest of each first; a request a page."""
        ...

    def upload_pages(self, prefix: str) -> Iterator[Sequence[Upload]]:
        """Yield all unfinished uploads; a request a page."""
        ...

    def upload_bytes(self, upload: Upload) -> int:
        """Return how many bytes an unfinished upload holds; 0 if it is gone."""
        ...

    def delete(self, versions: Sequence[Version]) -> dict[Version, str]:
        """Delete these versions, at most `at_once`; return which were not, each with the reason.

        One that is gone already is no failure.
        """
        ...

    def cancel(self, upload: Upload) -> str | None:
        """Cancel an unfinished upload; return why not. One that is gone already is no failure."""
        ...
