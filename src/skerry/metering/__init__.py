"""The meter: what boxes use, what that costs, and budgets that hold.

Words: a *reading* is what the kernel says of one box at one moment; the *ledger* has what was used,
by box, account and hour; a *price book* turns use into money, a *bill* is what comes of it; a
*budget* is a cap on a box or an account, and where it stands is a *standing*. Knows boxes only by
id, name and account.
"""

from skerry.metering.budgets import Budget, Scope, Standing
from skerry.metering.model import Reading, State, Usage
from skerry.metering.operations import (
    Bill,
    BillLine,
    Meter,
    bill,
    clear_budget,
    find_book,
    forecast,
    forget,
    forget_others,
    over_budget,
    record,
    refusal,
    set_budget,
    usage,
)
from skerry.metering.periods import HOUR_NS, Period, moment_ns, period_of
from skerry.metering.prices import (
    OWN_MACHINE,
    Charge,
    OwnMachine,
    PriceBook,
    own_machine,
    price_books,
)
from skerry.metering.store import FOLDED_HOUR, MIGRATIONS, By, Row

__all__ = [
    "FOLDED_HOUR",
    "HOUR_NS",
    "MIGRATIONS",
    "OWN_MACHINE",
    "Bill",
    "BillLine",
    "Budget",
    "By",
    "Charge",
    "Meter",
    "OwnMachine",
    "Period",
    "PriceBook",
    "Reading",
    "Row",
    "Scope",
    "Standing",
    "State",
    "Usage",
    "bill",
    "clear_budget",
    "find_book",
    "forecast",
    "forget",
    "forget_others",
    "moment_ns",
    "over_budget",
    "own_machine",
    "period_of",
    "price_books",
    "record",
    "refusal",
    "set_budget",
    "usage",
]
