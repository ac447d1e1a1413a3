"""Operations on a bucket's lifecycle rules: AWS's documents, and seconds where it has only days.

Beside `Days`, `NoncurrentDays` and `DaysAfterInitiation` there are `Seconds`, `NoncurrentSeconds` and
`SecondsAfterInitiation`. Nought `NoncurrentSeconds` ends a former version in the write that makes it one.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from skerry.base import Invalid, NotFound
from skerry.objects import lifecycle, rules
from skerry.objects.rules import DAY_S, RULES_MAX, Rule
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, iso, xml
from skerry.s3.errors import xml_text
from skerry.s3.ingest import read_small
from skerry.s3.router import Operation
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from skerry.s3.connection import Response

_ID_CHARACTERS_MAX = 255
_SECONDS_MAX = 100 * 365 * DAY_S
_YEAR_END = 2200  # nanoseconds of later ones would soon not fit 64 bits
_SIZE_MAX = 1 << 60
_KEPT_MAX = 100
_TAGS_MAX = 10


async def put_lifecycle(call: Call) -> Response:
    """Give a bucket rules in place of those it has."""
    document = parsed(await read_small(call), "LifecycleConfiguration")
    found = document.findall("Rule")
    if not 1 <= len(found) <= RULES_MAX:
        raise bad_xml(f"There are 1 to {RULES_MAX} rules.")
    wanted = [_rule(each, number) for number, each in enumerate(found, 1)]
    if len({each.rule_id for each in wanted}) < len(wanted):
        raise Invalid("bad_argument", "No two rules have one ID.")
    await lifecycle.put_rules(call.objects, call.bucket, wanted)
    return empty()


async def get_lifecycle(call: Call) -> Response:
    """Tell the rules of a bucket."""
    said = bucket_of(call).settings.get(rules.SETTING)
    if said is None:
        raise NotFound("no_such_lifecycle", "The bucket has no lifecycle rules.")
    told = "".join(map(_told, rules.all_rules(said)))
    return xml(f"<LifecycleConfiguration {NAMESPACE}>{told}</LifecycleConfiguration>")


async def delete_lifecycle(call: Call) -> Response:
    """Take the rules of a bucket away."""
    await lifecycle.put_rules(call.objects, call.bucket, None)
    return empty(204)


# -- documents --


def _rule(element: Element, number: int) -> Rule:
    for each in ("Transition", "NoncurrentVersionTransition"):
        if element.find(each) is not None:
            raise Invalid("bad_argument", "There is one class of storage: nothing can be moved.")
    status = text_of(element, "Status")
    if status not in ("Enabled", "Disabled"):
        raise bad_xml("The Status of a rule is Enabled or Disabled.")
    rule_id = text_of(element, "ID") or f"rule-{number}"
    if len(rule_id) > _ID_CHARACTERS_MAX:
        raise Invalid("bad_argument", f"An ID has at most {_ID_CHARACTERS_MAX} characters.")
    prefix, tags, above, below = _filter(element)
    expires_after_s, expires_at_ns, drops_markers = _expiration(element)
    former_after_s, former_kept = _former(element)
    uploads_after_s = _span(
        element.find("AbortIncompleteMultipartUpload"), "DaysAfterInitiation",
        "SecondsAfterInitiation",
    )  # fmt: skip
    rule = Rule(
        rule_id=rule_id, is_enabled=status == "Enabled", prefix=prefix, tags=tags,
        size_above_bytes=above, size_below_bytes=below, expires_after_s=expires_after_s,
        expires_at_ns=expires_at_ns, drops_markers=drops_markers, former_after_s=former_after_s,
        former_kept=former_kept, uploads_after_s=uploads_after_s,
    )  # fmt: skip
    if not rule.is_for_all and (drops_markers or uploads_after_s is not None):
        raise Invalid("bad_argument", "Delete markers and uploads have neither tags nor size.")
    ends = (expires_after_s, expires_at_ns, former_after_s, uploads_after_s)
    if all(each is None for each in ends) and not drops_markers:
        raise bad_xml("A rule says what it ends.")
    return rule


def _filter(element: Element) -> tuple[str, dict[str, str], int | None, int | None]:
    found = element.find("Filter")
    if found is None:
        return text_of(element, "Prefix"), {}, None, None
    if element.find("Prefix") is not None:
        raise bad_xml("A rule has a Filter or a Prefix.")
    both = found.find("And")
    if both is None and len(found) > 1:
        raise bad_xml("Several conditions of a Filter stand in And.")
    inside = found if both is None else both
    pairs = [(text_of(e, "Key"), text_of(e, "Value")) for e in inside.findall("Tag")]
    if len(dict(pairs)) < len(pairs) or len(pairs) > _TAGS_MAX or not all(k for k, _ in pairs):
        raise Invalid("bad_argument", "The tags of a filter have names, no two of them the same.")
    above = _number(inside, "ObjectSizeGreaterThan", _SIZE_MAX)
    below = _number(inside, "ObjectSizeLessThan", _SIZE_MAX)
    if above is not None and below is not None and above >= below:
        raise Invalid("bad_argument", "ObjectSizeGreaterThan is below ObjectSizeLessThan.")
    return text_of(inside, "Prefix"), dict(pairs), above, below


def _expiration(element: Element) -> tuple[int | None, int | None, bool]:
    found = element.find("Expiration")
    if found is None:
        return None, None, False
    after_s, date = _span(found, "Days", "Seconds"), text_of(found, "Date")
    drops_markers = text_of(found, "ExpiredObjectDeleteMarker").lower() == "true"
    if (after_s is not None) + bool(date) + drops_markers != 1:
        raise bad_xml("Expiration has Days, Seconds, Date or ExpiredObjectDeleteMarker.")
    if after_s == 0:
        raise Invalid("bad_argument", "Expiration is after a second at the least.")
    return after_s, _moment(date) if date else None, drops_markers


def _former(element: Element) -> tuple[int | None, int]:
    found = element.find("NoncurrentVersionExpiration")
    after_s = _span(found, "NoncurrentDays", "NoncurrentSeconds")
    kept = 0 if found is None else _number(found, "NewerNoncurrentVersions", _KEPT_MAX) or 0
    if found is not None and after_s is None:
        raise bad_xml("NoncurrentVersionExpiration has NoncurrentDays or NoncurrentSeconds.")
    return after_s, kept


def _span(element: Element | None, days_name: str, seconds_name: str) -> int | None:
    """Return the seconds that a document says, in days or in seconds, None if it does not."""
    if element is None:
        return None
    days = _number(element, days_name, _SECONDS_MAX // DAY_S)
    seconds = _number(element, seconds_name, _SECONDS_MAX)
    if days is not None and seconds is not None:
        raise bad_xml(f"Say {days_name} or {seconds_name}.")
    if days == 0:
        raise Invalid("bad_argument", f"{days_name} is 1 at the least.")
    return seconds if days is None else days * DAY_S


def _number(element: Element, name: str, highest: int) -> int | None:
    text = text_of(element, name).strip()
    if element.find(name) is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 20 or int(text) > highest:
        raise Invalid("bad_argument", f"{name} is a number from 0 to {highest}.")
    return int(text)


def _moment(text: str) -> int:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("bad_argument", "Date is written as 2026-01-31T00:00:00Z.") from None
    if not 1970 <= moment.year < _YEAR_END:
        raise Invalid("bad_argument", f"Date is from 1970 on, and before {_YEAR_END}.")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 10**9


def _told(rule: Rule) -> str:
    parts = [f"<ID>{xml_text(rule.rule_id)}</ID>", _filter_told(rule)]
    parts.append(f"<Status>{'Enabled' if rule.is_enabled else 'Disabled'}</Status>")
    ends = _span_told(rule.expires_after_s, "Days", "Seconds")
    if rule.expires_at_ns is not None:
        ends += f"<Date>{iso(rule.expires_at_ns)}</Date>"
    if rule.drops_markers:
        ends += "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>"
    if ends:
        parts.append(f"<Expiration>{ends}</Expiration>")
    if former := _span_told(rule.former_after_s, "NoncurrentDays", "NoncurrentSeconds"):
        if rule.former_kept:
            former += f"<NewerNoncurrentVersions>{rule.former_kept}</NewerNoncurrentVersions>"
        parts.append(f"<NoncurrentVersionExpiration>{former}</NoncurrentVersionExpiration>")
    span = _span_told(rule.uploads_after_s, "DaysAfterInitiation", "SecondsAfterInitiation")
    if span:
        name = "AbortIncompleteMultipartUpload"
        parts.append(f"<{name}>{span}</{name}>")
    return f"<Rule>{''.join(parts)}</Rule>"


def _filter_told(rule: Rule) -> str:
    parts = [
        f"<Tag><Key>{xml_text(key)}</Key><Value>{xml_text(value)}</Value></Tag>"
        for key, value in rule.tags.items()
    ]
    if rule.size_above_bytes is not None:
        parts.append(f"<ObjectSizeGreaterThan>{rule.size_above_bytes}</ObjectSizeGreaterThan>")
    if rule.size_below_bytes is not None:
        parts.append(f"<ObjectSizeLessThan>{rule.size_below_bytes}</ObjectSizeLessThan>")
    if rule.prefix or not parts:
        parts.insert(0, f"<Prefix>{xml_text(rule.prefix)}</Prefix>")
    told = "".join(parts)
    return f"<Filter>{told if len(parts) == 1 else f'<And>{told}</And>'}</Filter>"


def _span_told(span_s: int | None, days_name: str, seconds_name: str) -> str:
    if span_s is None:
        return ""
    if span_s and span_s % DAY_S == 0:
        return f"<{days_name}>{span_s // DAY_S}</{days_name}>"
    return f"<{seconds_name}>{span_s}</{seconds_name}>"


_QUERY = {"lifecycle": ""}
OPERATIONS = (
    Operation(
        name="PutBucketLifecycleConfiguration", method="PUT", on="bucket", handler=put_lifecycle,
        query=_QUERY, action="s3:PutLifecycleConfiguration",
    ),
    Operation(
        name="GetBucketLifecycleConfiguration", method="GET", on="bucket", handler=get_lifecycle,
        query=_QUERY, action="s3:GetLifecycleConfiguration",
    ),
    Operation(
        name="DeleteBucketLifecycle", method="DELETE", on="bucket", handler=delete_lifecycle,
        query=_QUERY, action="s3:PutLifecycleConfiguration",
    ),
)  # fmt: skip
