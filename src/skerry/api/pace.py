"""How fast somebody may go on: many at once after a rest, then so many a second. Pure."""

_SECOND_NS = 10**9


class Pace:
    """Hands out moments. Times are monotonic nanoseconds."""

    def __init__(self, *, burst: int, per_second: int) -> None:
        self._step_ns = _SECOND_NS // per_second
        self._ahead_ns_max = (burst - 1) * self._step_ns
        self._next_ns = 0

    def take(self, now_ns: int, count: int = 1) -> int:
        """Take the next moments, so many; return how long it is until the first of them."""
        due_ns = max(self._next_ns, now_ns)
        self._next_ns = due_ns + self._step_ns * count
        return max(0, due_ns - now_ns - self._ahead_ns_max)
