"""What the store asks of a disk.

`host.object_disk` is the real one, `testing.object_disk` one that loses what was not synced.

Segments are files that grow at their end, by number. Files hold the bytes of big objects; they are
written once, under a name that nobody knows yet, and are there after `keep`.
"""

from collections.abc import Sequence
from typing import Protocol

from skerry.objects.records import Buffer


class Scratch(Protocol):
    """A file that is being written. All but `discard` raise what a full or broken disk does."""

    def write(self, data: Buffer) -> None:
        """Append data. The reserve is not for it."""
        ...

    def keep(self, file_id: str) -> None:
        """Have it on disk under its id, for good; what was written is synced before."""
        ...

    def discard(self) -> None:
        """Let go of it. After `keep` nothing happens."""
        ...


class Disk(Protocol):
    """Files that can be named, synced and lost.

    Raises LimitReached(data_full), NotAvailable(data_unwritable) where it writes, and
    Failed(data_unreadable) where it reads. Used by several threads.
    """

    def check_room(self) -> None:
        """Raise LimitReached(data_full) where only the reserve is left: it is for making room."""
        ...

    def segments(self) -> list[int]:
        """Return the numbers of the segments there are, in order."""
        ...

    def make_segment(self, number: int) -> None:
        """Make an empty segment, which is there after a power cut too."""
        ...

    def write(self, segment: int, offset: int, pieces: Sequence[Buffer]) -> None:
        """Write pieces at offset, one after another, and sync them."""
        ...

    def cut(self, segment: int, size: int) -> None:
        """Shorten a segment, and sync that."""
        ...

    def read(self, segment: int, offset: int, size: int) -> bytes:
        """Return so many bytes, less at the end of the segment."""
        ...

    def read_cached(self, segment: int, offset: int, size: int) -> bytes | None:
        """Return what `read` does, None if that would have to wait for the disk."""
        ...

    def size(self, segment: int) -> int:
        """Return the size of a segment in bytes."""
        ...

    def remove_segment(self, number: int) -> None:
        """Remove a segment, for good; one that is not there is well."""
        ...

    def scratch(self) -> Scratch:
        """Begin a new file."""
        ...

    def files(self) -> list[str]:
        """Return the ids of the files that were kept."""
        ...

    def read_file(self, file_id: str, offset: int, size: int) -> bytes:
        """Return so many bytes of a file, less at its end."""
        ...

    def remove_file(self, file_id: str) -> None:
        """Remove a file; one that is not there is well."""
        ...
