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

    def check(self, address: str) -> None:
        """Raise LimitReached(too_many_failed_logins) while address must wait."""
        began_ns, count = self._failures.get(address, (0, 0))
        left_ns = began_ns + _MINUTE_NS - self._clock.monotonic_ns()
        if count >= self._per_minute and left_ns > 0:
            raise LimitReached(
                "too_many_failed_logins",
                "Too many wrong tokens came from this address. Wait a minute.",
                {"retry_after_seconds": left_ns // 10**9 + 1},
            )

    def failed(self, address: str) -> None:
        """Count a failure."""
        now_ns = self._clock.monotonic_ns()
        began_ns, count = self._failures.pop(address, (now_ns, 0))
        if now_ns - began_ns > _MINUTE_NS:
            began_ns, count = now_ns, 0
        self._failures[address] = (began_ns, count + 1)
        if len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)
