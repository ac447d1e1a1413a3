"""What a box used between two readings of its counters. Pure: counters and times are given.

A *counter* only grows, within the life of what it counts, which its *epoch* names; a *gauge* is
what holds at one moment. How gauges become amounts:

- memory: the gauge times the time that passed, while running and, apart from that, while warm: a
  frozen box still has what was not pushed out of RAM, and its gauge says how much that is.
- stored: the gauge times the time that passed, always; the part of it while running also by itself.

The time between two readings belongs to the lesser of the two states (cold, warm, running), so
that a doubt is never charged. Read a box before it goes down and after it came up, and nothing is
in doubt.

Times pass by the wall clock, which can jump. Back: no time has passed. Ahead by more than
`INTERVALS_MAX` intervals: one interval has, and the rest is noted as a gap. The same holds for time
in which nobody read. Counters lose nothing by either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["running", "warm", "cold"]

INTERVALS_MAX = 3
"""More than so many intervals between two readings are a gap."""

MS_NS = 10**6
_COUNTERS = ("cpu_ns", "written_bytes", "received_bytes", "sent_bytes")
_RANK: Mapping[State, int] = {"cold": 0, "warm": 1, "running": 2}
_KIB_S = 1024 * 1000  # bytes times milliseconds, in kibibyte-seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One box at one moment; None where the kernel does not tell.

    taken_ns: monotonic, from before the first counter was read. epoch: None while it is cold.
    received_bytes and sent_bytes are the box's own, not its host's.
    """

    box_id: str
    box_name: str
    account: str
    state: State
    taken_ns: int
    epoch: str | None = None
    cpu_ns: int | None = None
    memory_bytes: int | None = None
    written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Up to where a box has been counted: the counters of its last epoch, and the wall clock."""

    reading: Reading
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Amounts of use that can be added up; without any, the sum of nothing.

    None: the kernel did not tell, and so not 0. What it tells at times is the sum of those.

    The units keep a year of a large machine within 63 bits. hot_kib_seconds is the part of
    stored_kib_seconds while running. machine_ms: the part of the machine's waking time that falls
    to the box, when boxes that run at the same time share it equally. gap_ms: time that nobody
    read, in which only counters were counted.
    """

    cpu_us: int | None = None
    memory_kib_seconds: int | None = None
    warm_memory_kib_seconds: int | None = None
    written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    stored_kib_seconds: int | None = None
    hot_kib_seconds: int | None = None
    running_ms: int = 0
    warm_ms: int = 0
    cold_ms: int = 0
    machine_ms: int = 0
    gap_ms: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        sums: dict[str, Any] = {
            name: _sum(getattr(self, name), getattr(other, name)) for name in FIELDS
        }
        return Usage(**sums)

    @property
    def metered_ms(self) -> int:
        """The time that was counted, whatever the box did."""
        return self.running_ms + self.warm_ms + self.cold_ms


FIELDS: Sequence[str] = tuple(each.name for each in fields(Usage))
"""The names of all amounts, in their order."""


def advance(
    last: Counted | None, reading: Reading, now_ns: int, *, interval_ns: int, awake: int = 1
) -> tuple[Usage, Counted]:
    """Return what a box used since last, and up to where it has been counted now.

    last None: it was never read; its counters began at 0, and no time has passed. awake: how many
    boxes run now, this one included if it does.
    """
    if last is None:
        passed_ms, gap_ms = 0, 0
    else:
        passed_ms, gap_ms = time_passed(last.at_ns, now_ns, interval_ns)
    readings = [reading] if last is None else [last.reading, reading]
    state = min(readings, key=lambda each: _RANK[each.state]).state
    running = state == "running"
    memory = _held(readings, state, passed_ms)
    stored = _product([each.stored_bytes for each in readings], passed_ms)
    cpu_ns = _grown(last, reading, "cpu_ns")
    usage = Usage(
        # Cut to microseconds at both ends, so that what is cut off is not lost but comes later.
        cpu_us=None if cpu_ns is None else cpu_ns[1] // 1000 - cpu_ns[0] // 1000,
        memory_kib_seconds=memory if running else 0,
        warm_memory_kib_seconds=memory if state == "warm" else 0,
        written_bytes=_difference(_grown(last, reading, "written_bytes")),
        received_bytes=_difference(_grown(last, reading, "received_bytes")),
        sent_bytes=_difference(_grown(last, reading, "sent_bytes")),
        stored_kib_seconds=stored,
        hot_kib_seconds=stored if running or stored is None else 0,
        running_ms=passed_ms if running else 0,
        warm_ms=passed_ms if state == "warm" else 0,
        cold_ms=passed_ms if state == "cold" else 0,
        machine_ms=passed_ms // max(1, awake) if running else 0,
        gap_ms=gap_ms,
    )
    return usage, Counted(_kept(last, reading), now_ns)


def time_passed(before_ns: int, now_ns: int, interval_ns: int) -> tuple[int, int]:
    """Return the milliseconds that count as passed between two looks at the clock, and the gap."""
    passed_ms = now_ns // MS_NS - before_ns // MS_NS
    interval_ms = interval_ns // MS_NS
    if passed_ms > INTERVALS_MAX * interval_ms:
        return interval_ms, passed_ms - interval_ms
    return max(0, passed_ms), 0


def may_wait(last: Counted | None, reading: Reading, now_ns: int, interval_ns: int) -> bool:
    """Tell whether nothing is lost if a reading is left out, since a later one says the same.

    A hundred boxes that lie there cold are so written down only now and then.
    """
    return (
        last is not None
        and 0 <= now_ns - last.at_ns < (INTERVALS_MAX - 1) * interval_ns
        and replace(last.reading, taken_ns=0) == replace(_kept(last, reading), taken_ns=0)
        and reading.state == "cold"
    )


def _kept(last: Counted | None, reading: Reading) -> Reading:
    """Return reading with what it does not tell of the epoch that last was in.

    A box that was seen cold, or a counter that could not be read once, is not to be counted again
    from 0 if the same epoch shows up once more.
    """
    if last is None or reading.epoch not in (None, last.reading.epoch):
        return reading
    before = last.reading
    told = {name: getattr(reading, name) for name in _COUNTERS}
    kept = {name: getattr(before, name) for name, value in told.items() if value is None}
    return replace(reading, epoch=before.epoch, **kept)


def _grown(last: Counted | None, reading: Reading, name: str) -> tuple[int, int] | None:
    """Return a counter before and now; before is 0 if it began anew. None: it is not told."""
    now: int | None = getattr(reading, name)
    if reading.epoch is None and last is not None:
        now = getattr(last.reading, name)  # while a box is cold, what was told stays as it was
        return None if now is None else (now, now)
    if now is None:
        return None
    before: int | None = None
    if last is not None and last.reading.epoch == reading.epoch:
        before = getattr(last.reading, name)
    # One that went back was set to 0 by somebody, as a new network link does.
    return (before, now) if before is not None and before <= now else (0, now)


def _difference(grown: tuple[int, int] | None) -> int | None:
    return None if grown is None else grown[1] - grown[0]


def _held(readings: Sequence[Reading], state: State, passed_ms: int) -> int | None:
    if state == "cold":
        return 0
    return _product([each.memory_bytes for each in readings if each.state == state], passed_ms)


def _product(gauges: Sequence[int | None], passed_ms: int) -> int | None:
    """Return the mean of the gauges that are told, times time, in kibibyte-seconds."""
    told = [each for each in gauges if each is not None]
    return sum(told) * passed_ms // (len(told) * _KIB_S) if told else None


def _sum(one: int | None, other: int | None) -> int | None:
    return (one or 0) + (other or 0) if one is not None or other is not None else None
