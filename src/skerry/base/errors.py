"""The one tree of errors. Each has a stable code for programs and a message that says what to do.

How a kind becomes an HTTP status or an exit code is the business of each edge, not of this file.
"""

from collections.abc import Mapping


class SkerryError(Exception):
    """Anything that a user, a client or the machine can cause.

    code: stable, snake_case, part of the API. message: one or two sentences for a person, the
    last one says what to do. details: further JSON-able facts, such as the limit that was hit.
    """

    def __init__(
        self, code: str, message: str, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, object] = dict(details or {})


class Invalid(SkerryError):
    """The request itself is wrong; sending it again unchanged never works."""


class Unauthorized(SkerryError):
    """Who is asking is not known."""


class Denied(SkerryError):
    """Who is asking is known and may not do this."""


class NotFound(SkerryError):
    """The thing that was named does not exist."""


class Conflict(SkerryError):
    """The thing exists already, or its state does not allow this now."""


class TooLarge(SkerryError):
    """The request is larger than its limit."""


class LimitReached(SkerryError):
    """A limit on count, rate, memory, disk or processes was hit."""


class NotAvailable(SkerryError):
    """The machine cannot do this now (or lacks what it takes); it may work later."""


class NotBuilt(SkerryError):
    """A known call that this version of Skerry does not answer yet."""


class Failed(SkerryError):
    """Something that should have worked did not: a bug, or a broken machine."""
