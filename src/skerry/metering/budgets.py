"""Budgets: a cap on what a box or an account may use, how much is left, and when it is reached. Pure.

A budget is a cap in nano-dollars of a price book, or in CPU time. What happens at the cap, and
where use is written down, this file does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import Invalid, format_dollars, format_duration
from skerry.metering.model import MS_NS, Usage
from skerry.metering.periods import HOUR_NS, Period, period_of, written_moment
from skerry.metering.prices import PriceBook, cost

Scope: TypeAlias = Literal["box", "account"]
State: TypeAlias = Literal["ok", "warning", "reached"]

WARNING_PERCENT = 80
CAP_MAX = 1 << 62
_FORECAST_MAX_NS = 10 * 365 * 24 * HOUR_NS  # further on nothing is foretold
_PERIODS = {"day": "today", "month": "this month", "total": "all time"}


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap. target: a box's id or an account; name: how people call it.

    cap: nano-dollars at the prices of book, or, if book is None, microseconds of CPU.
    """

    scope: Scope
    target: str
    name: str
    period: Period
    cap: int
    book: str | None
    set_at_ns: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What was used lately, and the time in which it was."""

    usage: Usage
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget as it stands. spent: in the cap's unit. says: a sentence, empty where all is well.

    resets_at_ns: when its period ends, None never. reached_at_ns: when the cap is reached if use
    goes on as lately, None where that is never, or reached already.
    """

    budget: Budget
    spent: int
    state: State
    resets_at_ns: int | None
    reached_at_ns: int | None
    says: str


def check_cap(cap: int) -> int:
    """Return cap if a budget can have it: above 0. Raises Invalid(bad_budget)."""
    if not 0 < cap <= CAP_MAX:
        raise Invalid(
            "bad_budget", "A budget is an amount above 0. `skerry budget clear` takes one away."
        )
    return cap


def spent(budget: Budget, usage: Usage, books: Mapping[str, PriceBook]) -> int:
    """Return what use takes of a budget, in its cap's unit.

    A price book that is not known any more charges nothing; `judge` says so.
    """
    if budget.book is None:
        return usage.cpu_us or 0
    book = books.get(budget.book)
    return cost(book, usage) if book is not None else 0


def judge(
    budget: Budget, used: Usage, pace: Pace, books: Mapping[str, PriceBook], now_ns: int
) -> Standing:
    """Return how a budget stands, after used in its period and at the present pace."""
    amount = spent(budget, used, books)
    _, end_ns = period_of(budget.period, now_ns)
    if amount >= budget.cap:
        return Standing(budget, amount, "reached", end_ns, None, _reached(budget, amount, end_ns))
    at_ns = _forecast(budget.cap - amount, spent(budget, pace.usage, books), pace, now_ns)
    soon = at_ns is not None and end_ns is not None and at_ns < end_ns
    says = ""
    if budget.book is not None and budget.book not in books:
        says = f"{_whose(budget)} is at prices of {budget.book!r}, which are not known here."
    elif amount * 100 >= budget.cap * WARNING_PERCENT:
        says = f"{_whose(budget)} is {amount * 100 // budget.cap} % used: {_of(budget, amount)}."
    elif soon and at_ns is not None:
        says = (
            f"{_whose(budget)} will be used up in {format_duration(at_ns - now_ns)} if it goes on "
            f"like this: {_of(budget, amount)} so far."
        )
    return Standing(budget, amount, "warning" if says else "ok", end_ns, at_ns, says)


def _forecast(left: int, recent: int, pace: Pace, now_ns: int) -> int | None:
    if recent <= 0 or pace.elapsed_ms <= 0:
        return None
    wait_ns = left * pace.elapsed_ms * MS_NS // recent
    return now_ns + wait_ns if wait_ns <= _FORECAST_MAX_NS else None


def _reached(budget: Budget, amount: int, end_ns: int | None) -> str:
    who = budget.name if budget.scope == "box" else f"--account {budget.name}"
    until = f"until {written_moment(end_ns)}, or " if end_ns is not None else ""
    subject = "The box sleeps" if budget.scope == "box" else "The account's boxes sleep"
    return (
        f"{_whose(budget)} is used up: {_of(budget, amount)}. {subject} {until}"
        f"until `skerry budget set {who} ...` gives more."
    )


def _whose(budget: Budget) -> str:
    owner = budget.name if budget.scope == "box" else f"account {budget.name}"
    return f"The budget of {owner} for {_PERIODS[budget.period]}"


def _of(budget: Budget, amount: int) -> str:
    if budget.book is None:
        return f"{format_duration(amount * 1000)} of {format_duration(budget.cap * 1000)} of CPU"
    return (
        f"{format_dollars(amount)} of {format_dollars(budget.cap)} at the prices of {budget.book}"
    )
