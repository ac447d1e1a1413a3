"""A clock that tests turn by hand."""

import asyncio


class HandClock:
    """Implements base.Clock: time passes only when the test says so, or somebody sleeps."""

    def __init__(self, now_ns: int = 1_700_000_000 * 10**9) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return what the test set, in nanoseconds since 1970."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Return the same."""
        return self._now_ns

    def turn(self, duration_ns: int) -> None:
        """Let duration_ns pass."""
        self._now_ns += duration_ns

    async def sleep_ns(self, duration_ns: int) -> None:
        """Let duration_ns pass at once, giving other tasks a turn."""
        self.turn(duration_ns)
        await asyncio.sleep(0)
