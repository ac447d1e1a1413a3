"""Seconds into money: integer micro-dollars, so that sums are exact.

It does not know which machine is paid, nor who counted the seconds.
"""

from __future__ import annotations

import msgspec

from skerry_train.record import Clock

_MICROS = 1_000_000
_HOUR_S = 3600


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Micro-dollars by what they went into: the parts of a `Clock`."""

    setup: int = 0
    compile: int = 0
    train: int = 0
    validate: int = 0
    checkpoint: int = 0
    idle: int = 0

    @property
    def total(self) -> int:
        """Return all of them."""
        return sum(msgspec.structs.astuple(self))

    @property
    def without_validation(self) -> int:
        """Return what it would have cost to validate nothing."""
        return self.total - self.validate


def cost_usd_micros(seconds: float, price_usd_micros_per_hour: int) -> int:
    """Return what some seconds of a machine cost, to the nearest micro-dollar."""
    return round(seconds * price_usd_micros_per_hour / _HOUR_S)


def costs(clock: Clock, price_usd_micros_per_hour: int) -> Costs:
    """Return what each part of a clock cost. The total is the sum of the parts, to the micro-dollar."""
    parts = msgspec.structs.asdict(clock)
    return Costs(
        **{part: cost_usd_micros(s, price_usd_micros_per_hour) for part, s in parts.items()}
    )


def dollars(usd_micros: int | None) -> str:
    """Write an amount as people read it: `$35.56`; `-` if it is not known.

    To the cent, but what is less than one to a hundredth of it: `$0.0057`.
    """
    if usd_micros is None:
        return "-"
    if 50 <= abs(usd_micros) < _MICROS // 100:
        return f"{'-' if usd_micros < 0 else ''}${abs(usd_micros) / _MICROS:.4f}"
    cents = (abs(usd_micros) + _MICROS // 200) // (_MICROS // 100)
    sign = "-" if usd_micros < 0 and cents else ""
    return f"{sign}${cents // 100:,}.{cents % 100:02}"


def duration(seconds: float | None) -> str:
    """Write a time as people read it: `3h25m`, `4m05s`, `9.5s`; `-` if it is not known."""
    if seconds is None:
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // 60}m{whole % 60:02}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}h{minutes % 60:02}m"
