"""What a box used between two readings: nothing twice, nothing that did not happen, no lost end."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.metering.model import (
    FIELDS,
    Counted,
    Reading,
    State,
    Usage,
    advance,
    may_wait,
    time_passed,
)

SECOND_NS = 10**9
INTERVAL_NS = 30 * SECOND_NS
START_NS = 1_700_000_000 * SECOND_NS
GIB = 1 << 30


def a_reading(state: State = "running", epoch: str | None = "e1", **told: Any) -> Reading:
    base = Reading(box_id="box_a", box_name="a", account="me", state=state, taken_ns=0, epoch=epoch)
    return dataclasses.replace(base, **told)


def used(last: Reading | None, now: Reading, seconds: float = 30.0, awake: int = 1) -> Usage:
    before = None if last is None else Counted(last, START_NS)
    now_ns = START_NS + round(seconds * SECOND_NS)
    return advance(before, now, now_ns, interval_ns=INTERVAL_NS, awake=awake)[0]


def test_counters_are_counted_by_their_difference() -> None:
    last = a_reading(cpu_ns=5_000_000, written_bytes=10, received_bytes=20, sent_bytes=30)

    found = used(
        last, a_reading(cpu_ns=9_000_000, written_bytes=11, received_bytes=22, sent_bytes=33)
    )

    assert (found.cpu_us, found.written_bytes) == (4000, 1)
    assert (found.received_bytes, found.sent_bytes) == (2, 3)


@pytest.mark.parametrize(
    ("last", "now", "cpu_us"),
    [
        (None, a_reading(cpu_ns=7000), 7),
        (a_reading(cpu_ns=9000), a_reading(epoch="e2", cpu_ns=7000), 7),
        (a_reading(cpu_ns=9000), a_reading(cpu_ns=7000), 7),
        (a_reading(cpu_ns=9000), a_reading(cpu_ns=None), None),
        (a_reading(cpu_ns=9000), a_reading("cold", None), 0),
        (a_reading(), a_reading("cold", None), None),
        (None, a_reading("cold", None), None),
        (a_reading("warm", cpu_ns=9000), a_reading(cpu_ns=9000), 0),
    ],
)
def test_a_counter_begins_anew(last: Reading | None, now: Reading, cpu_us: int | None) -> None:
    assert used(last, now).cpu_us == cpu_us


def test_what_could_not_be_read_once_is_counted_later_and_once() -> None:
    now_ns, total = START_NS, Usage()
    last: Counted | None = None
    for reading in (
        a_reading(cpu_ns=100_000),
        a_reading(cpu_ns=None),
        a_reading("cold", None),
        a_reading(cpu_ns=150_000),
    ):
        amount, last = advance(last, reading, now_ns, interval_ns=INTERVAL_NS)
        total += amount

    assert total.cpu_us == 150


@pytest.mark.parametrize(
    ("before", "after", "counts_as"),
    [
        ("running", "running", "running"), ("running", "warm", "warm"), ("warm", "running", "warm"),
        ("warm", "warm", "warm"), ("running", "cold", "cold"), ("cold", "running", "cold"),
        ("cold", "cold", "cold"), ("warm", "cold", "cold"),
    ],
)  # fmt: skip
def test_time_in_doubt_goes_to_the_lesser_state(
    before: State, after: State, counts_as: State
) -> None:
    found = used(a_reading(before), a_reading(after))

    times = {"running": found.running_ms, "warm": found.warm_ms, "cold": found.cold_ms}
    assert times == {"running": 0, "warm": 0, "cold": 0, counts_as: 30_000}


def test_memory_counts_while_it_is_in_ram_and_disk_always() -> None:
    running = a_reading(memory_bytes=GIB, stored_bytes=2 * GIB)
    warm = a_reading("warm", memory_bytes=GIB // 4, stored_bytes=2 * GIB)
    cold = a_reading("cold", None, stored_bytes=2 * GIB)

    assert used(running, running).memory_kib_seconds == 30 << 20
    assert used(warm, warm).warm_memory_kib_seconds == 30 << 18
    assert used(running, warm).memory_kib_seconds == 0
    assert used(cold, cold).memory_kib_seconds == used(cold, cold).warm_memory_kib_seconds == 0
    assert [used(each, each).stored_kib_seconds for each in (running, warm, cold)] == [60 << 20] * 3
    assert [used(each, each).hot_kib_seconds for each in (running, warm, cold)] == [60 << 20, 0, 0]


def test_what_the_kernel_does_not_tell_is_not_told() -> None:
    found = used(a_reading(), a_reading())

    assert (found.cpu_us, found.memory_kib_seconds, found.stored_kib_seconds) == (None, None, None)
    assert found + Usage(cpu_us=3) == dataclasses.replace(found, cpu_us=3)


def test_boxes_that_run_together_share_the_machines_time() -> None:
    assert used(a_reading(), a_reading(), awake=3).machine_ms == 10_000
    assert used(a_reading("warm"), a_reading("warm"), awake=3).machine_ms == 0


@pytest.mark.parametrize(
    ("seconds", "passed"),
    [
        (0, (0, 0)), (30, (30_000, 0)), (90, (90_000, 0)), (91, (30_000, 61_000)),
        (10 * 365 * 86400, (30_000, 10 * 365 * 86400_000 - 30_000)), (-1, (0, 0)), (-1e9, (0, 0)),
    ],
)  # fmt: skip
def test_a_clock_that_jumps_makes_no_time(seconds: float, passed: tuple[int, int]) -> None:
    now_ns = START_NS + round(seconds * SECOND_NS)

    assert time_passed(START_NS, now_ns, INTERVAL_NS) == passed


def test_a_jump_costs_no_counter() -> None:
    found = used(a_reading(cpu_ns=0), a_reading(cpu_ns=5000), seconds=1e6)

    assert (found.cpu_us, found.running_ms, found.gap_ms) == (5, 30_000, 999_970_000)


def test_only_a_cold_box_that_stays_the_same_may_wait() -> None:
    cold, now_ns = a_reading("cold", None, stored_bytes=1), START_NS + INTERVAL_NS
    awake = a_reading()

    def waits(last: Reading | None, reading: Reading, at_ns: int = now_ns) -> bool:
        before = None if last is None else Counted(last, START_NS)
        return may_wait(before, reading, at_ns, INTERVAL_NS)

    assert waits(cold, dataclasses.replace(cold, taken_ns=5))
    assert waits(dataclasses.replace(cold, epoch="e1", cpu_ns=5), cold)
    assert not waits(cold, dataclasses.replace(cold, stored_bytes=2))
    assert not waits(awake, awake)
    assert not waits(None, cold)
    assert not waits(cold, cold, START_NS + 2 * INTERVAL_NS)
    assert not waits(cold, cold, START_NS - 1)


_amounts = st.none() | st.integers(0, 1 << 60)
_readings = st.builds(
    a_reading, st.sampled_from(["running", "warm", "cold"]), st.sampled_from([None, "e1", "e2"]),
    cpu_ns=_amounts, memory_bytes=_amounts, written_bytes=_amounts, stored_bytes=_amounts,
)  # fmt: skip


@given(st.lists(st.tuples(_readings, st.integers(0, 1 << 62)), max_size=8))
def test_no_readings_and_no_clock_make_a_negative_or_endless_amount(
    story: list[tuple[Reading, int]],
) -> None:
    last: Counted | None = None
    for reading, now_ns in story:
        amount, last = advance(last, reading, now_ns, interval_ns=INTERVAL_NS)

        assert all((getattr(amount, name) or 0) >= 0 for name in FIELDS)
        assert amount.metered_ms <= 3 * INTERVAL_NS // 10**6
