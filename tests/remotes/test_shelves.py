"""The contract of a shelf, on our own store by S3 and on B2's own simulator by B2's API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.base import NotFound
from skerry.remotes.clean_plan import Rules, Version
from skerry.remotes.cleaning import Amount, Clean, Pace
from skerry.remotes.s3_shelf import S3Shelf
from skerry.remotes.shelf import Shelf
from skerry.testing.clock import HandClock
from tests.remotes.place import shore
from tests.remotes.wards import S3Ward, Ward, b2_ward


@pytest.fixture(params=["s3", "b2"])
def ward(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ward]:
    if request.param == "s3":
        with shore(tmp_path) as made:
            made.bucket(versions=True)
            yield S3Ward(made)
    else:
        yield b2_ward()


def cleaned(shelf: Shelf, prefix: str = "") -> tuple[Amount, Amount]:
    """Clean; return what would go and what has gone."""
    clean = Clean(
        shelf=shelf, rules=Rules(), prefix=prefix, pace=Pace(HandClock(), 1000),
        watcher=lambda _: None,
    )  # fmt: skip

    async def run() -> tuple[Amount, Amount]:
        return await clean.survey(), await clean.carry_out()

    return asyncio.run(run())


def left(shelf: Shelf) -> list[Version]:
    return [version for page in shelf.version_pages("") for version in page]


def test_versions_come_by_key_and_the_newest_first(ward: Ward) -> None:
    for data in (b"1", b"22", b"333"):
        ward.put("b", data)
    ward.hide("b")
    ward.put("a", b"x")
    shelf: Any = ward.shelf()
    shelf.page = 2
    found = left(shelf)

    assert [(v.key, v.size_bytes) for v in found] == [
        ("a", 1),
        ("b", 0),
        ("b", 3),
        ("b", 2),
        ("b", 1),
    ]
    assert [v.is_latest for v in found] == [True, True, False, False, False]
    assert [v.is_marker for v in found] == [False, True, False, False, False]


def test_a_clean_leaves_what_is_current(ward: Ward) -> None:
    for data in (b"1", b"22", b"333"):
        ward.put("kept", data)
        ward.put("hidden", data)
    ward.hide("hidden")
    ward.begin("unfinished")

    would, gone = cleaned(ward.shelf())

    for amount in (would, gone):
        counted = (amount.versions, amount.markers, amount.uploads, amount.size_bytes)
        assert counted == (5, 1, 1, 3 + 6 + 5)
    assert ward.read("kept") == b"333"
    assert [v.key for v in left(ward.shelf())] == ["kept"]
    assert cleaned(ward.shelf())[0].is_nothing


def test_only_keys_with_the_prefix_are_cleaned(ward: Ward) -> None:
    for key in ("a/1", "b/1"):
        ward.put(key, b"1")
        ward.put(key, b"2")

    assert cleaned(ward.shelf(), prefix="b/")[1].versions == 1
    assert [v.key for v in left(ward.shelf())] == ["a/1", "a/1", "b/1"]


def test_a_version_that_is_gone_already_is_no_failure(ward: Ward) -> None:
    ward.put("a", b"1")
    ward.put("a", b"2")
    shelf = ward.shelf()
    hidden = [each for each in left(shelf) if not each.is_latest]

    assert shelf.delete(hidden) == {}
    assert shelf.delete(hidden) == {}
    assert ward.read("a") == b"2"


def test_an_upload_that_is_cancelled_already_is_no_failure(ward: Ward) -> None:
    ward.begin("a")
    shelf = ward.shelf()
    (upload,) = [each for page in shelf.upload_pages("") for each in page]

    assert shelf.upload_bytes(upload) == 5
    assert shelf.cancel(upload) is None
    assert [*shelf.upload_pages("")] == [[]]


def test_what_came_after_the_listing_is_left_alone(ward: Ward) -> None:
    ward.put("a", b"1")
    ward.put("a", b"2")
    shelf = ward.shelf()
    hidden = [each for each in left(shelf) if not each.is_latest]
    ward.put("a", b"3")
    ward.hide("a")

    shelf.delete(hidden)

    assert [v.is_marker for v in left(shelf)] == [True, False, False]


def test_a_bucket_that_is_not_there_is_not_found(ward: Ward) -> None:
    with pytest.raises(NotFound):
        ward.shelf("nix")


def test_what_is_locked_is_told_and_its_marker_stays(tmp_path: Path) -> None:
    with shore(tmp_path) as store:
        store.client.create_bucket(Bucket="bkt", ObjectLockEnabledForBucket=True)
        for key in ("locked", "other"):
            version = store.put(key)
            store.client.delete_object(Bucket="bkt", Key=key)
            if key == "locked":
                store.client.put_object_legal_hold(
                    Bucket="bkt", Key=key, VersionId=version, LegalHold={"Status": "ON"}
                )

        _, gone = cleaned(S3Shelf(store.client, "bkt"))

        assert (gone.versions, gone.markers, gone.refused) == (1, 1, 1)
        assert gone.reasons[0].startswith("locked")
        assert [v.is_marker for v in left(S3Shelf(store.client, "bkt"))] == [True, False]


def test_versions_without_an_id_stay_while_versioning_is_off(tmp_path: Path) -> None:
    with shore(tmp_path) as store:
        store.bucket()
        store.put("a")
        for status in ("Enabled", "Suspended"):
            store.client.put_bucket_versioning(
                Bucket="bkt", VersioningConfiguration={"Status": status}
            )
            if status == "Enabled":
                store.put("a", b"new")
        assert cleaned(S3Shelf(store.client, "bkt"))[1].is_nothing
        store.client.put_bucket_versioning(
            Bucket="bkt", VersioningConfiguration={"Status": "Enabled"}
        )

        assert cleaned(S3Shelf(store.client, "bkt"))[1].versions == 1
        assert store.get("a") == b"new"


def test_no_more_requests_are_made_than_were_asked_for() -> None:
    clock = HandClock(0)
    pace = Pace(clock, 5)

    async def run() -> None:
        for _ in range(11):
            await pace.turn()

    asyncio.run(run())

    assert clock.now_ns() == 2 * 10**9
