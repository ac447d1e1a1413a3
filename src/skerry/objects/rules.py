"""Lifecycle rules: when each version of a key ends, by the rules of its bucket. Pure.

A *rule* says after how long something ends: current versions, former ones, delete markers behind
which nothing is left, uploads under way. A *former* version has been one since the next newer one
was written. Times are exact: a day is 86,400 seconds, not the next midnight.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from skerry.objects.model import Version

SETTING = "lifecycle"
"""The setting of a bucket that holds its rules, as `say_rules` says them."""

RULES_MAX = 1000
DAY_S = 86_400
_SECOND_NS = 10**9


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule. What it ends is None where it says nothing of that.

    prefix, tags, size_above_bytes, size_below_bytes: which versions it is for; markers and uploads
    by the prefix alone. expires_after_s, expires_at_ns: current versions. former_after_s: former
    ones, but for the newest `former_kept`. drops_markers: delete markers that hide nothing.
    """

    rule_id: str
    is_enabled: bool = True
    prefix: str = ""
    tags: dict[str, str] = {}
    size_above_bytes: int | None = None
    size_below_bytes: int | None = None
    expires_after_s: int | None = None
    expires_at_ns: int | None = None
    drops_markers: bool = False
    former_after_s: int | None = None
    former_kept: int = 0
    uploads_after_s: int | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether only the key counts."""
        return not self.tags and self.size_above_bytes is None and self.size_below_bytes is None


class Seen(Struct, frozen=True):
    """A version as it stands among those of its key. former_since_ns: None if it is current."""

    version: Version
    former_since_ns: int | None = None


@dataclass(slots=True)
class Plan:
    """What to do with a key. ended: what ends now. next_ns: when to look again, if ever."""

    ended: list[Seen] = field(default_factory=list[Seen])
    next_ns: int | None = None

    def look_at(self, at_ns: int) -> None:
        """Have it looked at again at a moment, or before."""
        self.next_ns = at_ns if self.next_ns is None else min(self.next_ns, at_ns)


def say_rules(rules: Sequence[Rule]) -> bytes:
    """Return rules as bytes; `hear_rules` is the way back."""
    return msgspec.msgpack.encode(rules)


def hear_rules(said: bytes) -> list[Rule]:
    """Return the rules that are said, those that are in force."""
    return [rule for rule in all_rules(said) if rule.is_enabled]


def all_rules(said: bytes) -> list[Rule]:
    """Return the rules that are said, those that are not enabled too."""
    return msgspec.msgpack.decode(said, type=list[Rule])


def seen(versions: Sequence[Version]) -> list[Seen]:
    """Return the versions of a key, given from the newest on, with since when each is former."""
    following = [None, *(version.modified_at_ns for version in versions)]
    return [Seen(*each) for each in zip(versions, following[:-1], strict=True)]


def plan(all_of_key: Sequence[Seen], rules: Sequence[Rule], now_ns: int) -> Plan:
    """Return what to do with a key now, given all that there is of it from the newest on.

    What a lock keeps is looked at again when the lock ends; a hold is released by a write.
    """
    made = Plan()
    formers = 0
    for each in all_of_key:
        is_alone = len(all_of_key) == 1
        end_ns = _end_ns(each, rules, formers, is_alone=is_alone)
        formers += each.former_since_ns is not None
        lock = each.version.lock
        if end_ns is None:
            continue
        if lock is not None and (each.former_since_ns is not None or each.version.is_marker):
            if lock.is_held:
                continue
            end_ns = max(end_ns, lock.until_ns)
        if end_ns <= now_ns:
            made.ended.append(each)
        else:
            made.look_at(end_ns)
    return made


def soonest_ns(current: Version, rules: Sequence[Rule]) -> int | None:
    """Return when to look at a key whose current version was just written, at the latest."""
    found = _end_ns(Seen(current), rules, 0, is_alone=True)
    for rule in rules:
        if rule.former_after_s is None or not current.key.startswith(rule.prefix):
            continue
        # What was current before is former now, and may push others out of those that are kept.
        wait_s = 0 if rule.former_kept else rule.former_after_s
        at_ns = current.modified_at_ns + wait_s * _SECOND_NS
        found = at_ns if found is None else min(found, at_ns)
    return found


def upload_end_ns(key: str, begun_at_ns: int, rules: Iterable[Rule]) -> int | None:
    """Return when an upload under way is given up, None if never."""
    ends = [
        begun_at_ns + rule.uploads_after_s * _SECOND_NS
        for rule in rules
        if rule.uploads_after_s is not None and key.startswith(rule.prefix)
    ]
    return min(ends, default=None)


def ends_formers_at_once(rules: Iterable[Rule]) -> bool:
    """Tell whether a write may end former versions in the moment that it is made."""
    return any(rule.former_after_s == 0 for rule in rules)


def _end_ns(each: Seen, rules: Sequence[Rule], newer_formers: int, *, is_alone: bool) -> int | None:
    ends = [
        end_ns
        for rule in rules
        if _is_for(rule, each.version)
        and (end_ns := _end_by(rule, each, newer_formers, is_alone=is_alone)) is not None
    ]
    return min(ends, default=None)


def _is_for(rule: Rule, version: Version) -> bool:
    if not version.key.startswith(rule.prefix):
        return False
    if version.is_marker:
        return rule.is_for_all
    above, below = rule.size_above_bytes, rule.size_below_bytes
    return (
        rule.tags.items() <= version.tags.items()
        and (above is None or version.size > above)
        and (below is None or version.size < below)
    )


def _end_by(rule: Rule, each: Seen, newer_formers: int, *, is_alone: bool) -> int | None:
    version = each.version
    if each.former_since_ns is not None:
        if rule.former_after_s is None or newer_formers < rule.former_kept:
            return None
        return each.former_since_ns + rule.former_after_s * _SECOND_NS
    if version.is_marker and not is_alone:
        return None
    ends: list[int] = []
    if version.is_marker and rule.drops_markers:
        ends.append(version.modified_at_ns)
    if rule.expires_after_s is not None:
        ends.append(version.modified_at_ns + rule.expires_after_s * _SECOND_NS)
    if rule.expires_at_ns is not None:
        ends.append(max(rule.expires_at_ns, version.modified_at_ns))
    return min(ends, default=None)
