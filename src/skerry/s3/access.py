"""Who may do what: the root key everything, others what policies and a bucket's owner let them.

As at AWS within one account: a denial anywhere wins; else the policies of the user or that of the
bucket must allow it; and a temporary key also needs leave of its own policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.base import Denied
from skerry.s3.call import bucket_of
from skerry.s3.cors import may_send, rules_of
from skerry.s3.policies import ARN, EVERYTHING, Asking, Verdict, read_policy
from skerry.s3.request_values import RequestValues

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skerry.objects.model import Bucket
    from skerry.s3.call import Call

ANONYMOUS = "anonymous"
"""The setting of a bucket that says what everybody may do with it."""

POLICY = "policy"
"""The setting of a bucket that is its policy."""

ACCESS_BLOCK = "public_access_block"
"""The setting of a bucket that names what of it holds, with commas."""

BLOCKS, RESTRICTS = "BlockPublicPolicy", "RestrictPublicBuckets"
"""In an access block: policies for everybody are refused; what allows everybody is not heeded."""

USER_ARN = "arn:aws:iam::000000000000:user/"
_READS = frozenset({"s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"})
_WRITES = frozenset({"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"})
# As in the policy that MinIO calls public: who may put something else may also delete.
_DELETES = frozenset({"s3:DeleteObject"})
_ALLOWED = {b"public": _READS | _WRITES | _DELETES, b"download": _READS, b"upload": _WRITES}

_OF_A_VERSION = {
    "s3:GetObject": "s3:GetObjectVersion",
    "s3:DeleteObject": "s3:DeleteObjectVersion",
    "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
    "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
    "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
    "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
    "s3:PutObjectAcl": "s3:PutObjectVersionAcl",
    "s3:GetObjectAttributes": "s3:GetObjectVersionAttributes",
}
_BY_HEADER = {
    "x-amz-tagging": "s3:PutObjectTagging",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "s3:PutObjectRetention",
    "x-amz-object-lock-legal-hold": "s3:PutObjectLegalHold",
}
BYPASS = "s3:BypassGovernanceRetention"
_BYPASSING = frozenset({"s3:DeleteObject", "s3:PutObjectRetention"})


def authorize(call: Call, action: str) -> None:
    """Return if who calls may do what a call is, with all that its headers ask for beside it.

    action: as policies name it, such as s3:GetObject. Raises Denied(access_denied).
    """
    if call.identity.may_everything:
        return
    if call.identity.is_anonymous and call.request.method == "POST":
        _check_page(call)
    version_id = call.query.get("versionId", "")
    authorize_object(call, action, call.bucket, call.key, version_id)
    if action == "s3:GetObjectAttributes":
        authorize_object(call, "s3:GetObject", call.bucket, call.key, version_id)
    if action == "s3:PutObject":
        for other in sorted({_BY_HEADER[name] for name in _BY_HEADER if call.header(name)}):
            authorize_object(call, other, call.bucket, call.key)
    if action in _BYPASSING and bypasses_governance(call):
        authorize_object(call, BYPASS, call.bucket, call.key)


def _check_page(call: Call) -> None:
    """Raise where a page of others has its visitor's browser write what everybody may write."""
    origin, host = call.header("origin"), call.header("host") or ""
    if origin is None:
        return
    if not may_send(rules_of(bucket_of(call).settings), origin, host, call.request.method):
        raise Denied(
            "cors_forbidden",
            "A page of another origin needs a signature, or a CORS rule of the bucket for POST.",
        )


def authorize_object(
    call: Call, action: str, bucket: str, key: str, version_id: str = "",
    tags: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Return if who calls may do something with an object or, without a key, with a bucket.

    tags: those that it is to get, where they are not in a header. Raises Denied(access_denied).
    """
    if call.identity.may_everything:
        return
    action = _OF_A_VERSION.get(action, action) if version_id else action
    if not _may(call, action, bucket, key, version_id, tags):
        raise _denied(action)


def may_object(call: Call, action: str, bucket: str, key: str, version_id: str = "") -> bool:
    """Tell whether who calls may do something with an object."""
    try:
        authorize_object(call, action, bucket, key, version_id)
    except Denied:
        return False
    return True


def check_hope(call: Call) -> None:
    """Return unless nobody without a key could do more here, before any of a body is read.

    Raises Denied(access_denied), NotFound(no_such_bucket).
    """
    if call.identity.is_anonymous and POLICY not in bucket_of(call).settings:
        raise Denied("access_denied", "Nobody may do that without an access key.")


def may_list(call: Call) -> bool:
    """Tell whether who calls may know which objects there are."""
    return call.identity.may_everything or _may(call, "s3:ListBucket", call.bucket, "", "", None)


def bypasses_governance(call: Call) -> bool:
    """Tell whether a call asks to delete what is locked for governance."""
    return (call.header("x-amz-bypass-governance-retention") or "").lower() == "true"


def authorize_user(call: Call, action: str, user: str) -> None:
    """Return if who calls may do something with a user, or with all of them where user is `*`.

    Raises Denied(access_denied).
    """
    if call.identity.may_everything:
        return
    looked = Asking(_names(call), action, f"{USER_ARN}{user}", RequestValues(call).of)
    if not _allows(call, looked, None):
        raise _denied(action)


def check_not_denied(call: Call, action: str) -> None:
    """Return if no policy of who calls denies what all may else. Raises Denied(access_denied)."""
    looked = Asking(_names(call), action, "*", RequestValues(call).of)
    if any(read_policy(each).verdict(looked) == "deny" for each in _own_policies(call)):
        raise _denied(action)


def _denied(action: str) -> Denied:
    return Denied("access_denied", f"This access key may not {action}.")


def _may(
    call: Call, action: str, name: str, key: str, version_id: str,
    tags: Mapping[str, str] | None,
) -> bool:  # fmt: skip
    resource = f"{ARN}{name}/{key}" if key else f"{ARN}{name}" if name else EVERYTHING
    values = RequestValues(call, name, key, version_id, tags)
    looked = Asking(_names(call), action, resource, values.of)
    return _allows(call, looked, values.bucket)


def _allows(call: Call, looked: Asking, bucket: Bucket | None) -> bool:
    identity = call.identity
    verdicts = [read_policy(each).verdict(looked) for each in identity.policies]
    if bucket is not None and not identity.is_root:
        verdicts += _of_bucket(bucket, looked)
    if "deny" in verdicts:
        return False
    policy = identity.session.policy if identity.session is not None else None
    if policy is not None and read_policy(policy).verdict(looked) != "allow":
        return False
    return identity.is_root or "allow" in verdicts


def _of_bucket(bucket: Bucket, looked: Asking) -> list[Verdict]:
    """Return what a bucket's policy and setting say; its access block leaves denials alone."""
    verdicts: list[Verdict] = []
    document = bucket.settings.get(POLICY)
    if document is not None:
        verdicts.append(read_policy(document).verdict(looked))
    if looked.action in _ALLOWED.get(bucket.settings.get(ANONYMOUS, b""), frozenset()):
        verdicts.append("allow")
    block = bucket.settings.get(ACCESS_BLOCK, b"").decode().split(",")
    is_restricted = not looked.names and RESTRICTS in block
    return [each for each in verdicts if not (is_restricted and each == "allow")]


def _own_policies(call: Call) -> Sequence[bytes]:
    identity = call.identity
    policy = identity.session.policy if identity.session is not None else None
    return identity.policies if policy is None else (*identity.policies, policy)


def _names(call: Call) -> frozenset[str]:
    identity = call.identity
    issuer = identity.session.issuer if identity.session is not None else ""
    return frozenset({identity.user, identity.access_key, issuer} - {""})
