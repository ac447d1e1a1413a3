"""Cross-origin rules: which pages of others a browser may let use a bucket. Pure.

The rules are not what keeps anybody out who is no browser: who may do what is decided elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from skerry.base import Invalid
from skerry.s3.errors import xml_text
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from xml.etree.ElementTree import Element

SETTING = "cors"
"""The setting of a bucket that has its rules."""

_RULES_MAX = 100
_DOCUMENT_BYTES_MAX = 64 << 10
_PATTERN_CHARACTERS_MAX = 1024
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # what HTTP lets a header be called
_ASKED_HEADERS_MAX = 100
VARY = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What pages of some origins may do. origins, headers: patterns, with at most one `*` each."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_s: int | None = None
    name: str = ""


def rules_in(body: bytes) -> list[Rule]:
    """Return the rules of a document. Raises Invalid(bad_xml, bad_cors)."""
    if len(body) > _DOCUMENT_BYTES_MAX:
        raise Invalid("bad_cors", f"The rules have at most {_DOCUMENT_BYTES_MAX} bytes.")
    rules = [_rule(each) for each in parsed(body, "CORSConfiguration").findall("CORSRule")]
    if not 1 <= len(rules) <= _RULES_MAX:
        raise bad_xml(f"There are 1 to {_RULES_MAX} of CORSRule.")
    return rules


def rules_of(settings: Mapping[str, bytes]) -> list[Rule]:
    """Return the rules that a bucket's settings have."""
    document = settings.get(SETTING)
    return msgspec.json.decode(document, type=list[Rule]) if document else []


def may_send(rules: Iterable[Rule], origin: str, host: str, method: str) -> bool:
    """Tell whether a page may have a browser send what is not signed: its own host's, or by a rule.

    There are forms and POSTs that browsers send to any host without asking it before.
    """
    is_own = origin.partition("://")[2].lower() == host.lower()
    return is_own or rule_for(rules, origin, method) is not None


def rules_xml(rules: Iterable[Rule]) -> str:
    """Return rules as a document has them."""
    return "".join(f"<CORSRule>{_told(each)}</CORSRule>" for each in rules)


def rule_for(
    rules: Iterable[Rule], origin: str, method: str, headers: Sequence[str] = ()
) -> Rule | None:
    """Return the first rule that lets pages of an origin do that with those headers."""
    for rule in rules:
        if (
            method in rule.methods
            and any(_fits(each, origin) for each in rule.origins)
            and all(any(_fits(each.lower(), name) for each in rule.headers) for name in headers)
        ):
            return rule
    return None


def asked_headers(text: str) -> list[str] | None:
    """Return the names that Access-Control-Request-Headers has, None if that is none."""
    names = [each.strip().lower() for each in text.split(",") if each.strip()]
    is_sound = len(names) <= _ASKED_HEADERS_MAX and all(map(_TOKEN.fullmatch, names))
    return names if is_sound else None


def allowing(rule: Rule, origin: str, headers: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the headers that tell a browser what a rule allows. origin: that the rule fits."""
    is_all = "*" in rule.origins
    told = [
        ("Access-Control-Allow-Origin", "*" if is_all else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule.methods)),
    ]
    if not is_all:
        told.append(("Access-Control-Allow-Credentials", "true"))
    if headers:
        told.append(("Access-Control-Allow-Headers", ", ".join(headers)))
    if rule.exposed:
        told.append(("Access-Control-Expose-Headers", ", ".join(rule.exposed)))
    if rule.max_age_s is not None:
        told.append(("Access-Control-Max-Age", str(rule.max_age_s)))
    return told


def _fits(pattern: str, text: str) -> bool:
    begin, star, end = pattern.partition("*")
    if not star:
        return text == pattern
    is_long = len(text) >= len(begin) + len(end)
    return is_long and text.startswith(begin) and text.endswith(end)


def _rule(element: Element) -> Rule:
    origins, methods = _texts(element, "AllowedOrigin"), _texts(element, "AllowedMethod")
    headers, exposed = _texts(element, "AllowedHeader"), _texts(element, "ExposeHeader")
    if not origins or not methods:
        raise bad_xml("A CORSRule has an AllowedOrigin and an AllowedMethod.")
    for each in methods:
        if each not in _METHODS:
            raise Invalid(
                "bad_cors",
                "Found unsupported HTTP method in CORS config. Unsupported method is "
                f"{each[:20]!r}; there are {', '.join(sorted(_METHODS))}.",
            )
    for each in (*origins, *headers):
        if each.count("*") > 1 or not 1 <= len(each) <= _PATTERN_CHARACTERS_MAX:
            raise Invalid(
                "bad_cors", "AllowedOrigin and AllowedHeader can not have more than one wildcard."
            )
    for each in exposed:
        if "*" in each or _TOKEN.fullmatch(each) is None:
            raise Invalid("bad_cors", "An ExposeHeader is the name of a header, without wildcard.")
    age = text_of(element, "MaxAgeSeconds").strip()
    if age and (not age.isdecimal() or len(age) > 9):
        raise bad_xml("MaxAgeSeconds is a number.")
    return Rule(
        origins=origins, methods=methods, headers=headers, exposed=exposed,
        max_age_s=int(age) if age else None, name=text_of(element, "ID")[:255],
    )  # fmt: skip


def _texts(element: Element, name: str) -> tuple[str, ...]:
    return tuple((each.text or "").strip() for each in element.findall(name))


def _told(rule: Rule) -> str:
    pairs = [
        *(("AllowedHeader", each) for each in rule.headers),
        *(("AllowedMethod", each) for each in rule.methods),
        *(("AllowedOrigin", each) for each in rule.origins),
        *(("ExposeHeader", each) for each in rule.exposed),
    ]
    if rule.name:
        pairs.insert(0, ("ID", rule.name))
    if rule.max_age_s is not None:
        pairs.append(("MaxAgeSeconds", str(rule.max_age_s)))
    return "".join(f"<{name}>{xml_text(text)}</{name}>" for name, text in pairs)
