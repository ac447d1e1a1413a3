"""A bucket as a website: what is set for it, and where its rules send who asks. Pure.

What visitors send is hostile: a target of theirs is encoded before it stands in a header, and names
of hosts are those that the bucket's owner wrote, or the one that was found to be this website's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from msgspec import Struct

from skerry.base import Invalid, SkerryError
from skerry.objects.model import object_key
from skerry.s3.errors import xml_text
from skerry.s3.xml_in import bad_xml, parsed, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree.ElementTree import Element

_DOCUMENT_BYTES_MAX = 128 << 10
_RULES_MAX = 50
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[0-9]{1,5})?")
_CODES = frozenset({301, 302, 303, 307, 308})
_SITE = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.s3-website([.-][a-z0-9-]{1,32})?")


class Redirect(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a visitor is sent. prefix: in place of the one that the rule has; key: of all."""

    host: str = ""
    protocol: Literal["http", "https", ""] = ""
    prefix: str | None = None
    key: str | None = None
    code: int = 301


class RoutingRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A redirect of keys with a prefix, or of those that would get an error. status: 0 for all."""

    redirect: Redirect
    prefix: str = ""
    status: int = 0


class Website(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a bucket is a website. index: what a folder shows; error: the key of what errors show."""

    index: str = ""
    error: str = ""
    all_to: Redirect | None = None
    rules: tuple[RoutingRule, ...] = ()


def site_of(host: str, domain: str) -> str:
    """Return the bucket whose website a Host header means, empty if it means none."""
    name = host.lower().partition(":")[0]
    if not domain or not name.endswith(f".{domain}"):
        return ""
    match = _SITE.fullmatch(name[: -len(domain) - 1])
    return match[1] if match else ""


def rule_for(rules: Iterable[RoutingRule], key: str, status: int) -> RoutingRule | None:
    """Return the first rule for a key, before it is looked up (status 0) or after an error."""
    return next(
        (each for each in rules if each.status == status and key.startswith(each.prefix)), None
    )


def location(redirect: Redirect, key: str, host: str, matched: str = "") -> str:
    """Return where a redirect sends who asks for a key. matched: the prefix that its rule has."""
    if redirect.key is not None:
        key = redirect.key
    elif redirect.prefix is not None:
        key = redirect.prefix + key[len(matched) :]
    if not redirect.host and not redirect.protocol:
        return path_of(key)
    there = redirect.host or (host if _HOST.fullmatch(host) else host.partition(":")[0])
    scheme = f"{redirect.protocol}:" if redirect.protocol else ""  # else that of the request
    return f"{scheme}//{there}/{quote(key, safe=_SAFE)}"


def path_of(key: str) -> str:
    """Return the path of a key: never one that begins with `//`, which would be another host."""
    path = quote(key, safe=_SAFE)
    return f"/%2F{path[1:]}" if path.startswith("/") else f"/{path}"


_SAFE = "/-._~!$&'()*+,;=:@"


def website_in(body: bytes) -> Website:
    """Return what a document sets. Raises Invalid(bad_xml, bad_website)."""
    if len(body) > _DOCUMENT_BYTES_MAX:
        raise _bad(f"The document has at most {_DOCUMENT_BYTES_MAX} bytes.")
    document = parsed(body, "WebsiteConfiguration")
    if (everything := document.find("RedirectAllRequestsTo")) is not None:
        if len(document) > 1:
            raise _bad("RedirectAllRequestsTo stands alone.")
        host = _host(text_of(everything, "HostName"))
        return Website(all_to=Redirect(host=host, protocol=_protocol(everything)))
    suffix = text_of(document, "IndexDocument/Suffix")
    if not suffix or "/" in suffix:
        raise _bad("The IndexDocument Suffix is not well formed: it is a name without '/'.")
    rules = [_rule(each) for each in document.iterfind("RoutingRules/RoutingRule")]
    if len(rules) > _RULES_MAX:
        raise _bad(f"There are at most {_RULES_MAX} routing rules.")
    error = text_of(document, "ErrorDocument/Key")
    return Website(index=_key(suffix), error=_key(error) if error else "", rules=tuple(rules))


def website_xml(site: Website) -> str:
    """Return what a document says that sets a website."""
    if site.all_to is not None:
        return f"<RedirectAllRequestsTo>{_place_xml(site.all_to)}</RedirectAllRequestsTo>"
    text = f"<IndexDocument><Suffix>{xml_text(site.index)}</Suffix></IndexDocument>"
    if site.error:
        text += f"<ErrorDocument><Key>{xml_text(site.error)}</Key></ErrorDocument>"
    rules = "".join(f"<RoutingRule>{_rule_xml(each)}</RoutingRule>" for each in site.rules)
    return text + (f"<RoutingRules>{rules}</RoutingRules>" if rules else "")


def _rule(element: Element) -> RoutingRule:
    condition, to = element.find("Condition"), element.find("Redirect")
    if to is None or not len(to):
        raise bad_xml("A RoutingRule has a Redirect that says where to.")
    prefix, status = "", 0
    if condition is not None:
        prefix, text = (
            text_of(condition, "KeyPrefixEquals"),
            text_of(condition, "HttpErrorCodeReturnedEquals"),
        )
        if not prefix and not text:
            raise bad_xml("A Condition has KeyPrefixEquals or HttpErrorCodeReturnedEquals.")
        status = _code(text, range(400, 600)) if text else 0
    code, host = text_of(to, "HttpRedirectCode"), text_of(to, "HostName")
    new_prefix, new_key = to.find("ReplaceKeyPrefixWith"), to.find("ReplaceKeyWith")
    if new_prefix is not None and new_key is not None:
        raise _bad("A Redirect has ReplaceKeyPrefixWith or ReplaceKeyWith, not both.")
    redirect = Redirect(
        host=_host(host) if host else "", protocol=_protocol(to),
        prefix=None if new_prefix is None else new_prefix.text or "",
        key=None if new_key is None else new_key.text or "",
        code=_code(code, _CODES) if code else 301,
    )  # fmt: skip
    return RoutingRule(redirect=redirect, prefix=prefix, status=status)


def _rule_xml(rule: RoutingRule) -> str:
    text, to = "", rule.redirect
    if rule.prefix:
        text += f"<KeyPrefixEquals>{xml_text(rule.prefix)}</KeyPrefixEquals>"
    if rule.status:
        text += f"<HttpErrorCodeReturnedEquals>{rule.status}</HttpErrorCodeReturnedEquals>"
    condition = f"<Condition>{text}</Condition>" if text else ""
    there = f"{_place_xml(to)}<HttpRedirectCode>{to.code}</HttpRedirectCode>"
    if to.prefix is not None:
        there += f"<ReplaceKeyPrefixWith>{xml_text(to.prefix)}</ReplaceKeyPrefixWith>"
    if to.key is not None:
        there += f"<ReplaceKeyWith>{xml_text(to.key)}</ReplaceKeyWith>"
    return f"{condition}<Redirect>{there}</Redirect>"


def _place_xml(to: Redirect) -> str:
    host = f"<HostName>{to.host}</HostName>" if to.host else ""
    return host + (f"<Protocol>{to.protocol}</Protocol>" if to.protocol else "")


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise _bad("HostName is the name of a host.")
    return text


def _protocol(element: Element) -> Literal["http", "https", ""]:
    match text_of(element, "Protocol").lower():
        case "http" | "https" | "" as protocol:
            return protocol
        case _:
            raise _bad("Protocol is http or https.")


def _code(text: str, known: Iterable[int]) -> int:
    if not text.isdecimal() or len(text) != 3 or int(text) not in known:
        raise _bad("HttpRedirectCode is 301, 302, 303, 307 or 308, an error's code 400 to 599.")
    return int(text)


def _key(text: str) -> str:
    try:
        return object_key(text)
    except SkerryError as error:
        raise _bad(error.message) from None


def _bad(message: str) -> Invalid:
    return Invalid("bad_website", message)
