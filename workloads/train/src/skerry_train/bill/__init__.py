"""What a run cost and will cost, and the tables that are made of runs.

Words: a **price** is for an hour of a machine; **costs** are a clock's seconds times a price, part by
part. All money is integer micro-dollars until it is written for people.
"""

from skerry_train.bill.forecast import FORECAST_STEPS, Forecast, clock_so_far, forecast
from skerry_train.bill.machines import Machine, find_machine, read_machines
from skerry_train.bill.money import Costs, cost_usd_micros, costs, dollars, duration
from skerry_train.bill.status import Status, status

__all__ = [
    "FORECAST_STEPS",
    "Costs",
    "Forecast",
    "Machine",
    "Status",
    "clock_so_far",
    "cost_usd_micros",
    "costs",
    "dollars",
    "duration",
    "find_machine",
    "forecast",
    "read_machines",
    "status",
]
