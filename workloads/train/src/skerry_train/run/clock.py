"""A clock that splits a session's seconds by what they go into.

It does not read the time itself, and waits for no device: who changes what the time goes into does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Literal

from skerry_train.record import Clock

What = Literal["setup", "compile", "train", "validate", "checkpoint", "idle"]


class SplitClock:
    """Counts from when it is made, first as `setup`; `seconds` tells the time."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._split: dict[What, float] = {}
        self._what: What = "setup"
        self._since = seconds()

    def turn(self, what: What) -> None:
        """Count what comes now as something else."""
        now = self._seconds()
        self._split[self._what] = self._split.get(self._what, 0.0) + now - self._since
        self._what, self._since = what, now

    @contextlib.contextmanager
    def on(self, what: What) -> Generator[None]:
        """Count what is done inside as something else, and then go on as before."""
        before = self._what
        self.turn(what)
        try:
            yield
        finally:
            self.turn(before)

    def read(self) -> Clock:
        """Return what was counted up to now."""
        self.turn(self._what)
        return Clock(**self._split)
