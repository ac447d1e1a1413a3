"""Temporary keys, which are kept nowhere: what one may do and until when stands in its token.

A token says who issued it and what it allows, and bears the store's mark; its secret follows from
it by the store's secret. So they hold after a restart. Whether the key that issued one is still
there, and what that may do itself, is not known here.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from skerry.base import Denied, Invalid

PREFIX = "ASIA"
"""What every temporary access key begins with, and no other."""

LIFETIME_S_MIN, LIFETIME_S_MAX = 900, 43_200  # as AWS has it for roles
POLICY_BYTES_MAX = 4 << 10  # twice what AWS takes; the token goes with each request
SECRET_BYTES = 32
_TOKEN_CHARACTERS_MAX = 12 << 10
_NAME_CHARACTERS_MAX = 64
_MARK_BYTES = 32
_RANDOM_BYTES = 16


class _Said(Struct, frozen=True, array_like=True, forbid_unknown_fields=False):
    access_key: str
    account: str
    issuer: str
    expires_at_s: int
    policy: bytes | None
    name: str
    random: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A temporary key, for its holder."""

    access_key: str
    secret: str
    session_token: str
    expires_at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a token says. issuer: the access key that it was issued by. policy: all that it may do.

    policy: None where it may do all that the issuer may. name: chosen by who asked for it.
    """

    account: str
    issuer: str
    secret: str
    policy: bytes | None
    expires_at_s: int
    name: str


class Sessions:
    """Issues temporary keys and knows them again."""

    def __init__(
        self, secret: bytes, entropy: Callable[[int], bytes], now_s: Callable[[], int]
    ) -> None:
        """Begin. secret: of the store, never told anybody."""
        assert len(secret) == SECRET_BYTES
        self._secret = secret
        self._entropy = entropy
        self.now_s = now_s

    def issue(
        self, account: str, access_key: str, policy: bytes | None, lifetime_s: int, name: str = ""
    ) -> Credentials:
        """Issue a key that may do what access_key may and policy allows, while access_key is valid.

        Raises Invalid(bad_lifetime, bad_session_name, policy_too_large).
        """
        if not LIFETIME_S_MIN <= lifetime_s <= LIFETIME_S_MAX:
            raise Invalid(
                "bad_lifetime",
                f"DurationSeconds is a number from {LIFETIME_S_MIN} to {LIFETIME_S_MAX}.",
            )
        if policy is not None and len(policy) > POLICY_BYTES_MAX:
            raise Invalid(
                "policy_too_large", f"A session's policy has at most {POLICY_BYTES_MAX} bytes."
            )
        if len(name) > _NAME_CHARACTERS_MAX:
            raise Invalid(
                "bad_session_name",
                f"A session's name has at most {_NAME_CHARACTERS_MAX} characters.",
            )
        random = self._entropy(_RANDOM_BYTES)
        mine = PREFIX + base64.b32encode(random[:10]).decode()
        expires_at_s = self.now_s() + lifetime_s
        said = msgspec.msgpack.encode(
            _Said(mine, account, access_key, expires_at_s, policy, name, random)
        )
        token = base64.urlsafe_b64encode(self._mark(said) + said).decode()
        return Credentials(
            access_key=mine, secret=self._secret_of(token), session_token=token,
            expires_at_s=expires_at_s,
        )  # fmt: skip

    def opened(self, access_key: str, session_token: str) -> Session | None:
        """Return what a token says, None if it is not one of ours or not of that access key.

        Raises Denied(session_expired).
        """
        said = self._said(session_token)
        if said is None or said.access_key != access_key:
            return None
        if said.expires_at_s <= self.now_s():
            raise Denied("session_expired", "The temporary key has expired. Ask for a new one.")
        return Session(
            account=said.account, issuer=said.issuer, secret=self._secret_of(session_token),
            policy=said.policy, expires_at_s=said.expires_at_s, name=said.name,
        )  # fmt: skip

    def _said(self, token: str) -> _Said | None:
        if len(token) > _TOKEN_CHARACTERS_MAX:
            return None
        try:
            data = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if base64.urlsafe_b64encode(data).decode() != token:
            return None  # there is one way to write it
        mark, said = data[:_MARK_BYTES], data[_MARK_BYTES:]
        if not hmac.compare_digest(mark, self._mark(said)):
            return None
        try:
            return msgspec.msgpack.decode(said, type=_Said)
        except msgspec.DecodeError:  # of another version of Skerry
            return None

    def _mark(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, b"token:" + said, "sha256")

    def _secret_of(self, token: str) -> str:
        digest = hmac.digest(self._secret, b"secret:" + token.encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:30]).decode()
