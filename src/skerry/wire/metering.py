"""Shapes of the meter: use, bills, prices, budgets. Money is integer nano-dollars, times RFC 3339."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from skerry.wire.words import BoxName

AccountName = Annotated[str, Meta(min_length=1, max_length=128, pattern="^[!-~]+$")]
Amount = Annotated[int, Meta(gt=0, le=(1 << 53) - 1)]
Period = Literal["day", "month", "total"]


class UsageRow(Struct, kw_only=True):
    """What was used, added up; None where the kernel does not tell.

    start: the hour or day, None if the row is about a whole box, or about hours that are too old to
    be kept one by one. box_id, box: None if the row is about many. hot_byte_seconds: the part of
    stored_byte_seconds while running. gap_seconds: time in which nobody read the box, so that only
    what the kernel counts by itself is in the row.
    """

    start: str | None = None
    box_id: str | None = None
    box: str | None = None
    account: str | None = None
    cpu_seconds: float | None
    memory_byte_seconds: int | None
    warm_memory_byte_seconds: int | None
    written_bytes: int | None
    received_bytes: int | None
    sent_bytes: int | None
    stored_byte_seconds: int | None
    hot_byte_seconds: int | None
    running_seconds: float
    warm_seconds: float
    cold_seconds: float
    gap_seconds: float


class UsageReport(Struct, kw_only=True):
    """`GET /v1/usage`: whole hours from since to until, and their sum."""

    since: str
    until: str
    by: Literal["hour", "day", "box"]
    rows: list[UsageRow]
    total: UsageRow


class Charge(Struct, kw_only=True):
    """One line of a price list, on a bill: quantity times price."""

    label: str
    quantity: float
    unit: str
    price_nanodollars: int
    amount_nanodollars: int


class BillLine(Struct, kw_only=True):
    """What one box costs; box_id is empty for those that are long gone."""

    box_id: str
    box: str
    account: str
    charges: list[Charge]
    amount_nanodollars: int


class Bill(Struct, kw_only=True):
    """`GET /v1/bill`: what boxes cost, the dearest first. The total is the sum of the lines."""

    prices: str
    title: str
    source: str
    dated: str
    note: str
    since: str
    until: str
    lines: list[BillLine]
    amount_nanodollars: int


class Rate(Struct, kw_only=True):
    """One line of a price list."""

    label: str
    unit: str
    price_nanodollars: int


class PriceBook(Struct, kw_only=True):
    """A price list: one's own machine's, or the public one of a hosted system."""

    name: str
    title: str
    source: str
    dated: str
    note: str
    rates: list[Rate]


class SetBudget(Struct, kw_only=True, omit_defaults=True):
    """The body of `PUT /v1/budgets`: of a box or of an account, in money or in CPU seconds.

    prices: by which money is counted; left out, those of one's own machine.
    """

    box: BoxName | None = None
    account: AccountName | None = None
    period: Period = "month"
    cap_nanodollars: Amount | None = None
    cap_cpu_seconds: Annotated[float, Meta(gt=0, le=1e12)] | None = None
    prices: str | None = None


class Budget(Struct, kw_only=True):
    """A budget as it stands. reached_at: when it is used up if use goes on as lately.

    says: a sentence where there is something to say: a warning, or why boxes sleep.
    """

    box: str | None = None
    box_id: str | None = None
    account: str | None = None
    period: Period
    prices: str | None = None
    cap_nanodollars: int | None = None
    spent_nanodollars: int | None = None
    cap_cpu_seconds: float | None = None
    spent_cpu_seconds: float | None = None
    state: Literal["ok", "warning", "reached"]
    resets_at: str | None = None
    reached_at: str | None = None
    says: str = ""
