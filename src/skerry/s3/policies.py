"""Policies in IAM's JSON: read, checked, and asked whether they allow something. Pure.

Source: "IAM JSON policy reference" and "Policy evaluation logic" in the IAM user guide. What a
policy says and is not known here is refused when it is put, never passed over.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from skerry.base import Invalid
from skerry.s3.patterns import Pattern, Values, pattern, wildcards
from skerry.s3.policy_conditions import Condition, conditions_of, key_name

POLICY_BYTES_MAX = 20 << 10  # as AWS has it for buckets
ARN = "arn:aws:s3:::"
EVERYTHING = f"{ARN}*"
"""The resource of what is about no bucket."""

_STATEMENTS_MAX = 100
_ELEMENTS_MAX = 1000  # actions, resources and principals together: each is looked at per request
_ACTION = re.compile(r"\*|[A-Za-z0-9-]{1,40}:[A-Za-z0-9*?]{1,128}")
_SID = re.compile(r"[A-Za-z0-9 _-]{0,128}")
_PRINCIPAL = re.compile(r"(?![0-9]{12}$)[\w+=,.@-]{1,128}")
_PRINCIPAL_ARN = re.compile(
    r"arn:aws:iam::(?:000000000000)?:(root|user/(?:[\w+=,.@-]+/)*([\w+=,.@-]+))"
)
_ACCOUNT = "000000000000"
_FIELDS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource",
     "Condition"}
)  # fmt: skip
_OLD_VERSION, _VERSION = "2008-10-17", "2012-10-17"

Verdict: TypeAlias = Literal["allow", "deny", ""]
"""What a policy says of a request, nothing if it does not speak of it."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who wants to do what. names: of the user and the access key; none for everybody.

    action: as policies name it. resource: an ARN. values: what conditions look at.
    """

    names: frozenset[str]
    action: str
    resource: str
    values: Values


@dataclass(frozen=True, slots=True)
class _Principals:
    """Whom a statement is about. has_account: it names the account, and so all of its users."""

    everybody: bool = False
    has_account: bool = False
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Patterns of which one must fit or, if is_negated, none."""

    patterns: tuple[Pattern, ...]
    is_negated: bool

    def fits(self, text: str, values: Values) -> bool:
        """Tell whether a text is chosen."""
        return any(each.matches(text, values) for each in self.patterns) != self.is_negated


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. principals: None where it is about whom the policy belongs to."""

    effect: Literal["allow", "deny"]
    principals: _Principals | None
    excepts_principals: bool
    actions: _Chosen
    resources: _Chosen
    conditions: tuple[Condition, ...]
    variables: frozenset[str]

    def applies(self, asking: Asking) -> bool:
        """Tell whether it speaks of a request."""
        if not self.actions.fits(asking.action.lower(), asking.values):
            return False
        if self.principals is not None and not self._is_about(asking, self.principals):
            return False
        if self.effect == "allow" and not all(asking.values(name) for name in self.variables):
            return False  # or what is excepted for a name would be allowed to who has none
        if not self.resources.fits(asking.resource, asking.values):
            return False
        return all(each.holds(asking.values) for each in self.conditions)

    def _is_about(self, asking: Asking, whom: _Principals) -> bool:
        if self.excepts_principals:
            return not whom.everybody and whom.names.isdisjoint(asking.names)
        if whom.everybody or not whom.names.isdisjoint(asking.names):
            return True
        # As at AWS: to name the account allows its users nothing, and keeps all of them out.
        return whom.has_account and self.effect == "deny" and bool(asking.names)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read. resources: as they are written, without those of NotResource."""

    statements: tuple[Statement, ...]
    resources: tuple[str, ...]

    def verdict(self, asking: Asking) -> Verdict:
        """Return what it says of a request: a denial wins."""
        found: Verdict = ""
        for each in self.statements:
            if each.effect == "allow" and found:
                continue
            if each.applies(asking):
                if each.effect == "deny":
                    return "deny"
                found = "allow"
        return found

    @property
    def is_public(self) -> bool:
        """Whether it allows everybody something, under no condition."""
        return any(
            each.effect == "allow"
            and each.principals is not None
            and each.principals.everybody
            and not each.conditions
            for each in self.statements
        )


def bucket_policy(document: bytes, bucket: str) -> Policy:
    """Return the policy of a bucket: it says whom it is about, and speaks of that bucket alone.

    Raises Invalid(bad_policy).
    """
    policy = read_policy(document)
    for each in policy.statements:
        if each.principals is None:
            raise _bad("a statement of a bucket's policy has a Principal")
    whole = ARN + bucket
    for text in policy.resources:
        rest = text.removeprefix(whole)
        if text != "*" and (rest == text or rest[:1] not in ("", "/", "*")):
            raise _bad(f"the resource {text[:80]!r} is not of this bucket")
    return policy


def identity_policy(document: bytes) -> Policy:
    """Return the policy of a user or a session, which it is about. Raises Invalid(bad_policy)."""
    policy = read_policy(document)
    if any(each.principals is not None for each in policy.statements):
        raise _bad("a user's policy has no Principal")
    return policy


@functools.lru_cache(maxsize=256)
def read_policy(document: bytes) -> Policy:
    """Return a policy. Raises Invalid(bad_policy)."""
    if len(document) > POLICY_BYTES_MAX:
        raise _bad(f"it has more than {POLICY_BYTES_MAX} bytes")
    try:
        return _policy(json.loads(document, object_pairs_hook=_once, parse_constant=_no_constant))
    except RecursionError:
        raise _bad("it is nested too deeply") from None
    except ValueError as error:
        raise _bad(str(error)) from None


def _bad(why: str) -> Invalid:
    return Invalid("bad_policy", f"The policy can not be taken: {why}.")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("it says something twice")
    return made


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no value")


def _policy(document: object) -> Policy:
    fields = _fields(document, {"Version", "Id", "Statement"}, "a policy")
    version = fields.get("Version", _OLD_VERSION)
    if version not in (_OLD_VERSION, _VERSION):
        raise ValueError(f"Version is {_VERSION} or {_OLD_VERSION}")
    if not isinstance(fields.get("Id", ""), str):
        raise ValueError("Id is a text")  # noqa: TRY004 - a stranger says it
    listed = fields.get("Statement")
    statements = cast("list[object]", listed if isinstance(listed, list) else [listed])
    if not 1 <= len(statements) <= _STATEMENTS_MAX:
        raise ValueError(f"there are 1 to {_STATEMENTS_MAX} statements")
    reading = _Reading(has_variables=version == _VERSION)
    made = tuple(reading.statement(each) for each in statements)
    return Policy(made, tuple(reading.resources))


class _Reading:
    """A policy that is being read: what counts over all of its statements."""

    def __init__(self, *, has_variables: bool) -> None:
        self._has_variables = has_variables
        self._elements = 0
        self._sids: set[str] = set()
        self.resources: list[str] = []

    def statement(self, document: object) -> Statement:
        """Return a statement. Raises ValueError."""
        fields = _fields(document, _FIELDS, "a statement")
        self._check_sid(fields.get("Sid", ""))
        effect = fields.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise ValueError("Effect is Allow or Deny")
        if effect == "Allow" and "NotPrincipal" in fields:
            raise ValueError("NotPrincipal goes with Deny")
        actions, resources = self._actions(fields), self._resources(fields)
        conditions: tuple[Condition, ...] = ()
        if "Condition" in fields and fields["Condition"] != {}:
            conditions = conditions_of(fields["Condition"], has_variables=self._has_variables)
            self._count(sum(len(each.tests) for each in conditions))
        parts = (*resources.patterns, *conditions)
        return Statement(
            effect="allow" if effect == "Allow" else "deny", principals=self._principals(fields),
            excepts_principals="NotPrincipal" in fields, actions=actions, resources=resources,
            conditions=conditions, variables=frozenset[str]().union(*(p.variables for p in parts)),
        )  # fmt: skip

    def _check_sid(self, sid: object) -> None:
        if not isinstance(sid, str) or _SID.fullmatch(sid) is None or sid in self._sids:
            raise ValueError("Sid is a text of its own for each statement: letters, digits, spaces")
        if sid:
            self._sids.add(sid)

    def _count(self, count: int) -> None:
        self._elements += count
        if self._elements > _ELEMENTS_MAX:
            raise ValueError(f"it names more than {_ELEMENTS_MAX} things")

    def _one_of(self, fields: Mapping[str, object], name: str) -> tuple[list[str], bool]:
        is_negated = f"Not{name}" in fields
        if is_negated == (name in fields):
            raise ValueError(f"a statement has one of {name} and Not{name}")
        found = _list(fields[f"Not{name}" if is_negated else name], name)
        self._count(len(found))
        return found, is_negated

    def _actions(self, fields: Mapping[str, object]) -> _Chosen:
        texts, is_negated = self._one_of(fields, "Action")
        for text in texts:
            if _ACTION.fullmatch(text) is None:
                raise ValueError(f"{text[:60]!r} is no action, such as s3:GetObject")
        return _Chosen(tuple(wildcards(text.lower()) for text in texts), is_negated)

    def _resources(self, fields: Mapping[str, object]) -> _Chosen:
        texts, is_negated = self._one_of(fields, "Resource")
        for text in texts:
            if text != "*" and not text.startswith("arn:"):
                raise ValueError(f"{text[:60]!r} is no resource, such as {ARN}bucket/*")
        self.resources += texts
        make = functools.partial(pattern, name_of=key_name) if self._has_variables else wildcards
        return _Chosen(tuple(make(text) for text in texts), is_negated)

    def _principals(self, fields: Mapping[str, object]) -> _Principals | None:
        if "Principal" in fields and "NotPrincipal" in fields:
            raise ValueError("a statement has one of Principal and NotPrincipal")
        found = fields.get("Principal", fields.get("NotPrincipal"))
        if found is None:
            if "Principal" in fields or "NotPrincipal" in fields:
                raise ValueError("a Principal is somebody")
            return None
        if found == "*":
            return _Principals(everybody=True)
        if not isinstance(found, dict) or found.keys() != {"AWS"}:
            raise ValueError('a Principal is "*" or {"AWS": ...}')
        texts = _list(cast("Mapping[str, object]", found)["AWS"], "Principal")
        self._count(len(texts))
        return _principals(texts)


def _principals(texts: Sequence[str]) -> _Principals:
    everybody, has_account, names = False, False, set[str]()
    for text in texts:
        arn = _PRINCIPAL_ARN.fullmatch(text)
        if text == "*":
            everybody = True
        elif text == _ACCOUNT or (arn and arn[1] == "root"):
            has_account = True
        elif arn or _PRINCIPAL.fullmatch(text):
            names.add(arn[2] if arn else text)
        else:
            raise ValueError(f"{text[:80]!r} is nobody: name a user, its key or its ARN")
    return _Principals(everybody, has_account, frozenset(names))


def _fields(value: object, known: AbstractSet[str], what: str) -> Mapping[str, object]:
    fields = cast("Mapping[str, object]", value if isinstance(value, dict) else {"": value})
    if unknown := fields.keys() - known:
        raise ValueError(f"{what} has no {min(unknown)[:60]!r}")
    return fields


def _list(value: object, name: str) -> list[str]:
    values = cast("list[object]", value if isinstance(value, list) else [value])
    texts = [each for each in values if isinstance(each, str) and each]
    if not values or len(texts) < len(values):
        raise ValueError(f"{name} is a text or a list of texts")
    return texts
