"""Passes: what the SSH door uses in the name of whoever logged in there, for a while.

A pass stands for a key, so it is worth what that key is worth at each use: nothing once the key or
its token is gone. It is kept in memory only.
"""

from skerry.accounts import store
from skerry.accounts.keys import find_key, owner_of
from skerry.accounts.model import (
    SECRET_BYTES,
    Pass,
    Token,
    hash_secret,
    is_hash_of,
    read_token,
    token_text,
)
from skerry.accounts.operations import Accounts, note_use, verify_token
from skerry.accounts.public_key import read_public_key
from skerry.base import NotFound, Unauthorized, new_id

PASS_NS = 3600 * 10**9
_PREFIX = "pass"
PASSES_MAX = 10_000  # one a key and half an hour is what the door asks for


def make_pass(accounts: Accounts, public_key: str) -> tuple[Pass, str, Token]:
    """Return a new pass for a key, its text, and whose it is.

    When there are too many, the oldest become worthless. Raises Invalid(bad_key),
    NotFound(key_not_found).
    """
    key = find_key(accounts, read_public_key(public_key).fingerprint)
    owner = owner_of(accounts, key) if key is not None else None
    if key is None or owner is None:
        raise NotFound("key_not_found", "Nobody has this key. `skerry key add` adds one.")
    secret = accounts.entropy(SECRET_BYTES)
    made = Pass(
        pass_id=new_id(_PREFIX, accounts.entropy(10)),
        fingerprint=key.fingerprint,
        secret_hash=hash_secret(secret),
        ends_at_ns=accounts.clock.monotonic_ns() + PASS_NS,
    )
    _forget_ended(accounts)
    while len(accounts.passes) >= PASSES_MAX:
        del accounts.passes[next(iter(accounts.passes))]
    accounts.passes[made.pass_id] = made
    return made, token_text(made.pass_id, secret), owner


async def verify(accounts: Accounts, text: str) -> Token:
    """Return the token that a text is, or that a pass stands for. Raises Unauthorized(bad_token)."""
    parts = read_token(text)
    if parts is None or not parts[0].startswith(_PREFIX):
        return await verify_token(accounts, text)
    made = accounts.passes.get(parts[0])
    if made is None or not is_hash_of(made.secret_hash, parts[1]) or _has_ended(accounts, made):
        raise _worthless()
    key = find_key(accounts, made.fingerprint)
    owner = owner_of(accounts, key) if key is not None else None
    if key is None or owner is None:
        del accounts.passes[made.pass_id]
        raise _worthless()
    await note_use(accounts, key.fingerprint, key.last_used_at_ns, store.mark_key_used)
    return owner


def _worthless() -> Unauthorized:
    return Unauthorized(
        "bad_token", "The pass is not known here, or its time is over. Log in again."
    )


def _has_ended(accounts: Accounts, made: Pass) -> bool:
    return accounts.clock.monotonic_ns() >= made.ends_at_ns


def _forget_ended(accounts: Accounts) -> None:
    """They are in the order of their ends."""
    while accounts.passes:
        first = next(iter(accounts.passes.values()))
        if not _has_ended(accounts, first):
            return
        del accounts.passes[first.pass_id]
