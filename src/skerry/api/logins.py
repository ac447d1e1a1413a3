"""A brake on guessing tokens: so many failures a minute from one address, then it waits."""

from collections import OrderedDict

from skerry.base import Clock, LimitReached

_MINUTE_NS = 60 * 10**9
_ADDRESSES_MAX = 10_000  # what a stranger with many addresses can make us remember


class FailedLogins:
    """Failures by address within the last minute."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count a failure. Raise LimitReached(too_many_failed_logins) when there are too many."""
        now_ns = self._clock.monotonic_ns()
        began_ns, count = self._failures.pop(address, (now_ns, 0))
        if now_ns - began_ns > _MINUTE_NS:
            began_ns, count = now_ns, 0
        self._failures[address] = (began_ns, count + 1)
        if len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)
        if count >= self._per_minute:
            raise LimitReached(
                "too_many_failed_logins",
                "Too many wrong tokens came from this address. Wait a minute.",
                {"retry_after_seconds": (began_ns + _MINUTE_NS - now_ns) // 10**9 + 1},
            )
