"""Policies of POST forms: what a form may say, as who signed the policy allows it. Pure.

Source: "POST policy" in the S3 API reference.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from skerry.base import Denied, Invalid
from skerry.objects.model import PART_BYTES_MAX
from skerry.s3.policy_conditions import moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONDITIONS_MAX = 200
_POLICY_CHARACTERS_MAX = 48 << 10
# Of which a policy need not speak: what it is signed by, and what it is about.
_FREE = frozenset({"policy", "x-amz-signature", "signature", "awsaccesskeyid", "file"})
_IGNORED = "x-ignore-"


@dataclass(frozen=True, slots=True)
class FormPolicy:
    """A policy that was read. equal, begins: what fields are, or how they begin; names in lower case.

    sizes: the least and the most bytes of the file.
    """

    expires_at_s: float
    equal: tuple[tuple[str, str], ...]
    begins: tuple[tuple[str, str], ...]
    sizes: tuple[int, int]

    def check(self, fields: Mapping[str, str], now_s: int) -> None:
        """Return if a form is as the policy wants it. fields: with `bucket`, and the whole `key`.

        Raises Denied(form_refused).
        """
        if now_s >= self.expires_at_s:
            raise _refused("Policy expired.")
        for name, value in self.equal:
            if fields.get(name, "") != value:
                raise _refused(f'Policy Condition failed: ["eq", "${name[:80]}", ...]')
        for name, value in self.begins:
            if not fields.get(name, "").startswith(value):
                raise _refused(f'Policy Condition failed: ["starts-with", "${name[:80]}", ...]')
        known = {name for name, _ in (*self.equal, *self.begins)} | _FREE | {"bucket"}
        extra = [name for name in fields if name not in known and not name.startswith(_IGNORED)]
        if extra:
            raise _refused(f"Extra input fields: {min(extra)[:80]}")


def form_policy(text: str) -> FormPolicy:
    """Return a policy, of base 64. Raises Invalid(bad_form_policy)."""
    if len(text) > _POLICY_CHARACTERS_MAX:
        raise _bad("it is too long")
    try:
        document: object = json.loads(base64.b64decode(text, validate=True))
        return _policy(document)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _bad(str(error)) from None


def _policy(document: object) -> FormPolicy:
    fields = cast("dict[str, object]", document if isinstance(document, dict) else {})
    expiration, conditions = fields.get("expiration"), fields.get("conditions")
    expires_at_s = moment_of(expiration) if isinstance(expiration, str) else None
    if expires_at_s is None:
        raise _bad("expiration is a date such as 2026-01-31T12:00:00.000Z")
    listed = cast("list[object]", conditions if isinstance(conditions, list) else [])
    if not isinstance(conditions, list) or len(listed) > _CONDITIONS_MAX:
        raise _bad(f"conditions is a list of at most {_CONDITIONS_MAX}")
    equal: list[tuple[str, str]] = []
    begins: list[tuple[str, str]] = []
    least, most = 0, PART_BYTES_MAX
    for each in listed:
        match each:
            case ["content-length-range", int() | str() as low, int() | str() as high]:
                least, most = max(least, _size(low)), min(most, _size(high))
            case [str() as kind, str() as name, str() | int() as value] if name[:1] == "$":
                pairs = {"eq": equal, "starts-with": begins}.get(kind.lower())
                if pairs is None:
                    raise _bad(f"there is no condition {kind[:40]!r}")
                pairs.append((name[1:].lower(), str(value)))
            case dict():
                equal += _pairs(cast("dict[str, object]", each))
            case _:
                raise _bad("a condition is an object, or a list of three")
    return FormPolicy(expires_at_s, tuple(equal), tuple(begins), (least, most))


def _pairs(condition: Mapping[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in condition.items():
        if not isinstance(value, str | int):
            raise _bad("what a field is must be a text")
        found.append((name.lower(), str(value)))
    if len(found) != 1:
        raise _bad("a condition is about one field")
    return found


def _size(value: int | str) -> int:
    text = str(value)
    if not text.isdecimal() or len(text) > 15:
        raise _bad("content-length-range has two sizes in bytes")
    return int(text)


def _bad(why: str) -> Invalid:
    return Invalid("bad_form_policy", f"Invalid Policy: {why}.")


def _refused(why: str) -> Denied:
    return Denied("form_refused", f"Invalid according to Policy: {why}")
