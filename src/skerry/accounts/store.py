"""The tables of tokens and keys. The only SQL of this domain."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from skerry.accounts.model import LOCAL, Key, Token

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE tokens (
        token_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        secret_hash BLOB NOT NULL,
        created_at_ns INTEGER NOT NULL,
        last_used_at_ns INTEGER
    ) STRICT;
    """,
    """
    CREATE TABLE keys (
        fingerprint TEXT PRIMARY KEY,
        public_key TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        token_id TEXT REFERENCES tokens (token_id) ON DELETE CASCADE,
        created_at_ns INTEGER NOT NULL,
        last_used_at_ns INTEGER
    ) STRICT;
    CREATE INDEX keys_by_token ON keys (token_id);
    """,
)

_SELECT = "SELECT token_id, name, scopes, secret_hash, created_at_ns, last_used_at_ns FROM tokens "


def insert_token(connection: sqlite3.Connection, token: Token) -> None:
    """Add a token."""
    connection.execute(
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)",
        (
            token.token_id, token.name, " ".join(token.scopes), token.secret_hash,
            token.created_at_ns, token.last_used_at_ns,
        ),
    )  # fmt: skip


def find_token(connection: sqlite3.Connection, token_id: str) -> Token | None:
    """Return a token by its id."""
    row = connection.execute(_SELECT + "WHERE token_id = ?", (token_id,)).fetchone()
    return _token(row) if row else None


def all_tokens(connection: sqlite3.Connection) -> list[Token]:
    """Return all tokens, the oldest first."""
    return [_token(row) for row in connection.execute(_SELECT + "ORDER BY created_at_ns, token_id")]


def delete_token(connection: sqlite3.Connection, token_id: str) -> int:
    """Remove a token; return how many there were."""
    return connection.execute("DELETE FROM tokens WHERE token_id = ?", (token_id,)).rowcount


def mark_used(connection: sqlite3.Connection, token_id: str, at_ns: int) -> None:
    """Write down when a token was used last."""
    connection.execute(
        "UPDATE tokens SET last_used_at_ns = ? WHERE token_id = ?", (at_ns, token_id)
    )


_SELECT_KEYS = (
    "SELECT fingerprint, public_key, kind, keys.name, keys.token_id, tokens.name, "
    "keys.created_at_ns, keys.last_used_at_ns FROM keys LEFT JOIN tokens USING (token_id) "
)


def insert_key(connection: sqlite3.Connection, key: Key) -> None:
    """Add a key."""
    connection.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            key.fingerprint, key.public_key, key.kind, key.name, key.token_id,
            key.created_at_ns, key.last_used_at_ns,
        ),
    )  # fmt: skip


def find_key(connection: sqlite3.Connection, fingerprint: str) -> Key | None:
    """Return a key by its fingerprint."""
    row = connection.execute(_SELECT_KEYS + "WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return _key(row) if row else None


def all_keys(connection: sqlite3.Connection) -> list[Key]:
    """Return all keys, the oldest first."""
    order = "ORDER BY keys.created_at_ns, fingerprint"
    return [_key(row) for row in connection.execute(_SELECT_KEYS + order)]


def delete_key(connection: sqlite3.Connection, fingerprint: str) -> None:
    """Remove a key."""
    connection.execute("DELETE FROM keys WHERE fingerprint = ?", (fingerprint,))


def mark_key_used(connection: sqlite3.Connection, fingerprint: str, at_ns: int) -> None:
    """Write down when a key was used last."""
    connection.execute(
        "UPDATE keys SET last_used_at_ns = ? WHERE fingerprint = ?", (at_ns, fingerprint)
    )


def _key(row: Sequence[Any]) -> Key:
    return Key(
        fingerprint=row[0],
        public_key=row[1],
        kind=row[2],
        name=row[3],
        token_id=row[4],
        account=LOCAL.name if row[5] is None else row[5],
        created_at_ns=row[6],
        last_used_at_ns=row[7],
    )


def _token(row: Sequence[Any]) -> Token:
    return Token(row[0], row[1], tuple(row[2].split()), *row[3:])
