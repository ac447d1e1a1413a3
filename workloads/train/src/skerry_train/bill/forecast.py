"""How long a run will take, and what it will cost, told from its first steps.

Pure functions of what the run has written down. They do not know the time of day.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from skerry_train.bill.money import cost_usd_micros
from skerry_train.record import Clock, Records
from skerry_train.settings import TrainSettings

# Earlier, chance and warm-up would speak: the first steps fill caches and choose kernels.
FORECAST_STEPS = 50
_WARM_UP_STEPS = 10


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of the whole run. Money in millionths of a dollar, None without a price."""

    seconds_per_step: float
    seconds_left: float
    seconds_total: float
    validate_s_left: float
    """The part of the seconds left that goes into validation."""
    cost_left_usd_micros: int | None
    cost_total_usd_micros: int | None


def clock_so_far(records: Records) -> Clock:
    """Return the clock of a run as far as it is written down.

    Training, validation and checkpoints are whole. Setup, compiling and idling of a session are known
    once it has ended, and time that was lost with a crash is in none of them.
    """
    ended = Clock()
    for end in records.ends:
        ended = ended.plus(end.clock_s)
    return msgspec.structs.replace(
        ended,
        train=records.steps[-1].train_s if records.steps else ended.train,
        validate=max(ended.validate, sum(each.seconds for each in records.validations)),
        checkpoint=max(ended.checkpoint, sum(each.seconds for each in records.checkpoints)),
    )


def forecast(
    records: Records,
    train: TrainSettings,
    price_usd_micros_per_hour: int | None = None,
    clock: Clock | None = None,
) -> Forecast | None:
    """Return what is to be expected, None before this session's 50th step.

    A step is expected to take the mean of this session's, its first ten apart; a validation and a
    checkpoint the mean of those so far, of which as many follow as the settings say.
    clock: what has gone by; without one, what the records tell of it.
    """
    if not records.sessions or not records.steps:
        return None
    session, last = records.sessions[-1], records.steps[-1]
    if last.step - session.step < FORECAST_STEPS:
        return None
    place = bisect_left(records.steps, session.step + _WARM_UP_STEPS, key=lambda each: each.step)
    base = records.steps[place]
    pace_s = max(0.0, last.train_s - base.train_s) / (last.step - base.step)

    train_s = pace_s * max(0, session.steps - last.step)
    validate_s = _mean([each.seconds for each in records.validations]) * _due(
        train.validation_interval, last.step, session.steps
    )
    checkpoint_s = _mean([each.seconds for each in records.checkpoints]) * _due(
        train.checkpoint_interval or train.validation_interval or session.steps,
        last.step,
        session.steps,
    )
    left_s = train_s + validate_s + checkpoint_s
    total_s = (clock or clock_so_far(records)).total + left_s
    price = price_usd_micros_per_hour
    return Forecast(
        seconds_per_step=pace_s,
        seconds_left=left_s,
        seconds_total=total_s,
        validate_s_left=validate_s,
        cost_left_usd_micros=None if price is None else cost_usd_micros(left_s, price),
        cost_total_usd_micros=None if price is None else cost_usd_micros(total_s, price),
    )


def _due(interval: int | None, step: int, steps: int) -> int:
    """Return how often a thing still happens that happens every so often and after the last step."""
    if interval is None or step >= steps:
        return 0
    return steps // interval - step // interval + bool(steps % interval)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
