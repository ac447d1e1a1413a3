"""What a verb of IAM or STS is, and how users are named in their documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from skerry.base import Invalid
from skerry.s3.call import Call

ACCOUNT_ID = "000000000000"
"""The number of the one account: AWS's have twelve digits."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb. handler: returns what stands in its result. fields: that its form may have."""

    handler: Callable[[Call], Awaitable[str]]
    fields: frozenset[str] = field(default_factory=frozenset[str])


def number(call: Call, name: str, default: int, lowest: int, highest: int) -> int:
    """Return a number of the form. Raises Invalid(bad_argument)."""
    text = call.query.get(name, str(default))
    if not text.isdecimal() or len(text) > 9 or not lowest <= int(text) <= highest:
        raise Invalid("bad_argument", f"{name} is a number from {lowest} to {highest}.")
    return int(text)


def required(call: Call, name: str) -> str:
    """Return a field of the form. Raises Invalid(bad_argument)."""
    text = call.query.get(name, "")
    if not text:
        raise Invalid("bad_argument", f"The form lacks {name}.")
    return text


def arn_of(user: str) -> str:
    """Return the ARN of a user, of the root key where there is none."""
    return f"arn:aws:iam::{ACCOUNT_ID}:{f'user/{user}' if user else 'root'}"
