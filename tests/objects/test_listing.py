"""Pages of a listing, against what a plain loop over all keys finds."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skerry.objects import buckets, listing, uploads
from skerry.objects.versions import Told
from tests.objects.place import Ground, put

# Folders among them, whose key is the prefix that is asked for.
letters = st.text("a/-ü", min_size=1, max_size=4) | st.sampled_from(["a/", "a//", "a/-", "a/a/"])


def expected(
    keys: list[str], prefix: str, delimiter: str, *, tells_again: bool = False
) -> list[str]:
    """Return what is told of keys, in order, prefixes among them, each of these once."""
    told: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        each = key if at < 0 else key[: at + len(delimiter)]
        if each not in told or (at < 0 and tells_again):
            told.append(each)
    return told


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(letters, unique=True, max_size=12), st.sampled_from(["", "a", "a/", "ü"]),
    st.sampled_from(["", "/", "-", "a/"]), st.integers(1, 4),
)  # fmt: skip
@example(["a/", "a/-", "a/a/", "a/a/ü"], "a/", "/", 1)
def test_pages_tell_each_key_or_prefix_once_and_in_order(
    keys: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    async def story(folder: str) -> tuple[list[str], list[str]]:
        async with Ground(Path(folder)).open() as objects:
            bucket = await buckets.make(objects, "bkt", "me")
            for key in keys:
                await put(objects, key, b"")
            told, after = list[str](), ""
            while True:
                page = listing.page(
                    objects, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
                )
                both = [*page.prefixes, *(version.key for version in page.versions)]
                assert len(both) <= limit
                told += sorted(both, key=str.encode)
                if page.next is None:
                    break
                after = page.next
            versions, marks = list[str](), ("", "")
            while True:
                found = listing.version_page(
                    objects, bucket, prefix=prefix, delimiter=delimiter, after=marks, limit=limit
                )
                both = [*found.prefixes, *(version.key for version, _ in found.versions)]
                versions += sorted(both, key=str.encode)
                if found.next is None:
                    return told, versions
                marks = found.next

    with TemporaryDirectory() as folder:
        told, versions = asyncio.run(story(folder))
    assert told == versions == expected(keys, prefix, delimiter)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(letters, max_size=12), st.sampled_from(["", "a", "a/", "ü"]),
    st.sampled_from(["", "/", "-", "a/"]), st.integers(1, 4),
)  # fmt: skip
@example(["a/", "a/", "a/-", "b", "b"], "", "/", 1)
def test_pages_tell_each_upload_once_and_in_order(
    keys: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    async def story(folder: str) -> list[str]:
        async with Ground(Path(folder)).open() as objects:
            bucket = await buckets.make(objects, "bkt", "me")
            for key in keys:
                await uploads.begin(objects, "bkt", key, "me", Told())
            told, after = list[str](), ("", "")
            while True:
                page = listing.upload_page(
                    objects, bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
                )
                both = [*page.prefixes, *(upload.key for upload in page.uploads)]
                assert len(both) <= limit
                told += sorted(both, key=str.encode)
                if page.next is None:
                    return told
                after = page.next

    with TemporaryDirectory() as folder:
        told = asyncio.run(story(folder))
    assert told == expected(keys, prefix, delimiter, tells_again=True)
