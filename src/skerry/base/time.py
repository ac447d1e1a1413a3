"""Time as the product speaks of it: integer nanoseconds since 1970, UTC. Reads no clock."""

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    """What tells the time. The real one is in `host`, the one tests turn by hand in `testing`."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never run backwards."""
        ...

    async def sleep_ns(self, duration_ns: int) -> None:
        """Return after duration_ns."""
        ...


def rfc3339(at_ns: int) -> str:
    """Return at_ns as `2026-01-31T12:00:00.123456Z`."""
    seconds, rest = divmod(at_ns, 10**9)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{rest // 1000:06d}Z"
