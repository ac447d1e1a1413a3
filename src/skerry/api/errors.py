"""Errors on their way out: one JSON shape, a status for each kind."""

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
# A limit that waiting does not lift is no 429: clients would try again, and again.
_FULL = {"disk_limit", "pool_full"}


def status_of(error: SkerryError) -> int:
    """Return the HTTP status of an error."""
    if error.code in _FULL:
        return 507
    if error.code == "session_gone":
        return 410
    return next(status for kind, status in _STATUS.items() if isinstance(error, kind))


def shape_of(error: SkerryError) -> wire.Error:
    """Return the JSON shape of an error."""
    details = {k: v for k, v in error.details.items() if k not in ("path", "errno")}
    path = error.details.get("path")
    return wire.Error(
        error=error.code,
        message=error.message,
        # The Sprites SDKs look here for the name of an errno.
        code=str(error.details.get("errno", error.code)),
        path=str(path) if path is not None else None,
        details=details or None,
    )


def response_of(error: SkerryError) -> Response:
    """Return the response that tells an error."""
    headers = {}
    status = status_of(error)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="skerry"'
    if status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retry_after_seconds", 1))
    return Response(
        msgspec.json.encode(shape_of(error)), status, headers, media_type="application/json"
    )
