"""Conditions of policies: operators of IAM, and the keys that requests have here. Pure.

Source: "IAM JSON policy elements: Condition operators" in the IAM user guide. What is not known is
refused when a policy is put: a condition that nobody looks at would allow what it should not.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias, cast

from skerry.s3.patterns import Pattern, Values, exact, pattern, verbatim, wildcards

Test: TypeAlias = Callable[[str, Values], bool]
Quantifier: TypeAlias = Literal["", "any", "all"]
_Make: TypeAlias = Callable[[str, bool], tuple[Test, frozenset[str]]]

_KEYS = frozenset(
    {
        "aws:sourceip", "aws:securetransport", "aws:currenttime", "aws:epochtime", "aws:username",
        "aws:useragent", "aws:referer", "s3:prefix", "s3:delimiter", "s3:max-keys", "s3:versionid",
        "s3:x-amz-acl", "s3:x-amz-copy-source", "s3:x-amz-storage-class", "s3:signatureversion",
        "s3:requestobjecttagkeys", "s3:x-amz-server-side-encryption",
        "s3:x-amz-server-side-encryption-customer-algorithm",
    }
)  # fmt: skip
_TAG_KEYS = ("s3:existingobjecttag/", "s3:requestobjecttag/")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,9})?")
_EPOCH = re.compile(r"[0-9]{1,12}")
_OPERATOR = re.compile(r"(?:(ForAnyValue|ForAllValues):)?([A-Za-z]+)", re.IGNORECASE)
_VALUES_MAX = 300
_Number: TypeAlias = Decimal | float
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One key of one operator. tests: one of them must hold or, if is_negated, none.

    variables: names whose values the request must have.
    """

    key: str
    tests: tuple[Test, ...]
    is_negated: bool
    passes_without: bool
    quantifier: Quantifier
    variables: frozenset[str]

    def holds(self, values: Values) -> bool:
        """Tell whether it holds for a request."""
        found = values(self.key)
        if not found:
            return self.passes_without
        each = (self._fits(value, values) for value in found)
        every = self.quantifier == "all" or (self.is_negated and not self.quantifier)
        return all(each) if every else any(each)

    def _fits(self, value: str, values: Values) -> bool:
        return any(test(value, values) for test in self.tests) != self.is_negated


def key_name(text: str) -> str | None:
    """Return the name of a condition key as `Values` has it, None if there is none such.

    Names mean the same in capitals; the key of a tag does not.
    """
    lower = text.lower()
    if lower in _KEYS:
        return lower
    prefix = next((each for each in _TAG_KEYS if lower.startswith(each)), None)
    tag = text[len(prefix) :] if prefix else ""
    return f"{prefix}{tag}" if prefix and 1 <= len(tag) <= 128 else None


def conditions_of(document: object, *, has_variables: bool) -> tuple[Condition, ...]:
    """Return the conditions of a statement's Condition. Raises ValueError."""
    made: list[Condition] = []
    for operator, pairs in _object(document, "Condition").items():
        for key, values in _object(pairs, operator).items():
            made.append(_condition(operator, key, _texts(values, key), has_variables=has_variables))
    return tuple(made)


def _condition(operator: str, key: str, texts: Sequence[str], *, has_variables: bool) -> Condition:
    match, name = _OPERATOR.fullmatch(operator), key_name(key)
    if match is None:
        raise ValueError(f"there is no condition operator {operator[:60]!r}")
    if name is None:
        raise ValueError(f"there is no condition key {key[:60]!r} here")
    word = match[2].lower()
    if word == "null":
        return _null(name, texts)
    if_exists = word.endswith("ifexists")
    made = _OPERATORS.get(word.removesuffix("ifexists"))
    if made is None:
        raise ValueError(f"there is no condition operator {operator[:60]!r}")
    make, is_negated = made
    tests = [make(text, has_variables) for text in texts]
    quantifiers: dict[str, Quantifier] = {"foranyvalue": "any", "forallvalues": "all"}
    quantifier = quantifiers.get((match[1] or "").lower(), "")
    passes = if_exists or quantifier == "all" or (is_negated and not quantifier)
    return Condition(
        key=name, tests=tuple(test for test, _ in tests), is_negated=is_negated,
        passes_without=passes, quantifier=quantifier,
        variables=_NONE.union(*(names for _, names in tests)),
    )  # fmt: skip


def _null(name: str, texts: Sequence[str]) -> Condition:
    wanted = {text.lower() for text in texts}
    if not wanted <= {"true", "false"}:
        raise ValueError("Null is true or false")
    must_be_there = "false" in wanted
    return Condition(
        key=name, tests=(lambda _text, _values: must_be_there,), is_negated=False,
        passes_without="true" in wanted, quantifier="", variables=_NONE,
    )  # fmt: skip


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{name[:60]} is an object that says something")
    return cast("Mapping[str, object]", value)


def _texts(value: object, name: str) -> list[str]:
    values = cast("list[object]", value if isinstance(value, list) else [value])
    if not 1 <= len(values) <= _VALUES_MAX:
        raise ValueError(f"{name[:60]} has 1 to {_VALUES_MAX} values")
    return [_text(each, name) for each in values]


def _text(value: object, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"the values of {name[:60]} are texts")


# -- operators: from the text in a policy to what looks at the text in a request --


def _by_pattern(made: Pattern) -> tuple[Test, frozenset[str]]:
    return made.matches, made.variables


def _equals(text: str, has_variables: bool) -> tuple[Test, frozenset[str]]:  # noqa: FBT001 - as all of them
    return _by_pattern(exact(text, key_name) if has_variables else verbatim(text))


def _like(text: str, has_variables: bool) -> tuple[Test, frozenset[str]]:  # noqa: FBT001 - as all of them
    return _by_pattern(pattern(text, key_name) if has_variables else wildcards(text))


def _equals_ignoring_case(text: str, has_variables: bool) -> tuple[Test, frozenset[str]]:  # noqa: FBT001 - as all of them
    if has_variables and "${" in text:
        raise ValueError("IgnoreCase goes without policy variables here")
    made = verbatim(text.lower())
    return lambda value, values: made.matches(value.lower(), values), _NONE


def _boolean(text: str, _has_variables: bool) -> tuple[Test, frozenset[str]]:  # noqa: FBT001 - as all of them
    wanted = text.lower()
    if wanted not in ("true", "false"):
        raise ValueError("Bool is true or false")
    return lambda value, _: value.lower() == wanted, _NONE


def _address(text: str, _has_variables: bool) -> tuple[Test, frozenset[str]]:  # noqa: FBT001 - as all of them
    network = ipaddress.ip_network(text, strict=False)

    def test(value: str, _values: Values) -> bool:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address) in network

    return test, _NONE


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def moment_of(text: str) -> float | None:
    """Return the seconds since 1970 of a date, or of that number."""
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        moment = dt.datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return zoned.timestamp()
    except (ValueError, OverflowError):
        return None


def _compared(
    read: Callable[[str], _Number | None], holds: Callable[[_Number, _Number], bool]
) -> _Make:
    def make(text: str, _has_variables: bool) -> tuple[Test, frozenset[str]]:  # noqa: FBT001 - as all of them
        wanted = read(text)
        if wanted is None:
            raise ValueError(f"{text[:60]!r} is no number or date")

        def test(value: str, _values: Values) -> bool:
            found = read(value)
            return found is not None and holds(found, wanted)

        return test, _NONE

    return make


_ORDERS: dict[str, Callable[[_Number, _Number], bool]] = {
    "lessthan": lambda a, b: a < b,
    "lessthanequals": lambda a, b: a <= b,
    "greaterthan": lambda a, b: a > b,
    "greaterthanequals": lambda a, b: a >= b,
}
_READS: dict[str, Callable[[str], _Number | None]] = {"numeric": number_of, "date": moment_of}
_OPERATORS: dict[str, tuple[_Make, bool]] = {
    "stringequals": (_equals, False),
    "stringnotequals": (_equals, True),
    "stringequalsignorecase": (_equals_ignoring_case, False),
    "stringnotequalsignorecase": (_equals_ignoring_case, True),
    "stringlike": (_like, False),
    "stringnotlike": (_like, True),
    "bool": (_boolean, False),
    "ipaddress": (_address, False),
    "notipaddress": (_address, True),
    **{
        f"{kind}{word}": (_compared(read, holds), False)
        for kind, read in _READS.items()
        for word, holds in _ORDERS.items()
    },
    **{
        f"{kind}{word}": (_compared(read, lambda a, b: a == b), word == "notequals")
        for kind, read in _READS.items()
        for word in ("equals", "notequals")
    },
}
