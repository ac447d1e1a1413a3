"""Operations of S3 that are known here and not built yet: they answer 501 with their names."""

from skerry.s3.router import On, Operation


def _each(on: On, words: dict[str, str], methods: dict[str, str]) -> list[Operation]:
    return [
        Operation(name=f"{verb}{noun}", method=method, on=on, handler=None, query={query: ""})
        for query, noun in words.items()
        for method, verb in methods.items()
    ]


_ALL = {"GET": "Get", "PUT": "Put", "DELETE": "Delete"}
_BUCKET = {
    "cors": "BucketCors", "policy": "BucketPolicy", "tagging": "BucketTagging",
    "lifecycle": "BucketLifecycleConfiguration", "encryption": "BucketEncryption",
    "website": "BucketWebsite", "replication": "BucketReplication",
    "ownershipControls": "BucketOwnershipControls", "publicAccessBlock": "PublicAccessBlock",
    "notification": "BucketNotificationConfiguration", "object-lock": "ObjectLockConfiguration",
    "logging": "BucketLogging", "accelerate": "BucketAccelerateConfiguration",
    "requestPayment": "BucketRequestPayment", "acl": "BucketAcl",
    "analytics": "BucketAnalyticsConfiguration", "inventory": "BucketInventoryConfiguration",
    "metrics": "BucketMetricsConfiguration", "policyStatus": "BucketPolicyStatus",
    "intelligent-tiering": "BucketIntelligentTieringConfiguration",
}  # fmt: skip
_OBJECT = {
    "acl": "ObjectAcl", "retention": "ObjectRetention", "legal-hold": "ObjectLegalHold",
    "torrent": "ObjectTorrent",
}  # fmt: skip
UNBUILT = (
    *_each("bucket", _BUCKET, _ALL),
    *_each("object", _OBJECT, {"GET": "Get", "PUT": "Put"}),
    *_each("object", {"select": "ObjectContent"}, {"POST": "Select"}),
    *_each("object", {"restore": "Object"}, {"POST": "Restore"}),
    Operation(name="PostObject", method="POST", on="bucket", handler=None),
)
