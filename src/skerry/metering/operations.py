"""The verbs of the meter: record readings, tell use and bills, set budgets and judge them.

Who reads the kernel, and who puts boxes to sleep that are over their budget, this file does not
know; it only says which and why.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from skerry.base import Clock, Invalid, LimitReached, NotFound
from skerry.host.database import Database
from skerry.metering import store
from skerry.metering.budgets import (
    Budget,
    Pace,
    Scope,
    Standing,
    check_cap,
    judge,
    spent,
)
from skerry.metering.model import Counted, Reading, Usage, advance, may_wait
from skerry.metering.periods import HOUR_NS, Period, hour_of, hours_between, period_of
from skerry.metering.prices import Charge, PriceBook, charges
from skerry.metering.store import FOLDED_HOUR, By, Row, Which

_BUDGETS_MAX = 10_000
_TOMBSTONE_NS = HOUR_NS  # far longer than a look at all boxes takes
_END_OF_TIME = 1 << 40  # an hour after all others


@dataclass(frozen=True, slots=True)
class BillLine:
    """What one box costs. Its amount is the sum of its charges, to the nano-dollar."""

    row: Row
    charges: Sequence[Charge]

    @property
    def amount_nanodollars(self) -> int:
        """What the charges come to."""
        return sum(each.amount_nanodollars for each in self.charges)


@dataclass(frozen=True, slots=True)
class Bill:
    """What boxes cost at the prices of a book."""

    book: PriceBook
    lines: Sequence[BillLine]

    @property
    def amount_nanodollars(self) -> int:
        """The sum of all lines."""
        return sum(line.amount_nanodollars for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The context of every verb here.

    interval_ns: how often boxes are read. keep_ns: how long hours are kept one by one. taken_ns:
    when each box's latest reading was taken, since this daemon began; closed: what budgets' closed
    hours came to, which do not change.
    """

    database: Database
    clock: Clock
    books: Mapping[str, PriceBook]
    interval_ns: int
    keep_ns: int
    taken_ns: dict[str, int] = field(default_factory=dict[str, int])
    gone_ns: dict[str, int] = field(default_factory=dict[str, int])
    closed: dict[tuple[Scope, str], tuple[tuple[int, int], Usage]] = field(
        default_factory=dict[tuple[Scope, str], tuple[tuple[int, int], Usage]]
    )
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


# -- counting -------------------------------------------------------------------------------------


async def record(meter: Meter, readings: Sequence[Reading]) -> None:
    """Count what boxes used since they were read last: one write for all, whole or not at all.

    A reading older than one that was counted says nothing new and is left out, so that readers
    need not agree on their order. Raises sqlite3.OperationalError on a full disk; nothing is lost
    by that, the next call counts it all.
    """
    async with meter.turn:
        fresh = [each for each in readings if _is_fresh(meter, each)]
        if not fresh:
            return
        now_ns = meter.clock.now_ns()
        await meter.database.write(lambda c: _count(c, meter, fresh, now_ns))
        for each in fresh:
            meter.taken_ns[each.box_id] = each.taken_ns
        _forget_tombstones(meter)


def _is_fresh(meter: Meter, reading: Reading) -> bool:
    newest_ns = meter.taken_ns.get(reading.box_id)
    is_gone = reading.box_id in meter.gone_ns
    return not is_gone and (newest_ns is None or reading.taken_ns > newest_ns)


def _count(
    connection: sqlite3.Connection, meter: Meter, readings: Sequence[Reading], now_ns: int
) -> None:
    interval_ns = meter.interval_ns
    before = store.counted(connection)
    awake = _awake(before, readings, now_ns, interval_ns)
    hour = hour_of(now_ns)
    for reading in readings:
        last = before.get(reading.box_id)
        if may_wait(last, reading, now_ns, interval_ns):
            continue
        usage, done = advance(last, reading, now_ns, interval_ns=interval_ns, awake=awake)
        store.add_usage(connection, hour, reading, usage)
        store.keep_counted(connection, done)
    store.fold(connection, hour_of(now_ns - meter.keep_ns))


def _awake(
    before: Mapping[str, Counted], readings: Sequence[Reading], now_ns: int, interval_ns: int
) -> int:
    """Return how many boxes run now: those that say so, and others that did an interval ago."""
    states = {
        box_id: last.reading.state
        for box_id, last in before.items()
        if abs(now_ns - last.at_ns) <= 2 * interval_ns
    }
    states |= {each.box_id: each.state for each in readings}
    return sum(state == "running" for state in states.values())


async def forget(meter: Meter, box_ids: Collection[str]) -> None:
    """Drop what is kept of boxes that are gone for good; their use stays in the ledger.

    Record a last reading of each before. One that comes later is left out.
    """
    async with meter.turn:
        await meter.database.write(lambda c: store.forget_boxes(c, box_ids))
        for box_id in box_ids:
            meter.gone_ns[box_id] = meter.clock.monotonic_ns()
            meter.taken_ns.pop(box_id, None)
            meter.closed.pop(("box", box_id), None)


async def forget_others(meter: Meter, living: Collection[str]) -> None:
    """Drop what is kept of all boxes but the living: at a start, for those that a crash cut off."""
    known = set(meter.database.read(store.counted))
    known |= {each.target for each in _budgets(meter) if each.scope == "box"}
    gone = known - set(living)
    if gone:
        await forget(meter, gone)


def _forget_tombstones(meter: Meter) -> None:
    now_ns = meter.clock.monotonic_ns()
    for box_id in [b for b, at_ns in meter.gone_ns.items() if now_ns - at_ns > _TOMBSTONE_NS]:
        del meter.gone_ns[box_id]


# -- telling --------------------------------------------------------------------------------------


async def usage(
    meter: Meter,
    *,
    since_ns: int,
    until_ns: int,
    by: By,
    box: str | None = None,
    account: str | None = None,
) -> list[Row]:
    """Return what was used in the hours that the span touches, added up as by says.

    box: an id, or a name, which boxes that are gone may have had too. With since_ns 0, what was
    added up of old hours is in it. Raises Invalid(bad_time).
    """
    which = _span(since_ns, until_ns, box, account)
    found: dict[tuple[object, ...], Row] = {}
    # A day at a time: all the rows of years would hold up everybody else.
    for part in store.days_of(which, *meter.database.read(store.bounds)):
        for row in meter.database.read(lambda c, p=part: store.rows(c, p, by)):
            key = (row.box_id, row.account) if by == "box" else (row.hour if by != "total" else 0,)
            before = found.get(key)
            found[key] = row if before is None else replace(row, usage=before.usage + row.usage)
        await asyncio.sleep(0)
    if by == "box":
        return sorted(found.values(), key=lambda row: (row.box_name, row.box_id))
    return list(found.values())


async def bill(
    meter: Meter,
    book: PriceBook,
    *,
    since_ns: int,
    until_ns: int,
    box: str | None = None,
    account: str | None = None,
) -> Bill:
    """Return what each box costs at the prices of book, the dearest first."""
    found = await usage(
        meter, since_ns=since_ns, until_ns=until_ns, by="box", box=box, account=account
    )
    lines = [BillLine(row, charges(book, row.usage)) for row in found]
    return Bill(book, sorted(lines, key=lambda line: -line.amount_nanodollars))


def find_book(meter: Meter, name: str) -> PriceBook:
    """Return the price book of that name. Raises NotFound(no_such_prices)."""
    book = meter.books.get(name)
    if book is None:
        known = ", ".join(meter.books)
        raise NotFound("no_such_prices", f"There are no prices of {name[:40]!r}. Known: {known}.")
    return book


def _span(since_ns: int, until_ns: int, box: str | None, account: str | None) -> Which:
    if until_ns <= since_ns:
        raise Invalid("bad_time", "The span ends before it begins. Give an earlier --since.")
    begin, end = hours_between(since_ns, until_ns)
    return Which(begin=begin, end=end, box=box, account=account)


# -- budgets --------------------------------------------------------------------------------------


async def set_budget(
    meter: Meter,
    *,
    scope: Scope,
    target: str,
    name: str,
    period: Period,
    cap: int,
    book: str | None,
) -> Standing:
    """Set the budget of a box or an account, in place of the one it had; tell how it stands.

    target: a box's id, or an account. cap: nano-dollars at the prices of book; with book None,
    microseconds of CPU. Raises Invalid(bad_budget), NotFound(no_such_prices),
    LimitReached(budgets_limit).
    """
    check_cap(cap)
    if book is not None:
        find_book(meter, book)
    if len(_budgets(meter)) >= _BUDGETS_MAX:
        raise LimitReached("budgets_limit", f"There are {_BUDGETS_MAX} budgets. Clear some first.")
    made = Budget(scope, target, name, period, cap, book, meter.clock.now_ns())
    await meter.database.write(lambda c: store.put_budget(c, made))
    return _standing(meter, made)


async def clear_budget(meter: Meter, scope: Scope, target: str) -> None:
    """Take a budget away. Raises NotFound(budget_not_found)."""
    meter.closed.pop((scope, target), None)
    if not await meter.database.write(lambda c: store.delete_budget(c, scope, target)):
        raise NotFound(
            "budget_not_found", "There is no such budget. `skerry budget list` shows all."
        )


def forecast(meter: Meter) -> list[Standing]:
    """Return how all budgets stand, and when each is used up if use goes on as lately."""
    return [_standing(meter, each) for each in _budgets(meter)]


def over_budget(meter: Meter) -> dict[str, str]:
    """Return the boxes that must sleep now, by id, each with a sentence that says why."""
    reached = [each for each in _budgets(meter) if _is_reached(meter, each)]
    if not reached:
        return {}
    known = meter.database.read(store.counted)
    stopped: dict[str, str] = {}
    for budget in reached:
        why = _standing(meter, budget).says
        if budget.scope == "box":
            stopped.setdefault(budget.target, why)
            continue
        for box_id, last in known.items():
            if last.reading.account == budget.target:
                stopped.setdefault(box_id, why)
    return stopped


def refusal(meter: Meter, box_id: str, account: str) -> str | None:
    """Return the sentence why a box may not wake now, None if it may."""
    own: set[tuple[Scope, str]] = {("box", box_id), ("account", account)}
    for budget in _budgets(meter):
        if (budget.scope, budget.target) in own and _is_reached(meter, budget):
            return _standing(meter, budget).says
    return None


def _budgets(meter: Meter) -> list[Budget]:
    return meter.database.read(store.budgets)


def _is_reached(meter: Meter, budget: Budget) -> bool:
    used = _used(meter, budget, meter.clock.now_ns())
    return spent(budget, used, meter.books) >= budget.cap


def _standing(meter: Meter, budget: Budget) -> Standing:
    now_ns = meter.clock.now_ns()
    used = _used(meter, budget, now_ns)
    return judge(budget, used, _pace(meter, budget, now_ns), meter.books, now_ns)


def _used(meter: Meter, budget: Budget, now_ns: int) -> Usage:
    """Return what a budget's period has seen; the hours before this one are read once an hour."""
    begin_ns, _ = period_of(budget.period, now_ns)
    span = (hour_of(begin_ns), hour_of(now_ns))
    key = (budget.scope, budget.target)
    known = meter.closed.get(key)
    if known is None or known[0][0] != span[0] or known[0][1] > span[1]:
        known = ((span[0], span[0]), Usage())
    if known[0] != span:
        known = (span, known[1] + _total(meter, budget, known[0][1], span[1]))
    meter.closed[key] = known
    # A clock that went back left hours behind that are ahead of it now: they count in total.
    end = _END_OF_TIME if budget.period == "total" else span[1] + 1
    return known[1] + _total(meter, budget, span[1], end)


def _pace(meter: Meter, budget: Budget, now_ns: int) -> Pace:
    """Return what was used in this hour and the one before."""
    hour = hour_of(now_ns)
    which = _which(budget, max(hour - 1, FOLDED_HOUR + 1), hour + 1)
    elapsed_ms = meter.database.read(lambda c: store.longest_metered_ms(c, which))
    return Pace(meter.database.read(lambda c: store.total(c, which)), elapsed_ms)


def _total(meter: Meter, budget: Budget, begin: int, end: int) -> Usage:
    which = _which(budget, begin, end)
    return meter.database.read(lambda c: store.total(c, which))


def _which(budget: Budget, begin: int, end: int) -> Which:
    if budget.scope == "account":
        return Which(begin=begin, end=end, account=budget.target)
    return Which(begin=begin, end=end, box_id=budget.target)
