"""Accounts: who may use this machine, by a token or by an SSH key that stands for one.

Words: a *token* is what a client sends; its *secret* is told once and kept only as a hash; a
*scope* is `read` (look), `write` (boxes and what is in them), `own` (as `write`, but only the boxes
of its own account, and nothing beside boxes) or `admin` (everything); an *account*
is a token by its name, or the administrator on the machine itself (`LOCAL`); a *key* is a public
key of SSH that stands for one of them; a *pass* stands for a key for a while.
"""

from skerry.accounts.keys import KEYS_MAX, add_key, delete_key, find_key, list_keys
from skerry.accounts.model import LOCAL, Key, Pass, Scope, Token, scope_allows
from skerry.accounts.operations import Accounts, create, list_tokens, revoke
from skerry.accounts.passes import PASS_NS, PASSES_MAX, make_pass, verify
from skerry.accounts.store import MIGRATIONS

__all__ = [
    "KEYS_MAX",
    "LOCAL",
    "MIGRATIONS",
    "PASSES_MAX",
    "PASS_NS",
    "Accounts",
    "Key",
    "Pass",
    "Scope",
    "Token",
    "add_key",
    "create",
    "delete_key",
    "find_key",
    "list_keys",
    "list_tokens",
    "make_pass",
    "revoke",
    "scope_allows",
    "verify",
]
