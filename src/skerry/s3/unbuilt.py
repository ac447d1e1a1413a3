"""Operations of S3 that are known here and not built yet: they answer 501 with their names."""

from skerry.s3.router import On, Operation


def _each(on: On, words: dict[str, str], methods: dict[str, str]) -> list[Operation]:
    return [
        Operation(name=f"{verb}{noun}", method=method, on=on, handler=None, query={query: ""})
        for query, noun in words.items()
        for method, verb in methods.items()
    ]


_SET = {"PUT": "Put", "DELETE": "Delete"}
_ALL = {"GET": "Get", **_SET}
_SETTINGS = {"replication": "BucketReplication"}
_ONLY_PUT = {
    "logging": "BucketLogging",
}  # fmt: skip
_LISTED = {
    "analytics": "BucketAnalyticsConfiguration", "inventory": "BucketInventoryConfiguration",
    "metrics": "BucketMetricsConfiguration",
    "intelligent-tiering": "BucketIntelligentTieringConfiguration",
}  # fmt: skip
UNBUILT = (
    *_each("bucket", _SETTINGS, _SET),
    *_each("bucket", _ONLY_PUT, {"PUT": "Put"}),
    *_each("bucket", _LISTED, _ALL),
    *_each("object", {"torrent": "ObjectTorrent"}, {"GET": "Get"}),
    *_each("object", {"select": "ObjectContent"}, {"POST": "Select"}),
    *_each("object", {"restore": "Object"}, {"POST": "Restore"}),
)  # fmt: skip
