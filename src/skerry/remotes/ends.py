"""The remote end of a copy: what lies below a prefix of a bucket."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skerry.base import Invalid
from skerry.remotes.model import Place
from skerry.remotes.s3 import S3, pages, told
from skerry.remotes.sync_plan import Item
from skerry.remotes.trees import Tree

_DELETE_AT_ONCE = 1000  # as many as S3 takes in one request
_MICROSECOND_NS = 1000


@dataclass(frozen=True, slots=True)
class Prefix:
    """Objects whose keys begin with prefix, which is empty or ends with a slash."""

    client: S3
    place: Place

    @classmethod
    def at(cls, client: S3, place: Place) -> "Prefix":
        """Return what is below a place. Raises Invalid(bad_address)."""
        if not place.bucket:
            raise Invalid("bad_address", f"{place} names no bucket. Write BUCKET/KEY.")
        key = f"{place.key.rstrip('/')}/" if place.key else ""
        return cls(client, Place(place.remote, place.bucket, key))

    def of(self, key: str) -> Place:
        """Return the place of what has that key below the prefix."""
        return Place(self.place.remote, self.place.bucket, self.place.key + key)

    def items(self) -> Iterator[Item]:
        """Yield all objects but the markers of folders. Raises as `told`."""
        skip = len(self.place.key)
        for page in pages(
            self.client, "list_objects_v2", Bucket=self.place.bucket, Prefix=self.place.key
        ):
            for each in page.get("Contents", ()):
                if not each["Key"].endswith("/"):
                    yield item_of(each, each["Key"][skip:])

    def delete(self, keys: list[str]) -> list[str]:
        """Delete objects; return which were not, each with the reason. Raises as `told`."""
        places = [self.of(key) for key in keys]
        refused: list[str] = []
        for start in range(0, len(places), _DELETE_AT_ONCE):
            some = places[start : start + _DELETE_AT_ONCE]
            refused += delete_objects(
                self.client, self.place.bucket, [{"Key": each.key} for each in some]
            )
        return refused


def delete_objects(client: S3, bucket: str, named: list[dict[str, str]]) -> list[str]:
    """Delete what at most 1,000 names say; return what was not, each with the reason.

    Raises as `told`.
    """
    with told(bucket):
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": True})
    return [f"{each.get('Key')}: {each.get('Message')}" for each in answer.get("Errors", ())]


def item_of(told_of: Mapping[str, Any], key: str) -> Item:
    """Return what a listing tells of an object."""
    return Item(
        key, int(told_of["Size"]), moment_ns(told_of["LastModified"]), told_of.get("ETag", "")
    )


def moment_ns(moment: Any) -> int:  # noqa: ANN401 - a datetime of botocore's
    """Return a time that botocore has read, in nanoseconds since 1970."""
    return round(moment.timestamp() * 10**6) * _MICROSECOND_NS


def items_of(tree: Tree) -> Iterator[Item]:
    """Yield all files of a tree. Raises OSError."""
    return (Item(each.key, each.size_bytes, each.modified_at_ns) for each in tree.files())
