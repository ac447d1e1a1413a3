"""Errors on their way out: one JSON shape, a status for each kind."""

import sys
import traceback
from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from skerry import wire
from skerry.base import (
    Conflict,
    Denied,
    Failed,
    Invalid,
    LimitReached,
    NotAvailable,
    NotBuilt,
    NotFound,
    SkerryError,
    TooLarge,
    Unauthorized,
)

_STATUS: dict[type[SkerryError], int] = {
    Invalid: 400,
    Unauthorized: 401,
    Denied: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    LimitReached: 429,
    Failed: 500,
    NotBuilt: 501,
    NotAvailable: 503,
}
# Where the status says more than the kind of the error does.
_BY_CODE = {
    "bad_method": 405,
    "bad_range": 416,
    "body_too_slow": 408,
    "disk_limit": 507,
    "pool_full": 507,
    "data_full": 507,
    "session_gone": 410,
}


def bad_method(method: str, allowed: Sequence[str]) -> Invalid:
    """Return the error for a method that a path does not take."""
    takes = ", ".join(allowed)
    return Invalid(
        "bad_method", f"This path does not take {method[:20]}. It takes {takes}.", {"allow": takes}
    )


def mistake(error: Exception) -> Failed:
    """Write what nobody expected into the log, and return what strangers may know of it."""
    traceback.print_exception(error, file=sys.stderr)
    return Failed("internal", "Skerry made a mistake here. Its log has the details.")


def status_of(error: SkerryError) -> int:
    """Return the HTTP status of an error."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next(status for kind, status in _STATUS.items() if isinstance(error, kind))


def shape_of(error: SkerryError) -> wire.Error:
    """Return the JSON shape of an error."""
    details = {
        key: shown(value) if isinstance(value, str) else value
        for key, value in error.details.items()
        if key not in ("path", "errno", "allow")
    }
    path = error.details.get("path")
    return wire.Error(
        error=error.code,
        message=shown(error.message),
        # The Sprites SDKs look here for the name of an errno.
        code=str(error.details.get("errno", error.code)),
        path=shown(str(path)) if path is not None else None,
        details=details or None,
        # And here for what a limit is.
        limit=_number(details.get("limit")),
        current_count=_number(details.get("current_count")),
        retry_after_seconds=_number(details.get("retry_after_seconds")),
    )


def shown(text: str) -> str:
    """Return text as JSON can hold it: bytes that were no UTF-8 are shown in hexadecimal."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, from no bytes at all
        return text.encode("utf-8", "backslashreplace").decode()


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def response_of(error: SkerryError) -> Response:
    """Return the response that tells an error."""
    headers: dict[str, str] = {}
    status = status_of(error)
    if status == 405:
        headers["Allow"] = str(error.details["allow"])
    if status == 416 and "size_bytes" in error.details:
        headers["Content-Range"] = f"bytes */{error.details['size_bytes']}"
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="skerry"'
    if status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retry_after_seconds", 1))
    return Response(
        msgspec.json.encode(shape_of(error)), status, headers, media_type="application/json"
    )
