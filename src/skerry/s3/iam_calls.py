"""Verbs of IAM: users, their access keys, their policies.

Source: the IAM API reference. Groups, roles and policies that stand alone are not there.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

from skerry.base import Invalid
from skerry.objects import keys
from skerry.s3.access import authorize_user
from skerry.s3.call import Call, iso
from skerry.s3.errors import xml_text
from skerry.s3.policies import identity_policy
from skerry.s3.query_verbs import Verb, arn_of, number, required

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skerry.objects.model import Key, User

_PAGE_MAX = 1000


async def create_user(call: Call) -> str:
    """Make a user."""
    name = required(call, "UserName")
    authorize_user(call, "iam:CreateUser", name)
    if call.query.get("Path", "/") != "/":
        raise Invalid("bad_argument", "There are no paths here but /.")
    return f"<User>{_user(await keys.create_user(call.objects, name))}</User>"


async def get_user(call: Call) -> str:
    """Tell of a user, of who calls if none is named."""
    name = call.query.get("UserName") or call.identity.user
    authorize_user(call, "iam:GetUser", name)
    if not name:
        return (
            f"<User><Path>/</Path><UserName>{keys.ROOT}</UserName><UserId>{keys.ROOT}</UserId>"
            f"<Arn>{arn_of('')}</Arn><CreateDate>{iso(0)}</CreateDate></User>"
        )
    return f"<User>{_user(keys.find_user(call.objects, name))}</User>"


async def list_users(call: Call) -> str:
    """List users."""
    authorize_user(call, "iam:ListUsers", "*")
    limit = number(call, "MaxItems", 100, 1, _PAGE_MAX)
    found = keys.page(call.objects, call.query.get("Marker", ""), limit + 1)
    if not "/".startswith(call.query.get("PathPrefix", "/")):
        found = []
    more, found = len(found) > limit, found[:limit]
    return f"{_members('Users', map(_user, found))}{_rest(found[-1].name if more else '')}"


async def delete_user(call: Call) -> str:
    """Delete a user who has no keys and no policies."""
    name = required(call, "UserName")
    authorize_user(call, "iam:DeleteUser", name)
    await keys.delete_user(call.objects, name)
    return ""


async def create_access_key(call: Call) -> str:
    """Make an access key for a user."""
    name = _whose(call, "iam:CreateAccessKey")
    key = await keys.create_key(call.objects, name)
    secret = f"<SecretAccessKey>{key.secret}</SecretAccessKey>"
    return f"<AccessKey>{_key(key)}{secret}</AccessKey>"


async def list_access_keys(call: Call) -> str:
    """List the access keys of a user, without their secrets."""
    name = _whose(call, "iam:ListAccessKeys")
    number(call, "MaxItems", 100, 1, _PAGE_MAX)
    found = keys.of_user(call.objects, name)
    return f"{_members('AccessKeyMetadata', map(_key, found))}{_rest('')}"


async def update_access_key(call: Call) -> str:
    """Have an access key hold, or not for now."""
    name, status = _whose(call, "iam:UpdateAccessKey"), required(call, "Status")
    if status not in ("Active", "Inactive"):
        raise Invalid("bad_argument", "Status is Active or Inactive.")
    await keys.set_active(
        call.objects, name, required(call, "AccessKeyId"), is_active=status == "Active"
    )
    return ""


async def delete_access_key(call: Call) -> str:
    """Delete an access key; temporary keys that it issued end with it."""
    name = _whose(call, "iam:DeleteAccessKey")
    await keys.delete_key(call.objects, name, required(call, "AccessKeyId"))
    return ""


async def put_user_policy(call: Call) -> str:
    """Give a user a policy, in place of the one of that name."""
    name = required(call, "UserName")
    authorize_user(call, "iam:PutUserPolicy", name)
    document = required(call, "PolicyDocument").encode()
    identity_policy(document)
    await keys.put_policy(call.objects, name, required(call, "PolicyName"), document)
    return ""


async def get_user_policy(call: Call) -> str:
    """Tell a policy of a user."""
    name, policy = required(call, "UserName"), required(call, "PolicyName")
    authorize_user(call, "iam:GetUserPolicy", name)
    document = keys.find_user(call.objects, name).policies.get(policy)
    if document is None:
        raise keys.no_policy(policy)
    return (
        f"<UserName>{xml_text(name)}</UserName><PolicyName>{xml_text(policy)}</PolicyName>"
        f"<PolicyDocument>{quote(document, safe='')}</PolicyDocument>"
    )


async def delete_user_policy(call: Call) -> str:
    """Take a policy away from a user."""
    name = required(call, "UserName")
    authorize_user(call, "iam:DeleteUserPolicy", name)
    await keys.put_policy(call.objects, name, required(call, "PolicyName"), None)
    return ""


async def list_user_policies(call: Call) -> str:
    """List the names of a user's policies."""
    name = required(call, "UserName")
    authorize_user(call, "iam:ListUserPolicies", name)
    number(call, "MaxItems", 100, 1, _PAGE_MAX)
    found = sorted(keys.find_user(call.objects, name).policies)
    return f"{_members('PolicyNames', map(xml_text, found))}{_rest('')}"


def _whose(call: Call, action: str) -> str:
    """Return the user whose keys a call is about, who calls if none is named."""
    name = call.query.get("UserName") or call.identity.user
    authorize_user(call, action, name)
    if not name:
        raise Invalid("bad_argument", "Name the user: the root key has no others of its kind.")
    return name


def _user(user: User) -> str:
    digest = hashlib.sha256(f"{user.name} {user.created_at_ns}".encode()).digest()
    return (
        f"<Path>/</Path><UserName>{user.name}</UserName>"
        f"<UserId>AIDA{base64.b32encode(digest)[:17].decode()}</UserId>"
        f"<Arn>{arn_of(user.name)}</Arn><CreateDate>{iso(user.created_at_ns)}</CreateDate>"
    )


def _key(key: Key) -> str:
    status = "Active" if key.is_active else "Inactive"
    return (
        f"<UserName>{key.user}</UserName><AccessKeyId>{key.access_key}</AccessKeyId>"
        f"<Status>{status}</Status><CreateDate>{iso(key.created_at_ns)}</CreateDate>"
    )


def _members(name: str, members: Iterable[str]) -> str:
    return f"<{name}>{''.join(f'<member>{each}</member>' for each in members)}</{name}>"


def _rest(marker: str) -> str:
    if not marker:
        return "<IsTruncated>false</IsTruncated>"
    return f"<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>"


_OF_USER = frozenset({"UserName"})
_PAGED = frozenset({"Marker", "MaxItems"})
VERBS = {
    "CreateUser": Verb(create_user, _OF_USER | {"Path"}),
    "GetUser": Verb(get_user, _OF_USER),
    "ListUsers": Verb(list_users, _PAGED | {"PathPrefix"}),
    "DeleteUser": Verb(delete_user, _OF_USER),
    "CreateAccessKey": Verb(create_access_key, _OF_USER),
    "ListAccessKeys": Verb(list_access_keys, _OF_USER | _PAGED),
    "UpdateAccessKey": Verb(update_access_key, _OF_USER | {"AccessKeyId", "Status"}),
    "DeleteAccessKey": Verb(delete_access_key, _OF_USER | {"AccessKeyId"}),
    "PutUserPolicy": Verb(put_user_policy, _OF_USER | {"PolicyName", "PolicyDocument"}),
    "GetUserPolicy": Verb(get_user_policy, _OF_USER | {"PolicyName"}),
    "DeleteUserPolicy": Verb(delete_user_policy, _OF_USER | {"PolicyName"}),
    "ListUserPolicies": Verb(list_user_policies, _OF_USER | _PAGED),
}
