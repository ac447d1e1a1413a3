"""What is told of a run's end after its first steps."""

import pytest

from skerry_train.bill import clock_so_far, forecast
from skerry_train.record import Clock, End, Records
from skerry_train.settings import TrainSettings
from tests.recorded import checkpoint, records, session, step, validation

PLAIN = TrainSettings(microbatch_size=12, dataset="d", checkpoint_interval=10_000)
VALIDATED = TrainSettings(
    microbatch_size=12, dataset="d", validation_interval=300, validation_batches=1
)


def test_nothing_is_told_before_the_fiftieth_step() -> None:
    assert forecast(Records(), PLAIN) is None
    assert forecast(records(49), PLAIN) is None
    assert forecast(records(50), PLAIN) is not None


def test_a_steady_run_takes_its_steps_times_their_pace() -> None:
    told = forecast(records(50), PLAIN, 3_600_000_000)

    assert told is not None
    assert told.seconds_per_step == pytest.approx(0.25)
    assert told.seconds_left == pytest.approx(950 * 0.25)
    assert told.seconds_total == pytest.approx(1000 * 0.25)
    assert told.cost_total_usd_micros == 250_000_000


def test_the_first_steps_do_not_count_since_they_are_slow() -> None:
    slow = [step(n, train_s=100.0 + n * 0.25) for n in range(1, 61)]

    told = forecast(Records(sessions=[session()], steps=slow), PLAIN)

    assert told is not None
    assert told.seconds_per_step == pytest.approx(0.25)
    assert told.seconds_total == pytest.approx(100 + 1000 * 0.25)


def test_validations_and_checkpoints_that_are_due_are_counted() -> None:
    so_far = records(400)
    so_far.validations = [validation(0), validation(300, seconds=20.0)]
    so_far.checkpoints = [checkpoint(300)]

    told = forecast(so_far, VALIDATED)

    assert told is not None
    assert told.validate_s_left == pytest.approx(3 * 15.0)  # after steps 600, 900 and 1,000
    assert told.seconds_left == pytest.approx(600 * 0.25 + 3 * 15 + 3 * 2)
    assert told.seconds_total == pytest.approx(1000 * 0.25 + 5 * 15 + 4 * 2)


def test_a_run_that_goes_on_is_told_from_its_new_pace() -> None:
    faster = [step(n, train_s=25.0 + (n - 100) * 0.1) for n in range(101, 201)]
    so_far = records(100)
    so_far.sessions.append(session(step=100))
    so_far.steps += faster
    so_far.ends = [End(step=100, reason="stopped", clock_s=Clock(setup=60.0, train=25.0))]

    told = forecast(so_far, PLAIN)

    assert told is not None
    assert told.seconds_per_step == pytest.approx(0.1)
    assert told.seconds_total == pytest.approx(60 + 25 + 900 * 0.1)


def test_a_run_that_is_done_has_nothing_left() -> None:
    done = records(1000)

    told = forecast(done, VALIDATED, 1)

    assert told is not None
    assert told.seconds_left == 0
    assert told.seconds_total == clock_so_far(done).total == 250.0
