"""What can go wrong between a program and a Skerry: the tree of `skerry.base`, by HTTP status.

Knows the one JSON shape of an error. Does not know which call was made.
"""

from typing import TYPE_CHECKING

import msgspec

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

if TYPE_CHECKING:
    from skerry.client.command import Result

_KINDS: dict[int, type[SkerryError]] = {
    401: Unauthorized,
    403: Denied,
    404: NotFound,
    408: NotAvailable,
    409: Conflict,
    410: NotFound,
    413: TooLarge,
    414: TooLarge,
    423: Conflict,
    429: LimitReached,
    431: TooLarge,
    501: NotBuilt,
    502: NotAvailable,
    503: NotAvailable,
    504: NotAvailable,
    507: LimitReached,
}
_SHOWN_CHARACTERS = 300  # of an answer that is no error of Skerry's: enough to recognise a proxy by


class CommandFailed(Failed):
    """A command ended with another exit code than 0, and `check` was asked for."""

    def __init__(self, result: "Result") -> None:
        code = result.exit_code
        said = result.stderr.strip()[-_SHOWN_CHARACTERS:]
        super().__init__(
            "command_failed",
            f"The command ended with exit code {code}." + (f" It said: {said}" if said else ""),
            {"exit_code": code},
        )
        self.result = result


class CommandTimedOut(LimitReached):
    """A command ran longer than its `timeout`; it and all that it started were ended."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(
            "command_timed_out",
            f"The command ran longer than {timeout_seconds:g} s and was ended. "
            "Give it a longer timeout.",
            {"timeout_seconds": timeout_seconds},
        )


def error_of(status: int, body: bytes) -> SkerryError:
    """Return the error that an answer with this HTTP status and body tells of.

    A body that is no error of Skerry's (a proxy's page, say) is quoted in the message.
    """
    kind = _KINDS.get(status, Invalid if 400 <= status < 500 else Failed)
    try:
        told = msgspec.json.decode(body, type=wire.Error)
    except msgspec.DecodeError:
        shown = body[:_SHOWN_CHARACTERS].decode("utf-8", "replace").strip()
        return kind(
            "unexpected_answer",
            f"The server answered with status {status}: {shown or 'nothing else'}. "
            "Check that the URL is that of a Skerry.",
            {"status": status},
        )
    details = dict(told.details or {})
    if told.path is not None:
        details["path"] = told.path
    return kind(told.error, told.message, details)


def error_in_stream(line: wire.Progress) -> SkerryError:
    """Return the error that the last line of a stream of progress tells of."""
    return Failed(line.code or "failed", line.error or line.data or "It failed without a reason.")


def connection_lost(
    doing: str, what_to_do: str = "It may or may not have been done: look before trying again."
) -> NotAvailable:
    """Return the error for a connection that ended before the answer did."""
    return NotAvailable(
        "connection_lost", f"The connection to Skerry ended while {doing}. {what_to_do}"
    )


def timed_out(doing: str, limit_seconds: float) -> NotAvailable:
    """Return the error for a peer that did nothing for limit_seconds."""
    return NotAvailable(
        "timed_out",
        f"Skerry did not answer for {limit_seconds:g} s while {doing}. "
        "Check that it is running and not overloaded.",
    )
