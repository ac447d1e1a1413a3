"""What lies on the disk: there as long as anything names it, or somebody reads it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Generator
from concurrent.futures import ThreadPoolExecutor

from skerry.objects.disk import Disk


class Files:
    """Which files and segments are read, and which are to go. For the event loop's thread alone.

    Who finds a row and pins its files before they wait for anything cannot lose them: what a write
    has freed is told to `free` in the loop's next turn.
    """

    def __init__(self, disk: Disk, threads: ThreadPoolExecutor) -> None:
        self._disk = disk
        self._threads = threads
        self._pins = Counter[str | int]()
        self._doomed = set[str]()
        self._unpinned = asyncio.Event()

    @contextlib.contextmanager
    def pinned(self, files: Collection[str | int]) -> Generator[None]:
        """Keep files, and segments by their numbers, while the block lasts."""
        self._pins.update(files)
        try:
            yield
        finally:
            for file in files:
                self._pins[file] -= 1
                if not self._pins[file]:
                    del self._pins[file]
            gone = self._doomed.intersection(files) - self._pins.keys()
            self._doomed -= gone
            self._remove(gone)
            self._unpinned.set()

    def free(self, files: Collection[str]) -> None:
        """Remove files that nothing names any more, once nobody reads them."""
        read = self._pins.keys() & set(files)
        self._doomed |= read
        self._remove(set(files) - read)

    async def remove_segment(self, segment: int) -> None:
        """Remove a segment of which nothing counts any more, once nobody reads it; return then.

        Raises as writing does.
        """
        while self._pins[segment]:
            self._unpinned.clear()
            await self._unpinned.wait()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._disk.remove_segment, segment)

    def _remove(self, files: Collection[str]) -> None:
        for file in files:
            self._threads.submit(self._disk.remove_file, file)
