"""Rules on a store: what is due ends, never before its time, whatever happens to the index."""

import asyncio
import functools
from pathlib import Path

import msgspec

from skerry.objects import Objects, buckets, due, lifecycle, listing, store, uploads, versions
from skerry.objects.model import Versioning
from skerry.objects.rules import Rule
from skerry.objects.versions import Told
from tests.objects.place import Ground, put

S = 10**9


async def made(objects: Objects, rule: Rule | None, versioning: Versioning = "enabled") -> None:
    await buckets.make(objects, "bkt", "me")
    change = functools.partial(msgspec.structs.replace, versioning=versioning)
    await buckets.change(objects, "bkt", change)
    if rule is not None:
        await lifecycle.put_rules(objects, "bkt", [rule])


def there(objects: Objects) -> list[tuple[str, bool]]:
    """Return the keys of all versions, the newest of each first, and whether they are markers."""
    page = listing.version_page(
        objects, buckets.find(objects, "bkt"), prefix="", delimiter="", after=("", ""), limit=1000
    )
    return [(version.key, version.is_marker) for version, _ in page.versions]


def test_an_object_ends_in_its_second_and_not_before(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await made(objects, Rule(rule_id="r", expires_after_s=10), "off")
            await put(objects, "k", b"1")
            ground.clock.turn(10 * S - 1)
            await lifecycle.act(objects)
            assert there(objects) == [("k", False)]
            ground.clock.turn(1)
            await lifecycle.act(objects)
            assert there(objects) == []
            assert due.next_at_ns(objects.reader) is None

    asyncio.run(story())


def test_an_object_with_versions_gets_a_marker_and_then_all_of_it_goes(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    rule = Rule(rule_id="r", expires_after_s=10, former_after_s=5, drops_markers=False)

    async def story() -> None:
        async with ground.open() as objects:
            await made(objects, rule)
            await put(objects, "k", b"1")
            for seconds, left in ((10, 2), (5, 1), (5, 0)):
                ground.clock.turn(seconds * S)
                await lifecycle.act(objects)
                assert len(there(objects)) == left

    asyncio.run(story())


def test_only_so_many_versions_are_kept_in_the_write_itself(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await made(objects, Rule(rule_id="r", former_after_s=0, former_kept=1))
            for number in range(5):
                await put(objects, "k", b"%d" % number)
                assert len(there(objects)) == min(number + 1, 2)
            await versions.delete(objects, "bkt", "k")
            assert there(objects) == [("k", True), ("k", False)]

    asyncio.run(story())


def test_rules_that_change_are_for_what_is_there_already(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await made(objects, Rule(rule_id="r", expires_after_s=10), "off")
            for number in range(700):
                await put(objects, f"{number:03d}", b"")
            ground.clock.turn(20 * S)
            await lifecycle.put_rules(objects, "bkt", [Rule(rule_id="r", expires_after_s=30)])
            await lifecycle.act(objects)
            assert len(there(objects)) == 700
            await lifecycle.put_rules(objects, "bkt", [Rule(rule_id="r", expires_after_s=20)])
            await lifecycle.act(objects)
            assert there(objects) == []

    asyncio.run(story())


def test_who_takes_the_rules_away_keeps_the_objects(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await made(objects, Rule(rule_id="r", expires_after_s=10), "off")
            await put(objects, "k", b"1")
            await lifecycle.put_rules(objects, "bkt", None)
            ground.clock.turn(99 * S)
            await lifecycle.act(objects)
            assert there(objects) == [("k", False)]

    asyncio.run(story())


def test_uploads_end_and_a_lost_index_knows_when(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def begin() -> None:
        async with ground.open() as objects:
            await made(objects, Rule(rule_id="r", uploads_after_s=10, expires_after_s=20))
            await uploads.begin(objects, "bkt", "u", "me", Told())
            await put(objects, "k", b"1")

    async def go_on() -> None:
        async with ground.open() as objects:
            await lifecycle.act(objects)
            bucket = buckets.find(objects, "bkt")
            assert len(store.uploads_of(objects.reader, bucket.number)) == 1
            ground.clock.turn(10 * S)
            await lifecycle.act(objects)
            assert store.uploads_of(objects.reader, bucket.number) == []
            assert there(objects) == [("k", False)]
            ground.clock.turn(10 * S)
            await lifecycle.act(objects)
            assert there(objects)[0] == ("k", True)

    asyncio.run(begin())
    ground.forget_index()
    asyncio.run(go_on())


def test_the_timer_waits_for_rules_and_then_for_their_time(tmp_path: Path) -> None:
    async def story() -> None:
        ground = Ground(tmp_path)
        async with ground.open() as objects:
            await made(objects, None, "off")
            await put(objects, "k", b"1")
            keeping = asyncio.create_task(lifecycle.keep_rules(objects))
            await asyncio.sleep(0)
            ground.clock.turn(99 * S)
            await lifecycle.put_rules(objects, "bkt", [Rule(rule_id="r", expires_after_s=10)])
            while there(objects):
                await asyncio.sleep(0)
            keeping.cancel()
            await asyncio.wait([keeping])

    asyncio.run(story())


def test_what_ends_later_than_the_index_can_tell_stays(tmp_path: Path) -> None:
    async def story() -> None:
        ground = Ground(tmp_path)
        async with ground.open() as objects:
            await made(objects, Rule(rule_id="r", expires_at_ns=1 << 63))
            await put(objects, "k", b"1")
            await lifecycle.act(objects)
            assert there(objects) == [("k", False)]

    asyncio.run(story())


def test_a_marker_outlives_the_former_version_whose_place_it_takes(tmp_path: Path) -> None:
    """Versions are suspended: the marker is `null`, as the former version is that ends with it."""
    rule = Rule(rule_id="r", expires_after_s=5, former_after_s=0)

    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await made(objects, None, "off")
            await put(objects, "k", b"1")
            for versioning in ("enabled", "suspended"):
                change = functools.partial(msgspec.structs.replace, versioning=versioning)
                await buckets.change(objects, "bkt", change)
                if versioning == "enabled":
                    await put(objects, "k", b"2")
            await objects.clock.sleep_ns(5 * S)
            await lifecycle.put_rules(objects, "bkt", [rule])
            await lifecycle.act(objects)
            assert there(objects) == [("k", True)]

    asyncio.run(story())
