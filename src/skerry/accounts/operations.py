"""The verbs of tokens: create, list, revoke, verify; and the context of all verbs of accounts."""

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from skerry.accounts import store
from skerry.accounts.model import (
    LOCAL,
    SECRET_BYTES,
    Pass,
    Scope,
    Token,
    hash_secret,
    is_secret_of,
    read_token,
    token_text,
)
from skerry.base import (
    Clock,
    Invalid,
    LimitReached,
    NotAvailable,
    NotFound,
    Unauthorized,
    new_id,
)
from skerry.host.database import Database

_TOKENS_MAX = 1000
_MARK_EVERY_NS = 60 * 10**9  # a write for every request would cost more than the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The context of every verb of accounts.

    marked_at_ns: when a use was written down, by token or key. changed: called when tokens were
    made or revoked. passes: by their ids, the oldest first.
    """

    database: Database
    clock: Clock
    entropy: Callable[[int], bytes]
    marked_at_ns: dict[str, int] = field(default_factory=dict[str, int])
    changed: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    passes: dict[str, Pass] = field(default_factory=dict[str, Pass])


async def create(accounts: Accounts, name: str, scopes: tuple[Scope, ...]) -> tuple[Token, str]:
    """Make a token; return it and its text, which is told this once.

    The scope `own` stands alone: any other beside it would be about all boxes. Raises
    Invalid(bad_name, bad_scope), LimitReached(tokens_limit).
    """
    if not 1 <= len(name) <= 63 or not name.isprintable():
        raise Invalid("bad_name", "A token's name is 1 to 63 printable characters.")
    if not scopes:
        raise Invalid("bad_scope", "A token needs a scope: read, write, own or admin.")
    if "own" in scopes:
        _check_own(name, scopes)
    if len(list_tokens(accounts)) >= _TOKENS_MAX:
        raise LimitReached("tokens_limit", f"There are {_TOKENS_MAX} tokens. Revoke some first.")
    secret = accounts.entropy(SECRET_BYTES)
    token = Token(
        token_id=new_id("tok", accounts.entropy(10)),
        name=name,
        scopes=tuple(dict.fromkeys(scopes)),
        secret_hash=hash_secret(secret),
        created_at_ns=accounts.clock.now_ns(),
    )
    await accounts.database.write(lambda c: store.insert_token(c, token))
    _tell_changed(accounts)
    return token, token_text(token.token_id, secret)


def _check_own(name: str, scopes: tuple[Scope, ...]) -> None:
    if set(scopes) != {"own"}:
        raise Invalid("bad_scope", "The scope own stands alone: it is write, on own boxes only.")
    if name == LOCAL.name:
        raise Invalid(
            "bad_name",
            f"The boxes of {LOCAL.name!r} are the administrator's. Give this token another name.",
        )


def list_tokens(accounts: Accounts) -> list[Token]:
    """Return all tokens, the oldest first."""
    return accounts.database.read(store.all_tokens)


async def revoke(accounts: Accounts, token_id: str) -> None:
    """Make a token worthless, and delete the keys that stand for it.

    Raises NotFound(token_not_found).
    """
    accounts.marked_at_ns.pop(token_id, None)
    if not await accounts.database.write(lambda c: store.delete_token(c, token_id)):
        raise NotFound(
            "token_not_found",
            f"There is no token {token_id[:80]!r}. `skerry token list` shows all.",
        )
    _tell_changed(accounts)


def _tell_changed(accounts: Accounts) -> None:
    for tell in accounts.changed:
        tell()


async def verify_token(accounts: Accounts, text: str) -> Token:
    """Return the token whose text this is. Raises Unauthorized(bad_token)."""
    parts = read_token(text)
    token = accounts.database.read(lambda c: store.find_token(c, parts[0])) if parts else None
    if parts is None or token is None or not is_secret_of(token, parts[1]):
        raise Unauthorized(
            "bad_token", "The token is not known here. `skerry token create NAME` makes one."
        )
    await note_use(accounts, token.token_id, token.last_used_at_ns, store.mark_used)
    return token


async def note_use(
    accounts: Accounts,
    used: str,
    noted_at_ns: int | None,
    write: Callable[[sqlite3.Connection, str, int], None],
) -> None:
    """Write down, now and then, that the token or key called used is in use."""
    now_ns = accounts.clock.now_ns()
    if now_ns - accounts.marked_at_ns.get(used, noted_at_ns or 0) <= _MARK_EVERY_NS:
        return
    accounts.marked_at_ns[used] = now_ns
    # On a full disk tokens must work all the same: with them room can be made.
    with contextlib.suppress(LimitReached, NotAvailable):
        await accounts.database.write(lambda c: write(c, used, now_ns))
