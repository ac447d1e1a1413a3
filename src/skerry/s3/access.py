"""Who may do what: an access key everything, everybody what a bucket's owner lets them."""

from skerry.base import NotFound
from skerry.objects import Objects, buckets
from skerry.s3.call import Identity

ANONYMOUS = "anonymous"
"""The setting of a bucket that says what everybody may do with it."""

_READS = frozenset({"s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"})
_WRITES = frozenset({"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"})
# As in the policy that MinIO calls public: who may put something else may also delete.
_DELETES = frozenset({"s3:DeleteObject"})
_ALLOWED = {b"public": _READS | _WRITES | _DELETES, b"download": _READS, b"upload": _WRITES}


def may(objects: Objects, identity: Identity, action: str, bucket: str) -> bool:
    """Tell whether somebody may do something with a bucket, or with all of them.

    action: as policies name it, such as s3:GetObject.
    """
    if not identity.is_anonymous:
        return True
    if not bucket:
        return False
    try:
        setting = buckets.find(objects, bucket).settings.get(ANONYMOUS, b"")
    except NotFound:
        return False
    return action in _ALLOWED.get(setting, frozenset())
