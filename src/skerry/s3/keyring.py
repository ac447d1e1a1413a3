"""Which access keys hold, and whose they are: the root key, those of users, temporary ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid
from skerry.objects import keys
from skerry.s3.identity import Identity
from skerry.s3.sessions import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.objects import Objects
    from skerry.s3.sessions import Sessions

ACCOUNT = keys.ROOT
"""The one account: what users make belongs to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The root key: who has it may do everything."""

    access_key: str
    secret: str
    account: str = ACCOUNT


class Keyring:
    """All keys of a store. sessions: issues temporary ones."""

    def __init__(self, objects: Objects, roots: Mapping[str, Key], sessions: Sessions) -> None:
        self.sessions = sessions
        self._objects = objects
        self._roots = {
            name: (Identity(access_key=name, account=key.account, is_root=True), key.secret)
            for name, key in roots.items()
        }

    def find(self, access_key: str, session_token: str | None) -> tuple[Identity, str]:
        """Return who has a key, and its secret, by which that is yet to be proven.

        Raises Denied(no_such_access_key, session_expired), Invalid(bad_session_token).
        """
        if not session_token:
            return self._lasting(access_key)
        session = self.sessions.opened(access_key, session_token)
        if session is None:
            raise Invalid("bad_session_token", "The session token is not that of the access key.")
        issuer, _ = self._lasting(session.issuer)
        identity = Identity(
            access_key=access_key, account=issuer.account, user=issuer.user,
            is_root=issuer.is_root, policies=issuer.policies, session=session,
        )  # fmt: skip
        return identity, session.secret

    def _lasting(self, access_key: str) -> tuple[Identity, str]:
        root = self._roots.get(access_key)
        if root is not None:
            return root
        held = None if access_key.startswith(PREFIX) else keys.holder(self._objects, access_key)
        if held is None or not held.key.is_active:
            raise Denied("no_such_access_key", "There is no such access key here.")
        identity = Identity(
            access_key=access_key, account=ACCOUNT, user=held.user.name,
            policies=tuple(held.user.policies.values()),
        )  # fmt: skip
        return identity, held.key.secret
