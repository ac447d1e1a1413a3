"""Accounts: who may use this machine. For now tokens, each with a name and scopes.

Words: a *token* is what a client sends; its *secret* is told once and kept only as a hash; a
*scope* is `read` (look), `write` (boxes and what is in them) or `admin` (everything).
"""

from skerry.accounts.model import Scope, Token, scope_allows
from skerry.accounts.operations import Accounts, create, list_tokens, revoke, verify
from skerry.accounts.store import MIGRATIONS

__all__ = [
    "MIGRATIONS",
    "Accounts",
    "Scope",
    "Token",
    "create",
    "list_tokens",
    "revoke",
    "scope_allows",
    "verify",
]
