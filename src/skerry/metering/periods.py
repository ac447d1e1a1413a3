"""Hours, days and months of the ledger, all of UTC, and how a moment is written. Pure."""

import datetime as dt
import re
from typing import Literal, TypeAlias

from skerry.base import Invalid, duration_ns

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
Period: TypeAlias = Literal["day", "month", "total"]

_LAST_NS = 253_402_300_800 * 10**9  # the year 10000, which no calendar here knows
_AGO = re.compile(r"[0-9.]+[a-z].*")


def hour_of(at_ns: int) -> int:
    """Return the number of the hour that a moment lies in, counted from 1970."""
    return at_ns // HOUR_NS


def hours_between(since_ns: int, until_ns: int) -> tuple[int, int]:
    """Return the first hour of a span and the one after its last: begun hours are in it whole."""
    return since_ns // HOUR_NS, -(-until_ns // HOUR_NS)


def period_of(period: Period, now_ns: int) -> tuple[int, int | None]:
    """Return when the day or month began, and when it ends; in total: at 0 and never."""
    if period == "total":
        return 0, None
    if period == "day":
        begin_ns = now_ns // DAY_NS * DAY_NS
        return begin_ns, begin_ns + DAY_NS
    now = dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC)
    begin = dt.datetime(now.year, now.month, 1, tzinfo=dt.UTC)
    following = (begin + dt.timedelta(days=32)).replace(day=1)
    return _ns(begin), _ns(following)


def moment_ns(text: str, now_ns: int) -> int:
    """Return the moment that text says: `24h` or `7d` ago, `2026-11-01`, an RFC 3339 time, `all`.

    A date or time without a zone is UTC; `all` is the beginning of everything. Raises
    Invalid(bad_time).
    """
    if text == "all":
        return 0
    try:
        if _AGO.fullmatch(text):
            return max(0, now_ns - duration_ns(text))
        moment = dt.datetime.fromisoformat(text)
    except (Invalid, ValueError):
        raise Invalid(
            "bad_time",
            f"{text[:40]!r} is no moment. Write how long ago, like 24h or 7d, a date like "
            "2026-11-01, or `all`.",
        ) from None
    at_ns = _ns(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
    return min(max(0, at_ns), _LAST_NS)


def written_moment(at_ns: int) -> str:
    """Return a moment as sentences have it: `2026-11-24 00:00 UTC`."""
    moment = dt.datetime.fromtimestamp(min(at_ns, _LAST_NS - 1) // 10**9, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _ns(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 1000
