"""Calls of the meter: use, bills, prices and budgets; the first two as CSV where that is asked for."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from skerry import metering
from skerry.api.routing import Call, Operation, answer
from skerry.base import Invalid, exact_dollars, rfc3339
from skerry.metering import HOUR_NS, Row, Standing, Usage
from skerry.wire import metering as shapes

_CSV = "text/csv"
_KIB = 1024
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Moment = Annotated[str, Meta(max_length=40, description="24h ago, 2026-11-01, or all")]
Format = Literal["auto", "json", "csv"]  # auto: as the Accept header says
# Left out is an empty text in queries: None can be said there, and would be a box called `null`.
BoxNameOrId = Annotated[str, Meta(min_length=1, max_length=63)]


class UsageQuery(Struct):
    """box: a name or an id, of boxes that are gone too."""

    box: BoxNameOrId = ""
    account: shapes.AccountName = ""
    since: Moment = ""
    until: Moment = ""
    by: Literal["hour", "day", "box"] = "box"
    format: Format = "auto"


class BillQuery(Struct):
    """prices: the name of a price book; left out, that of the machine itself."""

    box: BoxNameOrId = ""
    account: shapes.AccountName = ""
    since: Moment = ""
    until: Moment = ""
    prices: str = metering.OWN_MACHINE
    format: Format = "auto"


class Owner(Struct):
    """Whose budget is meant: one of the two."""

    box: BoxNameOrId = ""
    account: shapes.AccountName = ""


async def usage(call: Call) -> Response:
    """Tell what boxes used."""
    query = call.query(UsageQuery)
    since_ns, until_ns = _span(call, query.since, query.until, default="24h")
    rows = await metering.usage(
        call.services.meter, since_ns=since_ns, until_ns=until_ns,
        by=query.by, box=query.box or None, account=query.account or None,
    )  # fmt: skip
    told = [_row(row, query.by) for row in rows]
    if _wants_csv(call, query.format):
        return _table(
            shapes.UsageRow.__struct_fields__, [msgspec.to_builtins(each) for each in told]
        )
    everything = sum((row.usage for row in rows), Usage())
    return answer(
        shapes.UsageReport(
            since=rfc3339(since_ns),
            until=rfc3339(until_ns),
            by=query.by,
            rows=told,
            total=_amounts(everything),
        )
    )


async def bill(call: Call) -> Response:
    """Tell what boxes cost."""
    query = call.query(BillQuery)
    meter = call.services.meter
    month_ns, _ = metering.period_of("month", meter.clock.now_ns())
    since_ns, until_ns = _span(call, query.since, query.until, default=rfc3339(month_ns))
    made = await metering.bill(
        meter, metering.find_book(meter, query.prices), since_ns=since_ns, until_ns=until_ns,
        box=query.box or None, account=query.account or None,
    )  # fmt: skip
    if _wants_csv(call, query.format):
        return _bill_table(made)
    return answer(
        shapes.Bill(
            prices=made.book.name,
            title=made.book.title,
            source=made.book.source,
            dated=made.book.dated,
            note=made.book.note,
            since=rfc3339(since_ns),
            until=rfc3339(until_ns),
            lines=[_line(line) for line in made.lines],
            amount_nanodollars=made.amount_nanodollars,
        )
    )


async def prices(call: Call) -> Response:
    """List the price books."""
    return answer([_book(book) for book in call.services.meter.books.values()])


async def budgets(call: Call) -> Response:
    """List budgets and how they stand."""
    return answer([_standing(each) for each in metering.forecast(call.services.meter)])


async def set_budget(call: Call) -> Response:
    """Set the budget of a box or an account."""
    body = await call.body(shapes.SetBudget)
    scope, target, name = _owner(call, body.box, body.account)
    in_money = body.cap_nanodollars is not None
    if in_money == (body.cap_cpu_seconds is not None) or (body.prices and not in_money):
        raise Invalid("bad_budget", "A budget is either in money, at some prices, or in CPU time.")
    made = await metering.set_budget(
        call.services.meter,
        scope=scope,
        target=target,
        name=name,
        period=body.period,
        cap=body.cap_nanodollars or round((body.cap_cpu_seconds or 0) * 10**6),
        book=(body.prices or metering.OWN_MACHINE) if in_money else None,
    )
    return answer(_standing(made))


async def clear_budget(call: Call) -> Response:
    """Take the budget of a box or an account away."""
    query = call.query(Owner)
    scope, target, _ = _owner(call, query.box or None, query.account or None)
    await metering.clear_budget(call.services.meter, scope, target)
    return Response(status_code=204)


def _owner(call: Call, box: str | None, account: str | None) -> tuple[metering.Scope, str, str]:
    """Return scope, target and name of the one owner that is said."""
    if (box is None) == (account is None):
        raise Invalid("bad_budget", "Say whose budget: that of a box, or that of an account.")
    if box is not None:
        return "box", call.boxes.find(box).box_id, box
    assert account is not None
    return "account", account, account


def _span(call: Call, since: str, until: str, *, default: str) -> tuple[int, int]:
    """Return the whole hours that a span touches; it ends now if nothing is said."""
    now_ns = call.services.meter.clock.now_ns()
    until_ns = metering.moment_ns(until, now_ns) if until else now_ns
    since_ns = metering.moment_ns(since or default, now_ns)
    return since_ns // HOUR_NS * HOUR_NS, -(-until_ns // HOUR_NS) * HOUR_NS


def _wants_csv(call: Call, said: Format) -> bool:
    if said != "auto":
        return said == "csv"
    return _CSV in call.request.headers.get("accept", "")


# -- shapes ---------------------------------------------------------------------------------------


def _row(row: Row, by: metering.By) -> shapes.UsageRow:
    told = _amounts(row.usage)
    if by == "box":
        told.box_id, told.box, told.account = row.box_id, row.box_name, row.account
    elif row.hour != metering.FOLDED_HOUR:
        first = row.hour if by == "hour" else row.hour // 24 * 24
        told.start = rfc3339(first * HOUR_NS)
    return told


def _amounts(used: Usage) -> shapes.UsageRow:
    return shapes.UsageRow(
        cpu_seconds=None if used.cpu_us is None else used.cpu_us / 10**6,
        memory_byte_seconds=_bytes(used.memory_kib_seconds),
        warm_memory_byte_seconds=_bytes(used.warm_memory_kib_seconds),
        written_bytes=used.written_bytes,
        received_bytes=used.received_bytes,
        sent_bytes=used.sent_bytes,
        stored_byte_seconds=_bytes(used.stored_kib_seconds),
        hot_byte_seconds=_bytes(used.hot_kib_seconds),
        running_seconds=used.running_ms / 1000,
        warm_seconds=used.warm_ms / 1000,
        cold_seconds=used.cold_ms / 1000,
        gap_seconds=used.gap_ms / 1000,
    )


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * _KIB


def _line(line: metering.BillLine) -> shapes.BillLine:
    return shapes.BillLine(
        box_id=line.row.box_id,
        box=line.row.box_name,
        account=line.row.account,
        charges=[
            shapes.Charge(
                label=each.rate.label,
                quantity=each.quantity / each.rate.per,
                unit=each.rate.unit,
                price_nanodollars=each.rate.price_nanodollars,
                amount_nanodollars=each.amount_nanodollars,
            )
            for each in line.charges
        ],
        amount_nanodollars=line.amount_nanodollars,
    )


def _book(book: metering.PriceBook) -> shapes.PriceBook:
    return shapes.PriceBook(
        name=book.name,
        title=book.title,
        source=book.source,
        dated=book.dated,
        note=book.note,
        rates=[
            shapes.Rate(label=each.label, unit=each.unit, price_nanodollars=each.price_nanodollars)
            for each in book.rates
        ],
    )


def _standing(standing: Standing) -> shapes.Budget:
    budget = standing.budget
    told = shapes.Budget(
        period=budget.period,
        prices=budget.book,
        state=standing.state,
        resets_at=_moment(standing.resets_at_ns),
        reached_at=_moment(standing.reached_at_ns),
        says=standing.says,
    )
    if budget.scope == "box":
        told.box, told.box_id = budget.name, budget.target
    else:
        told.account = budget.target
    if budget.book is None:
        told.cap_cpu_seconds, told.spent_cpu_seconds = budget.cap / 10**6, standing.spent / 10**6
    else:
        told.cap_nanodollars, told.spent_nanodollars = budget.cap, standing.spent
    return told


def _moment(at_ns: int | None) -> str | None:
    return None if at_ns is None else rfc3339(at_ns)


# -- CSV ------------------------------------------------------------------------------------------


def _bill_table(made: metering.Bill) -> Response:
    head = ("box_id", "box", "account", "prices", "label", "quantity", "unit", "price_usd",
            "amount_usd")  # fmt: skip
    rows = [
        {
            "box_id": line.row.box_id,
            "box": line.row.box_name,
            "account": line.row.account,
            "prices": made.book.name,
            "label": each.rate.label,
            "quantity": each.quantity / each.rate.per,
            "unit": each.rate.unit,
            "price_usd": exact_dollars(each.rate.price_nanodollars),
            "amount_usd": exact_dollars(each.amount_nanodollars),
        }
        for line in made.lines
        for each in line.charges
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Mapping[str, object]]) -> Response:
    """Return rows as CSV (RFC 4180) with a head; what is not told is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in head])
    return Response(text.getvalue(), media_type=_CSV)


def _cell(value: object) -> object:
    """Return value for a cell; text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path="/usage", name="get_usage", summary="Tell what boxes used",
        handler=usage, scope="read", query=UsageQuery, answer=shapes.UsageReport, also=_CSV,
    ),
    Operation(
        method="GET", path="/bill", name="get_bill", summary="Tell what boxes cost",
        handler=bill, scope="read", query=BillQuery, answer=shapes.Bill, also=_CSV, errors=(404,),
    ),
    Operation(
        method="GET", path="/prices", name="list_prices", summary="List the price books",
        handler=prices, scope="read", answer=list[shapes.PriceBook],
    ),
    Operation(
        method="GET", path="/budgets", name="list_budgets",
        summary="List budgets and how they stand",
        handler=budgets, scope="read", answer=list[shapes.Budget],
    ),
    Operation(
        method="PUT", path="/budgets", name="set_budget",
        summary="Set the budget of a box or an account", handler=set_budget, scope="admin",
        body=shapes.SetBudget, answer=shapes.Budget, errors=(404,),
    ),
    Operation(
        method="DELETE", path="/budgets", name="clear_budget",
        summary="Take the budget of a box or an account away", handler=clear_budget,
        scope="admin", query=Owner, status=204, errors=(404,),
    ),
)  # fmt: skip
