"""Bearer tokens: an access key for an hour, in the way of OAuth 2's client credentials. Pure.

A token is kept nowhere: it says whose it is and until when, and bears a mark that only the secret
of its access key can make. So it ends with the key, and holds after a restart.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import msgspec

from skerry.base import Unauthorized
from skerry.iceberg.call import Answer, Caller, Key

LIFETIME_S = 3600
_TOKEN_CHARACTERS_MAX = 1024
_FIELDS_MAX = 20


def issued(access_key: str, secret: str, expires_at_s: int) -> str:
    """Return a token for an access key."""
    said = msgspec.json.encode([access_key, expires_at_s])
    return base64.urlsafe_b64encode(_mark(said, secret) + said).decode()


def caller_of(token: str, find_key: Callable[[str], Key | None], now_s: int) -> Caller:
    """Return whose token it is. Raises Unauthorized(bad_token)."""
    try:
        data = base64.b64decode(token[:_TOKEN_CHARACTERS_MAX], altchars=b"-_", validate=True)
        mark, said = data[:32], data[32:]
        access_key, expires_at_s = msgspec.json.decode(said, type=tuple[str, int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise _bad_token() from None
    key = find_key(access_key)
    if key is None or not hmac.compare_digest(mark, _mark(said, key.secret)):
        raise _bad_token()
    if expires_at_s <= now_s:
        raise Unauthorized("bad_token", "The token has expired. Get a new one.")
    return Caller(access_key=access_key, account=key.account)


def granted(
    body: bytes, headers: Mapping[str, str], find_key: Callable[[str], Key | None], now_s: int
) -> Answer:
    """Return the answer to who asks for a token with an access key and its secret."""
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=_FIELDS_MAX))
    except ValueError:
        return _refused("invalid_request", "The body is a form.", 400)
    if fields.get("grant_type") != "client_credentials":
        return _refused("unsupported_grant_type", "The grant is client_credentials.", 400)
    access_key, secret = fields.get("client_id", ""), fields.get("client_secret", "")
    if not access_key:
        access_key, secret = _basic(headers.get("authorization", ""))
    key = find_key(access_key)
    is_right = hmac.compare_digest(secret.encode(), key.secret.encode() if key else b"")
    if key is None or not is_right:
        return _refused("invalid_client", "There is no such access key with that secret.", 401)
    document = {
        "access_token": issued(access_key, key.secret, now_s + LIFETIME_S),
        "token_type": "bearer",
        "expires_in": LIFETIME_S,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    return _told(document, 200)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        access_key, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return access_key, secret


def _mark(said: bytes, secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"skerry iceberg token:" + said, "sha256")


def _refused(error: str, description: str, status: int) -> Answer:
    return _told({"error": error, "error_description": description}, status)


def _told(document: object, status: int) -> Answer:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return Answer(status, msgspec.json.encode(document), headers)


def _bad_token() -> Unauthorized:
    return Unauthorized("bad_token", "The token is none of ours. Get one at /v1/oauth/tokens.")
