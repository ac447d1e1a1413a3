"""Object lock in headers: what a request wants of a new version, and what is told of an old one."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from skerry.base import Invalid
from skerry.objects import locks
from skerry.objects.model import Lock
from skerry.s3.access import may_object
from skerry.s3.call import iso

if TYPE_CHECKING:
    from typing import Literal

    from skerry.objects.model import Bucket, Version
    from skerry.s3.call import Call
    from skerry.s3.ingest import Expected

_MODE, _UNTIL, _HOLD = (
    f"x-amz-object-lock-{x}" for x in ("mode", "retain-until-date", "legal-hold")
)
_MOMENT_CHARACTERS_MAX = 40


def lock_of(call: Call) -> Lock | None:
    """Return the lock that a request wants for the version that it makes.

    That its sender may have it is known. Raises Invalid(bad_argument, bad_retention).
    """
    mode, until, hold = call.header(_MODE), call.header(_UNTIL), call.header(_HOLD)
    if mode is None and until is None and hold is None:
        return None
    if (mode is None) != (until is None):
        raise Invalid("bad_argument", f"{_UNTIL} and {_MODE} must both be supplied.")
    known = mode_of(mode or "")
    if mode is not None and not known:
        raise Invalid("bad_argument", f"{_MODE} is GOVERNANCE or COMPLIANCE.")
    if hold not in (None, "ON", "OFF"):
        raise Invalid("bad_argument", f"{_HOLD} is ON or OFF.")
    until_ns = 0
    if until is not None and (until_ns := moment_ns(until)) == 0:
        raise Invalid("bad_retention", f"{_UNTIL} is written as 2030-01-31T12:00:00Z.")
    return Lock(known, until_ns, hold == "ON")


def mode_of(text: str) -> Literal["GOVERNANCE", "COMPLIANCE", ""]:
    """Return the mode of a retention, empty if it is none."""
    match text:
        case "GOVERNANCE" | "COMPLIANCE":
            return text
        case _:
            return ""


def moment_ns(text: str) -> int:
    """Return a moment, up to a whole millisecond, 0 if it is none or before 1970."""
    if len(text) > _MOMENT_CHARACTERS_MAX:
        return 0
    try:
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        return 0
    return locks.whole_ms(max(0, since // dt.timedelta(microseconds=1) * 1000))


def lock_headers(call: Call, version: Version) -> list[tuple[str, str]]:
    """Return the headers that tell a lock, as far as who calls may know it."""
    lock, headers = version.lock, list[tuple[str, str]]()
    if lock is None:
        return headers
    named = (call.bucket, call.key, call.query.get("versionId", ""))
    if lock.mode and may_object(call, "s3:GetObjectRetention", *named):
        headers += [(_MODE, lock.mode), (_UNTIL, iso(lock.until_ns))]
    if may_object(call, "s3:GetObjectLegalHold", *named):
        headers.append((_HOLD, "ON" if lock.is_held else "OFF"))
    return headers


def check_digest(bucket: Bucket, lock: Lock | None, expected: Expected) -> None:
    """Raise Invalid(bad_checksum) where bytes that shall be locked come without a digest, as AWS.

    A signed SHA-256 is one here, other than there: minio-py sends nothing else where TLS is not used.
    """
    is_locked = lock is not None or (bucket.has_lock and locks.default_of(bucket) is not None)
    digests = (expected.md5, expected.checksum, expected.trailer, expected.sha256)
    has_digest = any(each is not None for each in digests)
    if is_locked and not has_digest:
        raise Invalid(
            "bad_checksum",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put requests with Object "
            "Lock parameters.",
        )
