"""Which names a box may reach: the rules of a network policy, and what they decide. Pure.

The shape is that of the Sprites API. The most exact rule counts, wherever it stands: a name before
`*.` patterns, the longest of these first, before `*`. What decides is the name that was asked for;
where it leads to (CNAME), and which addresses it has, this file does not know.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from skerry.base import Invalid
from skerry.host.policy_defaults import ALLOWED, DEFAULTS, DENIED

RULES_MAX = 1000
_NAME_CHARACTERS_MAX = 253
# What is longer is refused unread: making ASCII of a name takes time by the square of its length.
_TEXT_CHARACTERS_MAX = 300

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# In the standard of 2003, which the codec follows, these become other letters or nothing; in that
# of 2008, which browsers follow, they stay. Rather than guess which name is meant, we ask.
_AMBIGUOUS = frozenset("ßς\u200c\u200d")
_EVERYTHING = "*"
_BELOW = "*."

Action: TypeAlias = Literal["allow", "deny"]


@dataclass(frozen=True, slots=True)
class NetworkRule:
    """One rule: a domain with its action, or the name of a list to include in its place.

    domain: `example.org`, `*.example.org` (all below it, not itself) or `*`; lower case ASCII.
    """

    domain: str | None = None
    action: Action | None = None
    include: str | None = None

    @property
    def text(self) -> str:
        """The rule as a person would say it."""
        return f"include {self.include}" if self.include else f"{self.action} {self.domain}"


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The rules of one box, as parse() has checked them; none at all leave the network open."""

    rules: tuple[NetworkRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says of a name. rule: its place among the rules, None if none names it."""

    allowed: bool
    rule: int | None
    text: str


@dataclass(frozen=True, slots=True)
class PolicyIndex:
    """The rules of a policy, found by name in a time that does not depend on their number."""

    exact: Mapping[str, Decision]
    below: Mapping[str, Decision]
    otherwise: Decision

    def decide(self, name: str) -> Decision:
        """Return what counts for a name in lower case ASCII without a dot at its end."""
        found = self.exact.get(name)
        dot = name.find(".")
        while found is None and dot >= 0:
            found = self.below.get(name[dot + 1 :])
            dot = name.find(".", dot + 1)
        return self.otherwise if found is None else found


def decide(policy: NetworkPolicy, name: str) -> Decision:
    """Return what a policy says of one name; who has many asks policy_index(policy) once."""
    return policy_index(policy).decide(name.lower().rstrip("."))


def policy_index(policy: NetworkPolicy) -> PolicyIndex:
    """Return the rules of a policy made ready for many questions.

    A rule of the policy goes before one of a list that it includes, for the same domain. What no
    rule names is denied if any rule allows something, and allowed if rules only deny.
    """
    decisions: dict[str, Decision] = {}
    for place, rule in enumerate(policy.rules):
        if rule.include is not None:
            decisions.update(_included(place))
    for place, rule in enumerate(policy.rules):
        if rule.domain is not None:
            decisions[rule.domain] = Decision(rule.action == "allow", place, rule.text)
    everything = decisions.pop(_EVERYTHING, None)
    if everything is None:
        closed = any(decision.allowed for decision in decisions.values())
        everything = Decision(not closed, None, "no rule names it")
    below = {name[2:]: found for name, found in decisions.items() if name.startswith(_BELOW)}
    exact = {name: found for name, found in decisions.items() if not name.startswith(_BELOW)}
    return PolicyIndex(exact, below, everything)


def parse(document: object) -> NetworkPolicy:
    """Return the policy that a decoded JSON document such as {"rules": [...]} describes.

    Names become lower case ASCII. Raises Invalid(bad_policy), which names a wrong rule by its
    place, counted from 0 as in the document.
    """
    if not isinstance(document, Mapping):
        raise _bad('A policy is an object such as {"rules": []}.')
    fields = cast("Mapping[object, object]", document)
    unknown = sorted(str(name) for name in fields if name != "rules")
    if unknown:
        raise _bad(f"A policy has no field {unknown[0][:40]!r}. Its only one is rules.")
    rules = fields.get("rules")
    if not isinstance(rules, Sequence) or isinstance(rules, str | bytes):
        raise _bad('The rules of a policy are a list. Send {"rules": []} for an open network.')
    listed = cast("Sequence[object]", rules)
    if len(listed) > RULES_MAX:
        raise _bad(f"A policy has at most {RULES_MAX} rules, this one {len(listed)}. Merge some.")
    found = tuple(_rule(place, rule) for place, rule in enumerate(listed))
    _refuse_contradictions(found)
    return NetworkPolicy(found)


def encode(policy: NetworkPolicy) -> dict[str, list[dict[str, str]]]:
    """Return the document that parse() makes this policy of."""
    return {"rules": [_encoded(rule) for rule in policy.rules]}


def _encoded(rule: NetworkRule) -> dict[str, str]:
    if rule.include is not None:
        return {"include": rule.include}
    assert rule.domain is not None, "a rule that includes nothing names a domain"
    assert rule.action is not None, "a rule that names a domain says what to do with it"
    return {"domain": rule.domain, "action": rule.action}


def _included(place: int) -> Iterator[tuple[str, Decision]]:
    for name in ALLOWED:
        yield name, Decision(allowed=True, rule=place, text=f"include {DEFAULTS}: allow {name}")
    for name in DENIED:
        yield name, Decision(allowed=False, rule=place, text=f"include {DEFAULTS}: deny {name}")


def _rule(place: int, rule: object) -> NetworkRule:
    if not isinstance(rule, Mapping):
        raise _bad('is no object. Write it like {"domain": "*", "action": "deny"}.', place)
    # Null is as good as absent: some clients send every field that they know.
    fields = {k: v for k, v in cast("Mapping[object, object]", rule).items() if v is not None}
    unknown = sorted(str(name) for name in fields if name not in ("domain", "action", "include"))
    if unknown:
        raise _bad(
            f"has a field {unknown[0][:40]!r}. Use domain and action, or include alone.", place
        )
    if "include" in fields:
        if len(fields) > 1:
            raise _bad("includes a list and names a domain. Make it two rules.", place)
        if fields["include"] != DEFAULTS:
            raise _bad(f'includes a list that is not there. The only one is "{DEFAULTS}".', place)
        return NetworkRule(include=DEFAULTS)
    domain, action = fields.get("domain"), fields.get("action")
    if not isinstance(domain, str):
        raise _bad("names no domain. Give one, such as *.example.org or *.", place)
    if action not in ("allow", "deny"):
        raise _bad('says not what to do. Its action is "allow" or "deny".', place)
    return NetworkRule(domain=_domain(place, domain), action=action)


def _domain(place: int, text: str) -> str:
    """Return the domain of a rule as names are compared."""
    if text == _EVERYTHING:
        return text
    prefix = _BELOW if text.startswith(_BELOW) else ""
    name = _ascii(place, text.removeprefix(prefix)).removesuffix(".")
    problem = _problem(name)
    if problem:
        raise _bad(f"names {text[:80]!r}, and {problem}", place)
    return prefix + name


def _ascii(place: int, name: str) -> str:
    if len(name) > _TEXT_CHARACTERS_MAX:
        raise _bad(f"names {name[:40]!r}…, which is longer than a name can be.", place)
    if _AMBIGUOUS.intersection(name):
        raise _bad(f"names {name[:80]!r}, which has two readings. Write it as xn--….", place)
    try:
        return name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _bad(f"names {name[:80]!r}, which no domain can be called: {error}.", place) from None


def _problem(name: str) -> str:
    """Return what is wrong with a name, as the end of a sentence; empty if it is fine."""
    labels = name.split(".")
    if _EVERYTHING in name:
        return "* stands alone, or as the whole first part: *.example.org."
    if len(name) > _NAME_CHARACTERS_MAX:
        return f"a name has at most {_NAME_CHARACTERS_MAX} characters."
    if not all(map(_LABEL.fullmatch, labels)):
        return "the parts between dots are 1 to 63 of a-z, 0-9, - and _, no - at an end."
    if labels[-1].isdigit():
        return (
            "an address cannot be allowed or denied, only a name. Addresses follow from names; "
            "private ranges are opened by the machine's owner."
        )
    return ""


def _refuse_contradictions(rules: Sequence[NetworkRule]) -> None:
    first: dict[str, int] = {}
    for place, rule in enumerate(rules):
        if rule.domain is None:
            continue
        earlier = first.setdefault(rule.domain, place)
        if rules[earlier].action != rule.action:
            raise _bad(f"says the opposite of rules[{earlier}]: {rule.text}. Leave one.", place)


def _bad(message: str, place: int | None = None) -> Invalid:
    if place is None:
        return Invalid("bad_policy", message)
    return Invalid("bad_policy", f"rules[{place}] {message}", {"rule": place})
