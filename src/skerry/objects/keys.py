"""The verbs of users and their access keys: make, find, list, change, delete.

What a policy means is not known here: it is a document with a name.
"""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import msgspec

from skerry.base import Conflict, Invalid, LimitReached, NotFound
from skerry.objects import key_store
from skerry.objects.context import Holder, Objects
from skerry.objects.model import Key, User
from skerry.objects.records import KeyGone, UserGone
from skerry.objects.writer import Transaction

_T = TypeVar("_T")
ROOT = "root"
"""Who owns all, and is no user that could be made."""

USERS_MAX = 5000  # as AWS has it
KEYS_MAX = 10  # of a user; AWS has two, which is little where keys are all that there is
POLICIES_MAX = 20
_POLICIES_BYTES_MAX = 64 << 10  # of a user; all are read at each of its requests
_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_ACCESS_KEY = re.compile(r"[A-Z0-9]{20}")  # no name of a user: policies name both


def holder(objects: Objects, access_key: str) -> Holder | None:
    """Return an access key and its user, one that is not active too."""
    known = objects.holders.get(access_key)
    if known is None:
        key = key_store.key(objects.reader, access_key)
        user = key_store.user(objects.reader, key.user) if key else None
        if key is None or user is None:
            return None
        known = objects.holders[access_key] = Holder(key, user)
    return known


def find_user(objects: Objects, name: str) -> User:
    """Return the user of that name. Raises NotFound(no_such_user)."""
    return _user(objects.reader, name)


def page(objects: Objects, after: str, limit: int) -> list[User]:
    """Return the users whose names come after one, in order."""
    return key_store.users(objects.reader, after, limit)


def of_user(objects: Objects, name: str) -> list[Key]:
    """Return the access keys of a user. Raises NotFound(no_such_user)."""
    return key_store.keys_of(objects.reader, _user(objects.reader, name).name)


async def create_user(objects: Objects, name: str) -> User:
    """Make a user. Raises Invalid(bad_user_name), Conflict(user_exists), LimitReached."""
    if _NAME.fullmatch(name) is None or name == ROOT or _ACCESS_KEY.fullmatch(name):
        raise Invalid("bad_user_name", "A user's name has 1 to 64 letters, digits and +=,.@-_")

    def work(made: Transaction) -> User:
        if key_store.user(made.connection, name) is not None:
            raise Conflict("user_exists", f"There is a user called {name} already.")
        if key_store.count_users(made.connection) >= USERS_MAX:
            raise LimitReached("too_many_users", f"There are at most {USERS_MAX} users.")
        user = User(name=name, created_at_ns=made.now_ns)
        made.put(user)
        return user

    return await _write(objects, work)


async def delete_user(objects: Objects, name: str) -> None:
    """Delete a user who has no keys and policies. Raises NotFound(no_such_user), Conflict."""

    def work(made: Transaction) -> None:
        user = _user(made.connection, name)
        if user.policies or key_store.keys_of(made.connection, user.name):
            raise Conflict("user_in_use", "Delete the user's access keys and policies first.")
        made.put(UserGone(user.name))

    await _write(objects, work, takes_away=True)


async def put_policy(objects: Objects, name: str, policy: str, document: bytes | None) -> None:
    """Give a user a policy, which was checked, or take it away where document is None.

    Raises NotFound(no_such_user, no_such_user_policy), Invalid(bad_policy_name), LimitReached.
    """
    if _POLICY_NAME.fullmatch(policy) is None:
        raise Invalid("bad_policy_name", "A policy's name has 1 to 128 letters, digits and +=,.@-_")

    def work(made: Transaction) -> None:
        user = _user(made.connection, name)
        policies = {key: value for key, value in user.policies.items() if key != policy}
        if document is not None:
            policies[policy] = document
        elif len(policies) == len(user.policies):
            raise no_policy(policy)
        size = sum(map(len, policies.values()))
        if len(policies) > POLICIES_MAX or size > _POLICIES_BYTES_MAX:
            raise LimitReached(
                "too_many_policies",
                f"A user has at most {POLICIES_MAX} policies, of {_POLICIES_BYTES_MAX} bytes in all.",
            )
        made.put(msgspec.structs.replace(user, policies=policies))

    await _write(objects, work, takes_away=document is None)


async def create_key(objects: Objects, user: str) -> Key:
    """Make an access key for a user. Raises NotFound(no_such_user), LimitReached."""
    access_key, secret = f"SKERRY{objects.entropy(7).hex().upper()}", objects.entropy(20).hex()
    assert _ACCESS_KEY.fullmatch(access_key)

    def work(made: Transaction) -> Key:
        found = _user(made.connection, user)
        if len(key_store.keys_of(made.connection, found.name)) >= KEYS_MAX:
            raise LimitReached("too_many_keys", f"A user has at most {KEYS_MAX} access keys.")
        key = Key(
            access_key=access_key, secret=secret, user=found.name, created_at_ns=made.now_ns
        )  # fmt: skip
        made.put(key)
        return key

    return await _write(objects, work)


async def set_active(objects: Objects, user: str, access_key: str, *, is_active: bool) -> None:
    """Have an access key hold, or not for now. Raises NotFound(no_such_user, no_such_key_id)."""

    def work(made: Transaction) -> None:
        key = _key(made.connection, user, access_key)
        made.put(msgspec.structs.replace(key, is_active=is_active))

    await _write(objects, work, takes_away=True)


async def delete_key(objects: Objects, user: str, access_key: str) -> None:
    """Delete an access key. Raises NotFound(no_such_user, no_such_key_id)."""

    def work(made: Transaction) -> None:
        made.put(KeyGone(_key(made.connection, user, access_key).access_key))

    await _write(objects, work, takes_away=True)


def no_policy(name: str) -> NotFound:
    """Return the error of a policy that a user has not."""
    return NotFound("no_such_user_policy", f"The user has no policy called {name[:128]!r}.")


async def _write(
    objects: Objects, work: Callable[[Transaction], _T], *, takes_away: bool = False
) -> _T:
    """Write, and forget who held which key, also where nobody waits for the end any more.

    takes_away: it is done on a full disk too, since a key that got out must be ended there as well.
    """
    task = asyncio.ensure_future(objects.writer.write(work, makes_room=takes_away))
    task.add_done_callback(lambda _: objects.holders.clear())
    return await asyncio.shield(task)


def _user(connection: sqlite3.Connection, name: str) -> User:
    user = key_store.user(connection, name)
    if user is None:
        raise NotFound("no_such_user", f"There is no user called {name[:64]!r}.")
    return user


def _key(connection: sqlite3.Connection, user: str, access_key: str) -> Key:
    key = key_store.key(connection, access_key)
    if key is None or key.user != _user(connection, user).name:
        raise NotFound("no_such_key_id", f"The user has no access key {access_key[:128]!r}.")
    return key
