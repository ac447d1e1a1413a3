"""The course of a clean, on a bucket in memory that may fail after any request."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import NotAvailable
from skerry.remotes.clean_plan import Rules, Upload, Version
from skerry.remotes.cleaning import Amount, Clean, Pace
from skerry.testing.clock import HandClock

Bucket = dict[str, list[Version]]


class MemoryShelf:
    """A bucket that breaks after so many requests, and whose owner writes on meanwhile."""

    name = "bkt"

    def __init__(
        self, bucket: Bucket, requests: int, at_once: int = 2, locked: str = "", busy: str = ""
    ) -> None:
        self.at_once = at_once
        self._bucket = bucket
        self._left = requests
        self._locked = locked
        self._busy = busy
        self._turn = threading.Lock()

    def _request(self) -> None:
        if not self._left:
            raise NotAvailable("remote_unreachable", "It broke.")
        self._left -= 1
        if self._busy in self._bucket:
            write(self._bucket, self._busy, is_marker=False)

    def version_pages(self, prefix: str) -> Iterator[Sequence[Version]]:
        for key in sorted(self._bucket):
            with self._turn:
                self._request()
                found = [*self._bucket[key]]
            yield found[:1]  # so that a key goes on over pages
            yield found[1:]

    def upload_pages(self, prefix: str) -> Iterator[Sequence[Upload]]:
        yield []

    def upload_bytes(self, upload: Upload) -> int:
        return 0

    def delete(self, versions: Sequence[Version]) -> dict[Version, str]:
        assert len(versions) <= self.at_once
        with self._turn:
            self._request()
            gone = {each.version_id for each in versions if each.key != self._locked}
            for each in versions:
                there = self._bucket[each.key]
                there[:] = [one for one in there if one.version_id not in gone]
        return {each: "it is locked" for each in versions if each.key == self._locked}

    def cancel(self, upload: Upload) -> str | None:
        return None


def write(bucket: Bucket, key: str, *, is_marker: bool) -> None:
    """Put a version, or a marker, on top of a key."""
    there = bucket.setdefault(key, [])
    hidden = [
        Version(
            key=key, version_id=each.version_id, is_latest=False, is_marker=each.is_marker,
            size_bytes=1, modified_at_ns=each.modified_at_ns,
        )
        for each in there
    ]  # fmt: skip
    moment = max((each.modified_at_ns for each in there), default=0) + 1
    there[:] = [
        Version(
            key=key, version_id=f"{key}{moment}", is_latest=True, is_marker=is_marker,
            size_bytes=1, modified_at_ns=moment,
        ),
        *hidden,
    ]  # fmt: skip


def bucket_of(writes: list[tuple[str, bool]]) -> Bucket:
    made: Bucket = {}
    for key, is_marker in writes:
        write(made, key, is_marker=is_marker)
    return made


def cleaned(shelf: MemoryShelf) -> Amount:
    clean = Clean(shelf=shelf, rules=Rules(), pace=Pace(HandClock(), 1000), watcher=lambda _: None)
    return asyncio.run(clean.carry_out())


def readable(bucket: Bucket) -> dict[str, str]:
    """Return what readers see: the current version of each key that is not deleted."""
    return {
        key: there[0].version_id
        for key, there in bucket.items()
        if there and not there[0].is_marker
    }


writes_of_few_keys = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=25)


@given(writes_of_few_keys, st.integers(0, 12), st.integers(1, 3))
def test_a_clean_may_break_anywhere_and_be_begun_again(
    writes: list[tuple[str, bool]], requests: int, at_once: int
) -> None:
    bucket = bucket_of(writes)
    before = readable(bucket)
    try:
        cleaned(MemoryShelf(bucket, requests, at_once))
    except NotAvailable:
        assert readable(bucket) == before
    cleaned(MemoryShelf(bucket, 1000, at_once))

    assert readable(bucket) == before
    assert {key: len(there) for key, there in bucket.items() if there} == dict.fromkeys(before, 1)


@given(writes_of_few_keys)
def test_what_is_written_meanwhile_stays(writes: list[tuple[str, bool]]) -> None:
    bucket = bucket_of([*writes, ("a", False)])
    before = readable(bucket)

    cleaned(MemoryShelf(bucket, 1000, busy="a"))

    after = readable(bucket)
    assert int(after["a"][1:]) > int(before["a"][1:])
    assert {**after, "a": ""} == {**before, "a": ""}


@given(writes_of_few_keys)
def test_what_is_locked_hides_on(writes: list[tuple[str, bool]]) -> None:
    bucket = bucket_of(writes)
    before = readable(bucket)
    there = [*bucket.get("b", [])]

    cleaned(MemoryShelf(bucket, 1000, locked="b"))

    assert readable(bucket) == before
    assert bucket.get("b", []) == there


def test_one_error_ends_all_that_is_under_way() -> None:
    bucket = bucket_of([(key, False) for key in "abc" for _ in range(40)])

    with pytest.raises(NotAvailable):
        cleaned(MemoryShelf(bucket, 5, at_once=1))
    assert sum(len(there) for there in bucket.values()) >= 120 - 5
