"""The verbs of SSH keys: add, list, find, delete."""

from skerry.accounts import store
from skerry.accounts.model import LOCAL, Key, Token
from skerry.accounts.operations import Accounts
from skerry.accounts.public_key import read_public_key
from skerry.base import Conflict, Invalid, LimitReached, NotFound

KEYS_MAX = 100  # of one token, or of the administrator


async def add_key(accounts: Accounts, owner: Token, line: str, name: str | None) -> Key:
    """Let whoever holds the key that belongs to this public one in as owner.

    name: how to call it, its comment if None. The same key again for the same owner is answered
    with what is there. Raises Invalid(bad_key, bad_name), Conflict(key_taken, name_taken),
    LimitReached(keys_limit).
    """
    public = read_public_key(line)
    made = Key(
        fingerprint=public.fingerprint,
        public_key=public.text,
        kind=public.kind,
        name=_checked_name(name or public.comment or public.fingerprint.removeprefix("SHA256:")),
        token_id=owner.token_id or None,
        account=owner.name,
        created_at_ns=accounts.clock.now_ns(),
    )
    present = find_key(accounts, made.fingerprint)
    if present is not None:
        return _present(present, made)
    owned = list_keys(accounts, owner)
    if any(key.name == made.name for key in owned):
        raise Conflict("name_taken", f"You have a key {made.name!r}. Choose another name.")
    if len(owned) >= KEYS_MAX:
        raise LimitReached("keys_limit", f"There are {KEYS_MAX} keys. Delete some first.")
    await accounts.database.write(lambda c: store.insert_key(c, made))
    return made


def _present(present: Key, made: Key) -> Key:
    if (present.token_id, present.name) == (made.token_id, made.name):
        return present
    if present.token_id == made.token_id:
        raise Conflict("key_taken", f"You have this key already, as {present.name!r}.")
    raise Conflict(
        "key_taken", "This key belongs to another account. Make one of its own for this account."
    )


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= 63 or not name.isprintable() or name != name.strip():
        raise Invalid("bad_name", "A key's name is 1 to 63 printable characters.")
    return name


def list_keys(accounts: Accounts, owner: Token | None = None) -> list[Key]:
    """Return the keys of owner, or all (None), the oldest first."""
    keys = accounts.database.read(store.all_keys)
    if owner is None:
        return keys
    return [key for key in keys if (key.token_id or "") == owner.token_id]


def find_key(accounts: Accounts, fingerprint: str) -> Key | None:
    """Return a key by its fingerprint."""
    return accounts.database.read(lambda c: store.find_key(c, fingerprint))


async def delete_key(accounts: Accounts, owner: Token, name_or_fingerprint: str) -> Key:
    """Let nobody in by a key of owner any more; return it.

    The administrator may name any key by its fingerprint. Raises NotFound(key_not_found).
    """
    everybody = owner.token_id == "" and name_or_fingerprint.startswith("SHA256:")
    for key in list_keys(accounts, None if everybody else owner):
        if name_or_fingerprint in (key.fingerprint, key.name):
            await accounts.database.write(lambda c, f=key.fingerprint: store.delete_key(c, f))
            return key
    raise NotFound(
        "key_not_found",
        f"There is no key {name_or_fingerprint[:80]!r} here. `skerry key list` shows yours.",
    )


def owner_of(accounts: Accounts, key: Key) -> Token | None:
    """Return the token that key stands for, as it is now; None if that is gone."""
    if key.token_id is None:
        return LOCAL
    token_id = key.token_id
    return accounts.database.read(lambda c: store.find_token(c, token_id))
