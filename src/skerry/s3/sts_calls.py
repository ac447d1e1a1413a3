"""Verbs of STS: temporary keys, and who calls.

Source: the STS API reference. There are no roles: whoever has a key may issue temporary ones, which
may do what that key may and what the policy of the session allows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skerry.base import Denied, Invalid
from skerry.s3.access import check_not_denied
from skerry.s3.call import Call, iso
from skerry.s3.errors import xml_text
from skerry.s3.policies import identity_policy
from skerry.s3.query_verbs import ACCOUNT_ID, Verb, arn_of, number
from skerry.s3.sessions import LIFETIME_S_MAX, LIFETIME_S_MIN

if TYPE_CHECKING:
    from skerry.s3.sessions import Credentials

_LIFETIME_S = 3600  # of a role, where none is asked for, as AWS has it
_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


async def assume_role(call: Call) -> str:
    """Issue a temporary key for the role that the caller's own key is."""
    name = call.query.get("RoleSessionName", "session")
    if _NAME.fullmatch(name) is None:
        raise Invalid("bad_session_name", "RoleSessionName has 2 to 64 letters, digits and +=,.@-_")
    policy = call.query.get("Policy", "").encode() or None
    if policy is not None:
        identity_policy(policy)
    made = _issued(call, "sts:AssumeRole", policy, _LIFETIME_S, name)
    arn = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{call.identity.user or 'root'}/{name}"
    return (
        f"{_credentials(made)}<AssumedRoleUser><AssumedRoleId>{made.access_key}:{name}"
        f"</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>"
    )


async def get_session_token(call: Call) -> str:
    """Issue a temporary key that may do what the caller's own may."""
    return _credentials(_issued(call, "sts:GetSessionToken", None, LIFETIME_S_MAX, ""))


async def get_caller_identity(call: Call) -> str:
    """Tell who calls."""
    identity = call.identity
    arn = arn_of(identity.user)
    if identity.session is not None and identity.session.name:
        arn = (
            f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{identity.user or 'root'}/"
            f"{identity.session.name}"
        )
    return (
        f"<Arn>{arn}</Arn><UserId>{xml_text(identity.access_key)}</UserId>"
        f"<Account>{ACCOUNT_ID}</Account>"
    )


def _issued(
    call: Call, action: str, policy: bytes | None, lifetime_s: int, name: str
) -> Credentials:
    identity = call.identity
    if identity.session is not None:
        raise Denied("access_denied", "A temporary key issues no others. Use the one it is of.")
    check_not_denied(call, action)
    lifetime_s = number(call, "DurationSeconds", lifetime_s, LIFETIME_S_MIN, LIFETIME_S_MAX)
    return call.keyring.sessions.issue(
        identity.account, identity.access_key, policy, lifetime_s, name
    )


def _credentials(made: Credentials) -> str:
    return (
        f"<Credentials><AccessKeyId>{made.access_key}</AccessKeyId>"
        f"<SecretAccessKey>{made.secret}</SecretAccessKey>"
        f"<SessionToken>{made.session_token}</SessionToken>"
        f"<Expiration>{iso(made.expires_at_s * 10**9)}</Expiration></Credentials>"
    )


VERBS = {
    "AssumeRole": Verb(
        assume_role,
        frozenset({"RoleArn", "RoleSessionName", "Policy", "DurationSeconds", "ExternalId"}),
    ),
    "GetSessionToken": Verb(get_session_token, frozenset({"DurationSeconds"})),
    "GetCallerIdentity": Verb(get_caller_identity),
}
