"""Errors as the protocol tells them: types of the specification, and statuses. Pure."""

import msgspec

from skerry.base import (
    Conflict,
    Denied,
    Invalid,
    LimitReached,
    NotAvailable,
    NotBuilt,
    NotFound,
    SkerryError,
    TooLarge,
    Unauthorized,
)

_TOLD: dict[str, tuple[str, int]] = {
    "no_such_namespace": ("NoSuchNamespaceException", 404),
    "no_such_table": ("NoSuchTableException", 404),
    "no_such_view": ("NoSuchViewException", 404),
    "namespace_exists": ("AlreadyExistsException", 409),
    "table_exists": ("AlreadyExistsException", 409),
    "view_exists": ("AlreadyExistsException", 409),
    "location_taken": ("AlreadyExistsException", 409),
    "namespace_not_empty": ("NamespaceNotEmptyException", 409),
    "commit_failed": ("CommitFailedException", 409),
    "property_twice": ("UnprocessableEntityException", 422),
    "data_full": ("InsufficientStorageException", 507),
}
_BY_KIND: tuple[tuple[type[SkerryError], tuple[str, int]], ...] = (
    (Invalid, ("BadRequestException", 400)),
    (Unauthorized, ("NotAuthorizedException", 401)),
    (Denied, ("ForbiddenException", 403)),
    (NotFound, ("NotFoundException", 404)),
    (Conflict, ("CommitFailedException", 409)),
    (TooLarge, ("BadRequestException", 413)),
    (LimitReached, ("TooManyRequestsException", 429)),
    (NotAvailable, ("ServiceUnavailableException", 503)),
    (NotBuilt, ("UnsupportedOperationException", 501)),
)
INTERNAL = ("InternalServerError", 500)


def told(error: SkerryError) -> tuple[str, int]:
    """Return the type and status that a client gets for an error."""
    known = _TOLD.get(error.code)
    if known is not None:
        return known
    return next((each for kind, each in _BY_KIND if isinstance(error, kind)), INTERNAL)


def error_body(kind: str, message: str, status: int) -> bytes:
    """Return the document of an error."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "code": status}})
