"""Notices: each change is told once it is durable, whatever happens to the index but its loss."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from skerry.objects import Objects, buckets, compaction, notices, outbox, versions
from skerry.objects.model import Version
from skerry.objects.notices import Subscription
from tests.objects.place import Ground, put

ALL = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*")


def wanted(**more: object) -> Subscription:
    known = {"subscription_id": "s", "target": "t", "arn": "a", "kind": "QueueConfiguration"}
    return msgspec.convert({**known, "events": ALL, **more}, Subscription)


async def subscribed(objects: Objects, *subscriptions: Subscription) -> None:
    await buckets.make(objects, "bkt", "me")
    said = notices.say_subscriptions(subscriptions or [wanted()])
    await buckets.put_setting(objects, "bkt", notices.SETTING, said)


def told(objects: Objects, target: str = "t") -> list[tuple[str, str]]:
    """Return what waits for a target: the ends of the events, and the keys."""
    waiting = outbox.waiting(objects.reader, target, 1000)
    return [(each.notice.event.partition(":")[2], each.notice.key) for each in waiting]


def tagged(version: Version, _now_ns: int) -> Version:
    return msgspec.structs.replace(version, tags={"a": "b"})


async def changed(objects: Objects) -> None:
    """Do everything once that somebody is told of."""
    await put(objects, "k", b"1")
    await versions.change(objects, "bkt", "k", None, tagged)
    await versions.change(objects, "bkt", "k", None, lambda version, _: version)
    await versions.delete(objects, "bkt", "k")
    await versions.delete(objects, "bkt", "k")
    await put(objects, "last", b"2")


TOLD = [
    ("ObjectCreated:Put", "k"), ("ObjectTagging:Put", "k"), ("ObjectRemoved:Delete", "k"),
    ("ObjectCreated:Put", "last"),
]  # fmt: skip


def test_what_happens_is_told_once_and_in_order(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open(300) as objects:
            await subscribed(objects)
            await changed(objects)
            await compaction.compact(objects)
            assert told(objects) == TOLD

    asyncio.run(story())


@pytest.mark.parametrize("ending", ["close", "set index back", "lose index"])
def test_an_index_that_is_set_back_tells_all_and_a_new_one_nothing_old(
    tmp_path: Path, ending: str
) -> None:
    ground = Ground(tmp_path / "store")
    ground.folder.mkdir()

    async def before() -> None:
        async with ground.open() as objects:
            await subscribed(objects)
        kept = ground.keep_index()
        async with ground.open() as objects:
            await changed(objects)
        if ending == "set index back":
            ground.bring_back_index(kept)
        if ending == "lose index":
            ground.forget_index()

    async def after() -> None:
        async with ground.open() as objects:
            assert told(objects) == ([] if ending == "lose index" else TOLD)
            await put(objects, "new", b"")
            assert told(objects)[-1] == ("ObjectCreated:Put", "new")

    asyncio.run(before())
    asyncio.run(after())


def test_who_wants_only_some_is_told_only_that(tmp_path: Path) -> None:
    created = "s3:ObjectCreated:Put"

    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await subscribed(
                objects, wanted(events=(created,), prefix="a/", suffix=".txt"),
                wanted(subscription_id="2", target="other", events=("s3:ObjectRemoved:*",)),
            )  # fmt: skip
            for key in ("a/1.txt", "a/2.jpg", "b/3.txt"):
                await put(objects, key, b"1")
            await versions.delete(objects, "bkt", "b/3.txt")
            assert told(objects) == [("ObjectCreated:Put", "a/1.txt")]
            assert told(objects, "other") == [("ObjectRemoved:Delete", "b/3.txt")]

    asyncio.run(story())


def test_what_was_heard_waits_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await subscribed(objects)
            await changed(objects)
            first = outbox.waiting(objects.reader, "t", 2)[-1].number
            await objects.writer.write(lambda made: outbox.told(made.connection, "t", first))
            assert told(objects) == TOLD[2:]

    asyncio.run(story())
