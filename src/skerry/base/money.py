"""Money as the product speaks of it: integer nano-dollars, so that nothing drifts when summed."""

from decimal import Decimal, InvalidOperation

from skerry.base.errors import Invalid

NANO = 10**9
"""How many nano-dollars a dollar has."""

_DOLLARS_MAX = 10**9


def nanodollars(text: str) -> int:
    """Return the nano-dollars that text says, such as `5`, `$0.50` or `12.5`.

    Raises Invalid(bad_money).
    """
    try:
        dollars = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        dollars = Decimal(-1)
    if not dollars.is_finite() or not 0 <= dollars <= _DOLLARS_MAX:
        raise Invalid("bad_money", f"{text[:40]!r} is no amount. Write dollars, like 5 or 0.50.")
    return int((dollars * NANO).to_integral_value())


def exact_dollars(amount: int) -> str:
    """Return an amount in nano-dollars as dollars with all nine digits, for programs."""
    sign, whole, rest = _split(amount)
    return f"{sign}{whole}.{rest:09d}"


def format_dollars(amount: int) -> str:
    """Return an amount in nano-dollars as a person writes it: `$12.30`, `$0.0042`.

    Cents, and below ten of them as many digits as show the first two that count.
    """
    sign, whole, rest = _split(amount)
    digits = 2
    if not whole and 0 < rest < NANO // 10:
        digits = min(9, 11 - len(str(rest)))
    step = 10 ** (9 - digits)
    rounded = (whole * NANO + rest + step // 2) // step
    whole, rest = divmod(rounded, 10**digits)
    return f"{sign}${whole}.{rest:0{digits}d}"


def _split(amount: int) -> tuple[str, int, int]:
    whole, rest = divmod(abs(amount), NANO)
    return "-" if amount < 0 else "", whole, rest
