"""The machine's clock and its randomness: the one place that reads them."""

import asyncio
import os
import time


class SystemClock:
    """Implements base.Clock on the kernel's clocks."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never run backwards."""
        return time.monotonic_ns()

    async def sleep_ns(self, duration_ns: int) -> None:
        """Return after duration_ns."""
        await asyncio.sleep(duration_ns / 1e9)


def entropy(count: int) -> bytes:
    """Return count random bytes, fit for secrets."""
    return os.urandom(count)
