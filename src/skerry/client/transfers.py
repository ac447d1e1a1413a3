"""What copies of whole trees into boxes and out of them have in common: how far they are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from skerry import wire

_T = TypeVar("_T")

_AT_ONCE = 8  # more do not move a byte sooner over one network, but hold more memory


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferProgress:
    """How far a transfer is. bytes_total is None while it is not known."""

    path: str
    files_done: int
    bytes_done: int
    bytes_total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What a transfer moved. skipped: what it could not move, each with the reason."""

    files: int
    size_bytes: int
    skipped: tuple[str, ...] = ()


Watcher: TypeAlias = Callable[[TransferProgress], None]


class Tally:
    """Counts what was moved, and tells who watches."""

    def __init__(self, watcher: Watcher | None, bytes_total: int | None) -> None:
        self._watcher = watcher
        self._bytes_total = bytes_total
        self.files = 0
        self.size_bytes = 0

    def moved(self, path: str, size_bytes: int) -> None:
        """Count bytes of path."""
        self.size_bytes += size_bytes
        self._tell(path)

    def finished(self, path: str) -> None:
        """Count path as done."""
        self.files += 1
        self._tell(path)

    async def counting(self, path: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield pieces of path, each counted once it has been taken."""
        async for piece in pieces:
            yield piece
            self.moved(path, len(piece))

    def _tell(self, path: str) -> None:
        if self._watcher is not None:
            self._watcher(
                TransferProgress(
                    path=path,
                    files_done=self.files,
                    bytes_done=self.size_bytes,
                    bytes_total=self._bytes_total,
                )
            )


def only_file(listing: wire.Listing) -> wire.Entry | None:
    """Return the entry if a listing is that of a file; a directory's names none by its own path."""
    match listing.entries:
        case [only] if only.path == listing.path and not only.is_dir:
            return only
        case _:
            return None


async def each_of(items: Iterable[_T], work: Callable[[_T], Awaitable[None]]) -> None:
    """Do work for each of items, a few at a time; the first error ends all."""
    source = iter(items)

    async def worker() -> None:
        for item in source:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(worker())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
