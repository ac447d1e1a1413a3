"""Many points become few, and none of their extremes is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_train.chart.columns import band, columns, highest, lowest
from tests.recorded import records, step

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")))


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.integers(1, 70))
def test_a_band_keeps_the_lowest_and_the_highest(values: list[float], points_max: int) -> None:
    numbers = np.array(values)

    line = band(np.arange(len(values), dtype=np.float64), numbers, points_max=points_max)

    assert len(line.x) == min(points_max, len(values))
    assert lowest(line.low) == lowest(numbers)
    assert highest(line.high) == highest(numbers)


def test_neighbours_become_their_mean() -> None:
    line = band(np.arange(4.0), np.array([1.0, 3.0, 5.0, np.nan]), points_max=2)

    assert line.x.tolist() == [0.5, 2.5]
    assert line.mean.tolist() == [2.0, 5.0]


def test_what_is_no_number_counts_for_nothing() -> None:
    line = band(np.arange(4.0), np.array([np.nan, np.nan, 1.0, 1.0]), points_max=2)

    assert np.isnan(line.mean[0])
    assert np.isnan(line.low[0])
    assert line.mean[1] == 1.0


def test_a_loss_that_was_no_number_is_nan_in_its_column() -> None:
    so_far = records(3)
    so_far.steps[1] = step(2, loss=None)

    assert np.isnan(columns(so_far).loss).tolist() == [False, True, False]
    assert columns(so_far).step.tolist() == pytest.approx([1, 2, 3])
