"""The table of tokens. The only SQL of this domain."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from skerry.accounts.model import Token

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


def _token(row: Sequence[Any]) -> Token:
    return Token(row[0], row[1], tuple(row[2].split()), *row[3:])
