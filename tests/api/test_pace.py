"""Who goes on without end waits for his moments, and after a rest has as many as at first."""

from skerry.api.pace import Pace

SECOND_NS = 10**9


def test_a_burst_goes_at_once_and_the_rest_in_even_steps() -> None:
    pace = Pace(burst=3, per_second=10)

    assert [pace.take(0) for _ in range(6)] == [0, 0, 0, SECOND_NS // 10, SECOND_NS // 5, 3 * SECOND_NS // 10]  # fmt: skip


def test_over_a_long_time_no_more_than_so_many_a_second_go() -> None:
    pace, now_ns, gone = Pace(burst=5, per_second=50), 0, 0
    while now_ns < 100 * SECOND_NS:
        now_ns += pace.take(now_ns)
        gone += 1

    assert gone <= 100 * 50 + 5


def test_what_counts_for_many_makes_the_next_wait() -> None:
    pace = Pace(burst=3, per_second=10)

    assert [pace.take(0, 5), pace.take(0), pace.take(0)] == [
        0,
        3 * SECOND_NS // 10,
        4 * SECOND_NS // 10,
    ]


def test_a_rest_brings_the_burst_back_and_no_more() -> None:
    pace = Pace(burst=3, per_second=10)
    for _ in range(3):
        pace.take(0)

    assert [pace.take(3600 * SECOND_NS) for _ in range(4)] == [0, 0, 0, SECOND_NS // 10]
