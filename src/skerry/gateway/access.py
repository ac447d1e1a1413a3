"""Who may use a box's web address: tokens, login cookies, share links. Pure.

A cookie says which box it opens, until when, and by whose leave: a token's, or a share link's
epoch. So a revoked token or ended links end the cookies that came of them. A ticket says the same
of a token, for the moment that a browser takes from the login page to the box.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import TypeAlias

from skerry.base import ID_PATTERN
from skerry.base.share_links import PARAMETER, share_end_ns
from skerry.gateway.control import Box, Token

COOKIE = b"skerry_access"
FOREVER_NS = 1 << 63
SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})

# As accounts make them; a test compares. Nothing of accounts is imported: it knows the database.
_TOKEN = re.compile(rf"skerry_({ID_PATTERN.pattern})_([0-9a-f]{{64}})")
_COOKIE = re.compile(
    rf"({ID_PATTERN.pattern})\.([0-9]{{1,12}})\.({ID_PATTERN.pattern}|share-[0-9]{{1,9}})"
    r"\.([0-9a-f]{64})"
)
_LOGIN, _TICKET = b"skerry cookie", b"skerry ticket"  # what a signature is for
_SHARE = PARAMETER.encode() + b"="

# Whether reading only is allowed, and until when.
Grant: TypeAlias = tuple[bool, int]


def token_of(tokens: Mapping[str, Token], text: str) -> Token | None:
    """Return the token whose text this is, compared in constant time."""
    match = _TOKEN.fullmatch(text.strip(" "))
    token = tokens.get(match[1]) if match else None
    if match is None or token is None:
        return None
    said = hashlib.sha256(bytes.fromhex(match[2])).digest()
    return token if hmac.compare_digest(said, token.secret_hash) else None


def grant_by_authorization(tokens: Mapping[str, Token], value: bytes) -> Grant | None:
    """Return what an Authorization field allows on every box."""
    text = _bearer(value)
    token = token_of(tokens, text) if text else None
    return _grant(token, FOREVER_NS) if token else None


def grant_by_cookies(
    tokens: Mapping[str, Token], key: bytes, box: Box, cookies: tuple[bytes, ...], now_ns: int
) -> Grant | None:
    """Return what the Cookie fields allow on a box."""
    for field in cookies:
        for part in field.split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == COOKIE and (grant := _grant_by_cookie(tokens, key, box, value, now_ns)):
                return grant
    return None


def cookie_by_token(key: bytes, box_id: str, token_id: str, end_at_ns: int) -> bytes:
    """Return the value of a cookie that a login with a token gives."""
    return _sign(key, f"{box_id}.{end_at_ns // 10**9}.{token_id}")


def ticket_by_token(key: bytes, box_id: str, token_id: str, end_at_ns: int) -> bytes:
    """Return what leads from the login page to a box."""
    return _sign(key, f"{box_id}.{end_at_ns // 10**9}.{token_id}", _TICKET)


def token_by_ticket(
    tokens: Mapping[str, Token], key: bytes, box: Box, text: str, now_ns: int
) -> Token | None:
    """Return the token by which somebody has logged in a moment ago, None if the ticket is bad."""
    match = _COOKIE.fullmatch(text)
    if match is None or not _holds(key, box, match, now_ns, _TICKET):
        return None
    return tokens.get(match[3])


def cookie_by_share(key: bytes, box: Box, text: str, now_ns: int) -> tuple[bytes, int] | None:
    """Return the value of a cookie that a share link gives, and when both end; None if it is bad."""
    end_at_ns = share_end_ns(key, box.box_id, box.share_epoch, text, now_ns)
    if end_at_ns is None:
        return None
    claim = f"{box.box_id}.{end_at_ns // 10**9}.share-{box.share_epoch}"
    return _sign(key, claim), end_at_ns


def allows(grant: Grant, method: bytes, *, upgrades: bool) -> bool:
    """Tell whether a grant is enough: a WebSocket may change things, whatever its method."""
    return not grant[0] or (method in SAFE_METHODS and not upgrades)


def share_in(target: bytes) -> tuple[str, bytes] | None:
    """Return the text of the share link in a target, and the target without it; None if none."""
    path, _, query = target.partition(b"?")
    if _SHARE not in query:
        return None
    parts = query.split(b"&")
    found = next((part for part in parts if part.startswith(_SHARE)), None)
    if found is None:
        return None
    rest = b"&".join(part for part in parts if not part.startswith(_SHARE))
    return found[len(_SHARE) :].decode("ascii"), path + (b"?" + rest if rest else b"")


def is_own_authorization(value: bytes) -> bool:
    """Tell whether an Authorization field holds a token of ours, which no box must see.

    However badly it is written: one that did not let its sender in is a secret all the same.
    """
    return _TOKEN.search(value.decode("latin-1")) is not None


def without_own_cookie(value: bytes) -> bytes | None:
    """Return a Cookie field without our cookie, None if nothing is left of it."""
    parts = (part.strip() for part in value.split(b";"))
    kept = [part for part in parts if part and part.partition(b"=")[0].strip() != COOKIE]
    return b"; ".join(kept) or None


def _bearer(value: bytes) -> str | None:
    scheme, _, text = value.partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    return text.strip().decode("latin-1")


def _grant(token: Token, end_at_ns: int) -> Grant | None:
    if not token.scopes:
        return None
    return token.scopes == ("read",), end_at_ns


def _grant_by_cookie(
    tokens: Mapping[str, Token], key: bytes, box: Box, value: bytes, now_ns: int
) -> Grant | None:
    match = _COOKIE.fullmatch(value.decode("latin-1"))
    if match is None or not _holds(key, box, match, now_ns):
        return None
    end_at_ns = int(match[2]) * 10**9
    if match[3].startswith("share-"):
        return (False, end_at_ns) if match[3] == f"share-{box.share_epoch}" else None
    token = tokens.get(match[3])
    return _grant(token, end_at_ns) if token else None


def _holds(key: bytes, box: Box, match: re.Match[str], now_ns: int, label: bytes = _LOGIN) -> bool:
    claim, _, code = match[0].rpartition(".")
    return (
        match[1] == box.box_id
        and hmac.compare_digest(code, _code(key, claim, label))
        and int(match[2]) * 10**9 > now_ns
    )


def _sign(key: bytes, claim: str, label: bytes = _LOGIN) -> bytes:
    return f"{claim}.{_code(key, claim, label)}".encode()


def _code(key: bytes, claim: str, label: bytes) -> str:
    return hmac.digest(key, label + b"\0" + claim.encode(), "sha256").hex()
