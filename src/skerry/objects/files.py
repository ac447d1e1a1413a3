"""The files of big objects: there as long as anything names them, or somebody reads them."""

import contextlib
from collections import Counter
from collections.abc import Collection, Generator
from concurrent.futures import ThreadPoolExecutor

from skerry.objects.disk import Disk


class Files:
    """Which files are read, and which are to go. For the event loop's thread alone.

    Who finds a row and pins its files before they wait for anything cannot lose them: what a write
    has freed is told to `free` in the loop's next turn.
    """

    def __init__(self, disk: Disk, threads: ThreadPoolExecutor) -> None:
        self._disk = disk
        self._threads = threads
        self._pins = Counter[str]()
        self._doomed = set[str]()

    @contextlib.contextmanager
    def pinned(self, files: Collection[str]) -> Generator[None]:
        """Keep files while the block lasts, although nothing names them any more."""
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

    def free(self, files: Collection[str]) -> None:
        """Remove files that nothing names any more, once nobody reads them."""
        read = self._pins.keys() & set(files)
        self._doomed |= read
        self._remove(set(files) - read)

    def _remove(self, files: Collection[str]) -> None:
        for file in files:
            self._threads.submit(self._disk.remove_file, file)
