"""Whether a request goes on to a box, and what it gets instead: the gate's rules in their order.

Health, login, share links, access, and what must not wake a box: none of them needs the box.
"""

from __future__ import annotations

from skerry.gateway import login, pages
from skerry.gateway.access import (
    FOREVER_NS,
    Grant,
    allows,
    cookie_by_share,
    grant_by_authorization,
    grant_by_cookies,
    share_in,
)
from skerry.gateway.control import Box
from skerry.gateway.pages import Problem, Reply
from skerry.gateway.request import RequestFields
from skerry.gateway.site import BoxState, Site

_FULL: Grant = (False, FOREVER_NS)
_PROBES = (b"kube-probe/", b"ELB-HealthChecker/", b"GoogleHC/")


class Known:
    """What is known of a header block, so that the next request with the same costs little.

    forwarded: the block for the box. is_secure: its client speaks HTTPS to a proxy before us. The
    rest holds while version is the site's: place is the box and port, None for an unknown name;
    grant is None where nothing is allowed.
    """

    __slots__ = ("fields", "forwarded", "grant", "is_secure", "place", "version")

    def __init__(self, fields: RequestFields, forwarded: bytes, *, is_secure: bool) -> None:
        self.fields = fields
        self.forwarded = forwarded
        self.is_secure = is_secure
        self.version = -1
        self.place: tuple[BoxState, int] | None = None
        self.grant: Grant | None = None

    def refresh(self, site: Site) -> None:
        """Find box and grant anew."""
        fields = self.fields
        self.version = site.version
        self.place = place = site.find(fields.name)
        self.grant = None if place is None else _grant(site, place[0].box, fields)

    def is_plain(self, site: Site, target: bytes) -> bool:
        """Tell in a moment whether a request goes on to a box that is awake, without a rule."""
        grant, place = self.grant, self.place
        return (
            self.version == site.version
            and place is not None
            and grant is not None
            and not grant[0]
            and grant[1] > site.wall_ns
            and place[0].awake
            and b"skerry" not in target
        )


def own_reply(site: Site, known: Known, method: bytes, target: bytes) -> Reply | Problem | None:
    """Return what a request gets from the gateway itself, None if it goes on to its box."""
    if known.version != site.version or (known.grant and known.grant[1] <= site.wall_ns):
        known.refresh(site)
    fields = known.fields
    path = target.partition(b"?")[0]
    if path == pages.HEALTH:
        return _health(method)
    if known.place is None:
        if fields.name == site.routes.login_name:
            return login.page(site, fields, method, target, is_secure=known.is_secure)
        return pages.UNKNOWN_NAME
    box = known.place[0]
    if path.startswith(pages.PREFIX):
        return _own_page(site, known, box, method, target)
    if (share := share_in(target)) is not None and method in (b"GET", b"HEAD"):
        return _shared(site, known, box.box, *share)
    return _refusal(site, known, method, target) or (
        None if box.awake else _without_waking(box, fields, method)
    )


def still_allowed(site: Site, known: Known, method: bytes) -> bool:
    """Tell whether what is under way may go on, after tokens or access have changed."""
    before = known.place
    known.refresh(site)
    return (
        known.place is not None
        and before is not None
        and known.place[0] is before[0]
        and known.grant is not None
        and allows(known.grant, method, upgrades=known.fields.upgrade is not None)
    )


def _refusal(site: Site, known: Known, method: bytes, target: bytes) -> Reply | Problem | None:
    fields = known.fields
    if known.grant is None:
        if b"text/html" in fields.accept and method in (b"GET", b"HEAD"):
            return login.to_login(site, fields, target, is_secure=known.is_secure)
        return pages.UNAUTHORIZED
    if not allows(known.grant, method, upgrades=fields.upgrade is not None):
        return pages.READ_ONLY
    return None


def is_login(site: Site, known: Known, method: bytes, target: bytes) -> bool:
    """Tell whether a request is a filled-in login form."""
    return (
        method == b"POST" and target == pages.LOGIN and known.fields.name == site.routes.login_name
    )


def _grant(site: Site, box: Box, fields: RequestFields) -> Grant | None:
    if box.access == "public":
        return _FULL
    if fields.authorization is not None:
        grant = grant_by_authorization(site.tokens, fields.authorization)
        if grant is not None:
            return grant
    # Pages of other boxes may be of the same site to a browser, which then sends its cookies along.
    if fields.origin is not None and not login.is_own_origin(fields):
        return None
    return grant_by_cookies(site.tokens, site.cookie_key, box, fields.cookies, site.wall_ns)


def _health(method: bytes) -> Reply | Problem:
    if method not in (b"GET", b"HEAD"):
        return pages.BAD_METHOD
    return Reply(200, b'{"status":"ok"}\n', b"application/json")


def _own_page(
    site: Site, known: Known, box: BoxState, method: bytes, target: bytes
) -> Reply | Problem:
    if target.partition(b"?")[0] != pages.ENTER:
        return pages.NOT_FOUND
    return login.enter(site, box, method, target, is_secure=known.is_secure)


def _shared(site: Site, known: Known, box: Box, text: str, rest: bytes) -> Reply | Problem:
    to = rest if pages.is_local_path(rest.decode()) else b"/"
    if known.grant is not None and not known.grant[0]:
        return pages.redirect_reply(to, None, cookie_s=0, is_secure=False)
    made = cookie_by_share(site.cookie_key, box, text, site.wall_ns)
    if made is None:
        return pages.SHARE_ENDED
    cookie, end_at_ns = made
    return pages.redirect_reply(
        to, cookie, cookie_s=(end_at_ns - site.wall_ns) // 10**9, is_secure=known.is_secure
    )


def _without_waking(box: BoxState, fields: RequestFields, method: bytes) -> Reply | None:
    if fields.user_agent.startswith(_PROBES):
        if box.wake_error is not None:
            return Reply(503, b'{"status":"failing"}\n', b"application/json")
        return Reply(200, b'{"status":"asleep"}\n', b"application/json")
    if method == b"OPTIONS" and fields.is_preflight:
        return Reply(204, b"", b"")
    return None
