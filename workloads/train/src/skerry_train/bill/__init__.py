"""What a run cost and will cost, and the tables that are made of runs.

Words: a **price** is for an hour of a machine; **costs** are a clock's seconds times a price, part by
part. All money is integer micro-dollars until it is written for people.
"""

from skerry_train.bill.fits import BatchCurve, MemoryLine, batch_curve, memory_line
from skerry_train.bill.forecast import FORECAST_STEPS, Forecast, clock_so_far, forecast
from skerry_train.bill.machines import Machine, find_machine, read_machines
from skerry_train.bill.money import Costs, cost_usd_micros, costs, dollars, duration
from skerry_train.bill.posts import Posts, posts_tables, read_posts
from skerry_train.bill.report import Outcome, outcome, report_tables
from skerry_train.bill.status import Status, status
from skerry_train.bill.table import Column, Table, csv_text, decimal, markdown, text, whole
from skerry_train.bill.tables import loss_table, machine_table

__all__ = [
    "FORECAST_STEPS",
    "BatchCurve",
    "Column",
    "Costs",
    "Forecast",
    "Machine",
    "MemoryLine",
    "Outcome",
    "Posts",
    "Status",
    "Table",
    "batch_curve",
    "clock_so_far",
    "cost_usd_micros",
    "costs",
    "csv_text",
    "decimal",
    "dollars",
    "duration",
    "find_machine",
    "forecast",
    "loss_table",
    "machine_table",
    "markdown",
    "memory_line",
    "outcome",
    "posts_tables",
    "read_machines",
    "read_posts",
    "report_tables",
    "status",
    "text",
    "whole",
]  # fmt: skip
