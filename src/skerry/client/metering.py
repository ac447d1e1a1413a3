"""What boxes used and cost, and their budgets."""

from typing import Literal, TypeAlias

from skerry.client.calls import Calls, Query, path_of
from skerry.wire.metering import Bill, Budget, PriceBook, SetBudget, UsageReport

By: TypeAlias = Literal["hour", "day", "box"]


async def usage(
    calls: Calls,
    *,
    box: str | None = None,
    account: str | None = None,
    since: str | None = None,
    until: str | None = None,
    by: By = "box",
) -> UsageReport:
    """Return what was used, of the last 24 hours if nothing is said.

    box: a name or an id. since, until: `24h` ago, a date, an RFC 3339 time, or `all`. Raises
    Invalid(bad_time).
    """
    query = _query(box=box, account=account, since=since, until=until, by=by)
    return await calls.ask(UsageReport, "GET", path_of("usage"), query=query)


async def usage_csv(
    calls: Calls,
    *,
    box: str | None = None,
    account: str | None = None,
    since: str | None = None,
    until: str | None = None,
    by: By = "box",
) -> str:
    """Return the same as CSV."""
    query = _query(box=box, account=account, since=since, until=until, by=by, format="csv")
    return await _text(calls, "usage", query)


async def bill(
    calls: Calls,
    *,
    prices: str | None = None,
    box: str | None = None,
    account: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Bill:
    """Return what boxes cost, of this month if nothing is said.

    prices: the name of a price book; None is one's own machine. Raises NotFound(no_such_prices),
    Invalid(bad_time).
    """
    query = _query(prices=prices, box=box, account=account, since=since, until=until)
    return await calls.ask(Bill, "GET", path_of("bill"), query=query)


async def bill_csv(
    calls: Calls,
    *,
    prices: str | None = None,
    box: str | None = None,
    account: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> str:
    """Return the same as CSV, one row for each charge."""
    query = _query(prices=prices, box=box, account=account, since=since, until=until, format="csv")
    return await _text(calls, "bill", query)


async def prices(calls: Calls) -> list[PriceBook]:
    """Return the price books there are."""
    return await calls.ask(list[PriceBook], "GET", path_of("prices"))


async def budgets(calls: Calls) -> list[Budget]:
    """Return all budgets and how they stand."""
    return await calls.ask(list[Budget], "GET", path_of("budgets"))


async def set_budget(calls: Calls, budget: SetBudget) -> Budget:
    """Set the budget of a box or an account, in place of the one it had.

    Raises NotFound(box_not_found, no_such_prices), Invalid(bad_budget).
    """
    return await calls.ask(Budget, "PUT", path_of("budgets"), body=budget)


async def clear_budget(calls: Calls, *, box: str | None = None, account: str | None = None) -> None:
    """Take a budget away. Raises NotFound(box_not_found, budget_not_found)."""
    await calls.tell("DELETE", path_of("budgets"), query=_query(box=box, account=account))


def _query(**said: str | None) -> Query:
    return [(name, value) for name, value in said.items() if value is not None]


async def _text(calls: Calls, path: str, query: Query) -> str:
    async with calls.open("GET", path_of(path), query=query) as response:
        return (await response.read()).decode()
