"""What tokens, keys and passes are, how their texts are made and read, what scopes allow. Pure."""

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from skerry.base import ID_PATTERN

Scope: TypeAlias = Literal["read", "write", "own", "admin"]
SECRET_BYTES = 32

# The id is public and finds the row; only the secret proves anything.
_TEXT = re.compile(rf"skerry_({ID_PATTERN.pattern})_([0-9a-f]{{{SECRET_BYTES * 2}}})")
# own is write, on some boxes: which, `Token.confined_to` says.
_RANK = {"read": 0, "write": 1, "own": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is stored: secret_hash is SHA-256, which is enough for 256 random bits."""

    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    secret_hash: bytes
    created_at_ns: int
    last_used_at_ns: int | None = None

    @property
    def confined_to(self) -> str | None:
        """The account whose boxes are all that there are for it, None if it may use all."""
        return self.name if "own" in self.scopes else None


LOCAL = Token("", "local", ("admin",), b"", 0)
"""The administrator on the machine itself, who needs no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key of SSH, and whose it is.

    kind: its type in SSH. token_id: of the token that it stands for, None for the administrator's.
    account: that token's name.
    """

    fingerprint: str
    public_key: str
    kind: str
    name: str
    token_id: str | None
    account: str
    created_at_ns: int
    last_used_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass, without its secret. ends_at_ns: by the monotonic clock."""

    pass_id: str
    fingerprint: str
    secret_hash: bytes
    ends_at_ns: int


def token_text(token_id: str, secret: bytes) -> str:
    """Return what the client keeps and sends; of a pass likewise."""
    return f"skerry_{token_id}_{secret.hex()}"


def read_token(text: str) -> tuple[str, bytes] | None:
    """Return id and secret of a token's or pass's text, None if it is none."""
    match = _TEXT.fullmatch(text)
    return (match[1], bytes.fromhex(match[2])) if match else None


def hash_secret(secret: bytes) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret).digest()


def is_secret_of(token: Token, secret: bytes) -> bool:
    """Compare in constant time."""
    return is_hash_of(token.secret_hash, secret)


def is_hash_of(secret_hash: bytes, secret: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(secret_hash, hash_secret(secret))


def scope_allows(scopes: Collection[Scope], needed: Scope) -> bool:
    """Return whether one of scopes is needed or stands above it."""
    return any(_RANK[scope] >= _RANK[needed] for scope in scopes)
