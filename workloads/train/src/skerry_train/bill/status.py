"""How a run stands: its records, its clock, what it cost so far and what is to be expected.

It does not know how any of it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skerry_train.bill.forecast import Forecast, clock_so_far, forecast
from skerry_train.bill.machines import Machine, read_machines
from skerry_train.bill.money import Costs, costs
from skerry_train.errors import BadSettings
from skerry_train.record import Clock, Records, Summary, read_records, read_summary
from skerry_train.settings import read_train


@dataclass(frozen=True)
class Status:
    """A run as it stands. Without a price there are no costs, and in its first steps no forecast."""

    name: str
    records: Records
    clock_s: Clock
    machine: Machine | None
    price_usd_micros_per_hour: int | None
    costs: Costs | None
    forecast: Forecast | None
    state: str
    """`not begun`, `running`, or the reason why its last session ended."""


def status(run: Path, machines: Path | None = None) -> Status:
    """Return how a run stands.

    machines: a file that adds to the machines that are known. Raises BadSettings if there is no run,
    or the file of machines is not as it should be.
    """
    if not run.is_dir():
        raise BadSettings(f"there is no run directory {run}; name one that holds a train.json")
    records, summary = read_records(run), read_summary(run)
    is_over = summary is not None and not records.is_open
    clock = summary.clock_s if summary is not None and is_over else clock_so_far(records)
    machine = _machine(records, machines)
    price = _price(machine, summary)
    return Status(
        # A directory's name may hold bytes that are no text; they could not be printed.
        name=run.resolve().name.encode(errors="replace").decode(),
        records=records,
        clock_s=clock,
        machine=machine,
        price_usd_micros_per_hour=price,
        costs=None if price is None else costs(clock, price),
        forecast=_forecast(run, records, price, clock) if records.is_open else None,
        state=_state(records),
    )


def _machine(records: Records, machines: Path | None) -> Machine | None:
    name = records.sessions[-1].machine if records.sessions else None
    known = read_machines(machines)
    return known.get(name) if name else None


def _price(machine: Machine | None, summary: Summary | None) -> int | None:
    """Return what was paid for an hour, if the run has noted it, else what the machine costs today."""
    if summary is not None and summary.price_usd_micros_per_hour is not None:
        return summary.price_usd_micros_per_hour
    return None if machine is None else machine.price_usd_micros_per_hour


def _forecast(run: Path, records: Records, price: int | None, clock: Clock) -> Forecast | None:
    try:
        train = read_train(run)
    except BadSettings:
        return None  # whoever looks at a run need not be able to train it
    return forecast(records, train, price, clock)


def _state(records: Records) -> str:
    if records.is_open:
        return "running"
    return records.ends[-1].reason if records.ends else "not begun"
