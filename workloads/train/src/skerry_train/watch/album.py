"""The files of a run's page as they stand, made anew when the run has written something.

It does not know who asks for them. What it hands out lies in memory under fixed names, so that no
name that a stranger asks for reaches the file system.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from skerry_train.bill import status
from skerry_train.chart import drawn

# What the page is made of. A change in any of them is a reason to make it anew.
_SOURCES = ("metrics.jsonl", "summary.json", "train.json")
# Drawing takes at most a tenth of a core, however many look on and however long the run is.
_REST_PER_DRAWING = 9


class Album:
    """A run's page and charts. Many threads may ask; one draws."""

    def __init__(
        self, run: Path, machines: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run, self._machines, self._clock = run, machines, clock
        self._drawing = threading.Lock()
        self._files: dict[str, bytes] = {}
        self._made_of: object = None
        self._rest_until_s = 0.0

    def files(self) -> Mapping[str, bytes]:
        """Return the files by their names; as they were, if nothing is new or it is too early.

        Raises BadSettings if the run is gone or its machines are not as they should be.
        """
        with self._drawing:
            self._renew()
            return self._files

    def _renew(self) -> None:
        begun_s = self._clock()
        if self._files and begun_s < self._rest_until_s:
            return
        # Read before the records: what comes in between shows up as a change the next time.
        made_of = [_stamp(self._run / name) for name in _SOURCES]
        if made_of != self._made_of:
            self._files = drawn(status(self._run, self._machines))
            self._made_of = made_of
            ended_s = self._clock()
            self._rest_until_s = ended_s + _REST_PER_DRAWING * (ended_s - begun_s)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
