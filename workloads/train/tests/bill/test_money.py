"""Seconds become money, and none is lost on the way."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_train.bill import cost_usd_micros, costs, dollars, duration
from skerry_train.record import Clock

SECONDS = st.floats(0, 1e7)


def test_an_hour_costs_what_an_hour_costs() -> None:
    assert cost_usd_micros(3600, 10_320_000) == 10_320_000
    assert cost_usd_micros(13_904, 10_320_000) == 39_858_133


@given(SECONDS, SECONDS, SECONDS, st.integers(0, 10**9))
def test_the_parts_of_a_bill_add_up_to_it(
    train: float, validate: float, idle: float, price: int
) -> None:
    clock = Clock(train=train, validate=validate, idle=idle)

    bill = costs(clock, price)

    assert bill.total == sum(msgspec.structs.astuple(bill))
    assert bill.total - bill.without_validation == bill.validate
    assert abs(bill.total - cost_usd_micros(clock.total, price)) <= 3


@pytest.mark.parametrize(
    ("usd_micros", "text"),
    [
        (35_558_133, "$35.56"), (215_160_000, "$215.16"), (0, "$0.00"), (4_999, "$0.0050"), (49, "$0.00"),
        (5_000, "$0.0050"), (10_000, "$0.01"), (1_234_567_890_000, "$1,234,567.89"), (-40_000, "-$0.04"), (None, "-"),
    ],
)  # fmt: skip
def test_money_is_written_to_the_cent(usd_micros: int | None, text: str) -> None:
    assert dollars(usd_micros) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"), (9.46, "9.5s"), (59.99, "1m00s"), (245, "4m05s"), (3599.7, "1h00m"),
        (12_404, "3h27m"), (360_000, "100h00m"), (None, "-"),
    ],
)  # fmt: skip
def test_times_are_written_as_people_read_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
