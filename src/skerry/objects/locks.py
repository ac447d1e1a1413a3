"""Object lock: which versions may not be deleted, until when, and who may change that. Pure.

A version is locked by a *retention*, which ends by itself, and by a *hold*, which somebody takes
away again. A bucket with lock may have a *default* retention for all versions that come without.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from skerry.base import Conflict, Denied, Invalid
from skerry.objects.model import Bucket, Lock

if TYPE_CHECKING:
    from skerry.objects.model import Version

DEFAULT = "object-lock"
"""The setting of a bucket with its default retention."""

_DAYS_MAX, _YEARS_MAX = (
    36_500,
    100,
)  # as AWS; what lasts longer would not fit 64 bits as nanoseconds
_DAY_NS = 86_400 * 10**9
_MS_NS = 10**6


class DefaultRetention(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long the versions of a bucket are kept, unless they say so themselves: days or years."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    days: int = 0
    years: int = 0


def default_of(bucket: Bucket) -> DefaultRetention | None:
    """Return the default retention of a bucket."""
    document = bucket.settings.get(DEFAULT)
    return msgspec.json.decode(document, type=DefaultRetention) if document else None


def locked(bucket: Bucket, default: DefaultRetention | None) -> Bucket:
    """Return a bucket whose versions can be locked from now on, with that default.

    Raises Invalid(bad_period), Conflict(bucket_state).
    """
    if bucket.versioning != "enabled":
        raise Conflict("bucket_state", "Enable versioning of the bucket first, then object lock.")
    settings = {name: each for name, each in bucket.settings.items() if name != DEFAULT}
    if default is not None:
        length, most = (default.years, _YEARS_MAX) if default.years else (default.days, _DAYS_MAX)
        if not 1 <= length <= most:
            raise Invalid(
                "bad_period", f"A default is 1 to {_DAYS_MAX} days, or {_YEARS_MAX} years."
            )
        settings[DEFAULT] = msgspec.json.encode(default)
    return msgspec.structs.replace(bucket, has_lock=True, settings=settings)


def check_new(bucket: Bucket, lock: Lock | None, now_ns: int) -> None:
    """Raise where a bucket takes no version with that lock: Invalid(no_lock, bad_retention)."""
    if lock is None:
        return
    if not bucket.has_lock:
        raise no_lock()
    if lock.mode:
        check_until(lock.until_ns, now_ns)


def check_until(until_ns: int, now_ns: int) -> None:
    """Raise Invalid(bad_retention) where a retention may not be set to last until then."""
    if not now_ns < until_ns <= now_ns + (_DAYS_MAX + 25) * _DAY_NS:
        raise Invalid(
            "bad_retention", "The retain until date must be in the future, within 100 years."
        )


def with_default(bucket: Bucket, lock: Lock | None, now_ns: int) -> Lock | None:
    """Return the lock of a new version: what it came with, and the bucket's default retention."""
    default = default_of(bucket) if bucket.has_lock else None
    if default is None or (lock is not None and lock.mode):
        return lock
    return Lock(default.mode, _end_ns(default, now_ns), lock is not None and lock.is_held)


def may_change(lock: Lock, new: Lock, now_ns: int, *, bypasses_governance: bool) -> bool:
    """Tell whether the retention of a lock may become that of new.

    It may be made longer, by everybody who may set one. COMPLIANCE ends for nobody.
    """
    if not lock.mode or lock.until_ns <= now_ns:
        return True
    is_longer = new.mode == lock.mode and new.until_ns >= lock.until_ns
    return is_longer or (lock.mode == "GOVERNANCE" and bypasses_governance)


def retained(
    version: Version, mode: Literal["GOVERNANCE", "COMPLIANCE", ""], until_ns: int, now_ns: int, *,
    bypasses_governance: bool,
) -> Version:  # fmt: skip
    """Return a version with another retention, none if the mode is empty.

    Raises Invalid(bad_retention, is_marker), Denied(version_locked).
    """
    _check_no_marker(version)
    before = version.lock or Lock()
    new = Lock(mode, whole_ms(until_ns), before.is_held)
    if mode:
        check_until(until_ns, now_ns)
    if not may_change(before, new, now_ns, bypasses_governance=bypasses_governance):
        raise Denied(
            "version_locked", "The version is locked: its retention can be made longer, not weaker."
        )
    return msgspec.structs.replace(version, lock=new)


def held(version: Version, *, is_held: bool) -> Version:
    """Return a version that is held, or no more. Raises Invalid(is_marker)."""
    _check_no_marker(version)
    before = version.lock or Lock()
    return msgspec.structs.replace(version, lock=Lock(before.mode, before.until_ns, is_held))


def whole_ms(until_ns: int) -> int:
    """Return the moment as clients are told it: who sets what was told makes nothing shorter."""
    return -(-until_ns // _MS_NS) * _MS_NS


def no_lock() -> Invalid:
    """Return the error of who wants a lock where there can be none."""
    return Invalid("no_lock", "Bucket is missing Object Lock Configuration: enable it first.")


def _check_no_marker(version: Version) -> None:
    if version.is_marker:
        raise Invalid("is_marker", "That version is a delete marker.")


def _end_ns(default: DefaultRetention, now_ns: int) -> int:
    if not default.years:
        return whole_ms(now_ns + default.days * _DAY_NS)
    begin = dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC)
    year = begin.year + default.years
    if (begin.month, begin.day) == (2, 29):
        end = begin.replace(year=year, month=3, day=1)
    else:
        end = begin.replace(year=year)
    return int(end.timestamp()) * 10**9 + whole_ms(now_ns % 10**9)
