"""Logging in by a browser: on a host of its own, for what a box's host shows may be the box's.

A page of a private box leads to the login page, whose form takes a token and leads back with a
ticket, good for a moment, in whose place the box's host then has a cookie. Scheme and port are
those of the request: whatever way a browser came, it goes on.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from skerry.gateway import pages
from skerry.gateway.access import cookie_by_token, ticket_by_token, token_by_ticket, token_of
from skerry.gateway.pages import Problem, Reply

if TYPE_CHECKING:
    from skerry.gateway.request import RequestFields
    from skerry.gateway.site import BoxState, Site

FORM_BYTES_MAX = 4096
_TICKET_NS = 60 * 10**9
_FIELDS_MAX = 8
_ASK = "This box is private. Log in with a token; `skerry token create NAME` makes one."


def to_login(site: Site, fields: RequestFields, target: bytes, *, is_secure: bool) -> Reply:
    """Return what leads from a page of a box to the login page."""
    routes = site.routes
    if routes.is_ours(fields.name) or not site.login_url:
        base = _origin(routes.login_name, fields, is_secure=is_secure)
    else:
        base = site.login_url.rstrip("/")
    query = urllib.parse.urlencode({"name": fields.name, "to": target.decode()})
    url = f"{base}{pages.LOGIN.decode()}?{query}"
    return pages.redirect_reply(url.encode(), None, cookie_s=0, is_secure=is_secure)


def page(
    site: Site, fields: RequestFields, method: bytes, target: bytes, *, is_secure: bool
) -> Reply | Problem:
    """Return what a request to the login host gets that is no filled-in form."""
    path, _, query = target.partition(b"?")
    if path != pages.LOGIN:
        return pages.NOT_FOUND
    if method not in (b"GET", b"HEAD"):
        return pages.BAD_METHOD
    said = _said(query)
    if said is None or _place(site, said) is None:
        return pages.UNKNOWN_NAME
    return _form(200, fields, said, _ASK, is_secure=is_secure)


def filled_in(
    site: Site, fields: RequestFields, client: bytes, form: bytes, *, is_secure: bool
) -> Reply | Problem:
    """Return what a filled-in form gets. client: the address of who sent it."""
    if fields.origin is not None and not is_own_origin(fields):
        return pages.FOREIGN_LOGIN
    if not site.may_log_in(client):
        return pages.LOGIN_LIMIT
    said = _said(form) or {}
    place = _place(site, said)
    if place is None:
        return pages.BAD_FORM
    token = token_of(site.tokens, said.get("token", ""))
    if token is None:
        site.login_failed(client)
        if b"text/html" in fields.accept:
            return _form(401, fields, said, pages.BAD_LOGIN.message, is_secure=is_secure)
        return pages.BAD_LOGIN
    ticket = ticket_by_token(
        site.cookie_key, place.box.box_id, token.token_id, site.wall_ns + _TICKET_NS
    )
    query = urllib.parse.urlencode({"ticket": ticket.decode(), "to": _to(said)})
    url = f"{_origin(said['name'], fields, is_secure=is_secure)}{pages.ENTER.decode()}?{query}"
    return pages.redirect_reply(url.encode(), None, cookie_s=0, is_secure=is_secure)


def enter(
    site: Site, place: BoxState, method: bytes, target: bytes, *, is_secure: bool
) -> Reply | Problem:
    """Return what a request with a ticket gets, at the box's own host."""
    if method not in (b"GET", b"HEAD"):
        return pages.BAD_METHOD
    said = _said(target.partition(b"?")[2]) or {}
    box, ticket = place.box, said.get("ticket", "")
    token = token_by_ticket(site.tokens, site.cookie_key, box, ticket, site.wall_ns)
    if token is None:
        return pages.LOGIN_ENDED
    end_at_ns = site.wall_ns + site.cookie_ns
    cookie = cookie_by_token(site.cookie_key, box.box_id, token.token_id, end_at_ns)
    return pages.redirect_reply(
        _to(said).encode(), cookie, cookie_s=site.cookie_ns // 10**9, is_secure=is_secure
    )


def is_own_origin(fields: RequestFields) -> bool:
    """Tell whether the Origin of a request is the host that it is sent to."""
    assert fields.origin is not None, "asked only where there is one"
    return fields.origin.partition(b"://")[2].lower() == fields.host.lower()


def _form(
    status: int, fields: RequestFields, said: dict[str, str], message: str, *, is_secure: bool
) -> Reply:
    name = said["name"]
    origin = _origin(name, fields, is_secure=is_secure)
    return pages.login_reply(status, origin, name, _to(said), message)


def _said(data: bytes) -> dict[str, str] | None:
    """Return the first of each field of a form or query, None where it is none."""
    try:
        found = urllib.parse.parse_qs(data.decode("ascii"), max_num_fields=_FIELDS_MAX)
    except ValueError:
        return None
    return {name: values[0] for name, values in found.items()}


def _place(site: Site, said: dict[str, str]) -> BoxState | None:
    found = site.find(said.get("name", ""))
    return found[0] if found else None


def _to(said: dict[str, str]) -> str:
    to = said.get("to", "/")
    return to if pages.is_local_path(to) else "/"


def _origin(name: str, fields: RequestFields, *, is_secure: bool) -> str:
    """Return the origin of a host that is reached as the one of this request is."""
    _, colon, port = fields.host.decode().partition(":")
    return f"{'https' if is_secure else 'http'}://{name}{colon}{port}"
