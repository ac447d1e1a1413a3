"""The store against a dictionary, with power cuts, a lost index and an index that was set back."""

import asyncio
import functools
import hashlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry.base import Conflict, Failed, LimitReached, NotAvailable, NotFound, SkerryError
from skerry.objects import Objects, buckets, compaction, listing, reading, store, uploads, versions
from skerry.objects.model import NULL_VERSION, Part, Piece, Version, Versioning
from skerry.objects.records import crc_of, hear
from skerry.objects.usage import Usage
from skerry.objects.versions import Condition, Told
from skerry.testing.object_disk import PowerCut, SimulatedDisk
from tests.objects.place import Ground, get, put, put_big

KEYS = ("a", "a/b", "ü")
OTHER = b"a part that is not wanted"
BUCKETS = ("bkt", "bkt", "bkt", "other")


@dataclass
class Model:
    """What there should be: of each bucket and key the versions, the newest last; None: a marker.

    tags: of versions, by bucket, key and id. uploads: those under way, with the bytes of part 1.
    """

    buckets: dict[str, dict[str, list[tuple[str, bytes | None]]]] = field(default_factory=dict)
    versioning: dict[str, Versioning] = field(default_factory=dict)
    tags: dict[tuple[str, str, str], str] = field(default_factory=dict)
    uploads: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def put(self, bucket: str, key: str, version_id: str, data: bytes | None) -> None:
        there = self.buckets[bucket].setdefault(key, [])
        there[:] = [each for each in there if each[0] != version_id]
        there.append((version_id, data))
        self.tags.pop((bucket, key, version_id), None)

    def drop(self, bucket: str, key: str, version_id: str) -> None:
        there = self.buckets[bucket].get(key, [])
        there[:] = [each for each in there if each[0] != version_id]


async def step(objects: Objects, model: Model, op: tuple[Any, ...]) -> None:
    """Do one thing to the store, then to the model."""
    verb, bucket, *more = op
    if verb == "make" and bucket not in model.buckets:
        await buckets.make(objects, bucket, "me")
        model.buckets[bucket], model.versioning[bucket] = {}, "off"
    elif verb == "make":
        with pytest.raises(Conflict):
            await buckets.make(objects, bucket, "me")
    elif bucket not in model.buckets:
        with pytest.raises(NotFound):
            await put(objects, "k", b"", bucket)
    else:
        await VERBS[verb](objects, model, bucket, *more)


async def _version(objects: Objects, model: Model, bucket: str, versioning: Versioning) -> None:
    if versioning != "off":
        changed = functools.partial(msgspec.structs.replace, versioning=versioning)
        await buckets.change(objects, bucket, changed)
        model.versioning[bucket] = versioning


async def _put(
    objects: Objects,
    model: Model,
    bucket: str,
    key: str,
    data: bytes,
    is_big: bool,  # noqa: FBT001 - a case gives it
) -> None:
    made = await (put_big if is_big else put)(objects, key, data, bucket)
    model.put(bucket, key, made.version_id, data)


async def _delete(objects: Objects, model: Model, bucket: str, key: str) -> None:
    done = await versions.delete(objects, bucket, key)
    if model.versioning[bucket] == "off":
        model.drop(bucket, key, NULL_VERSION)
    else:
        assert done.version_id is not None
        model.put(bucket, key, done.version_id, None)


async def _drop(objects: Objects, model: Model, bucket: str, key: str, index: int) -> None:
    there = model.buckets[bucket].get(key) or [(NULL_VERSION, b"")]
    version_id = there[-1 - index % len(there)][0]
    await versions.delete(objects, bucket, key, version_id)
    model.drop(bucket, key, version_id)


async def _unmake(objects: Objects, model: Model, bucket: str) -> None:
    if any(model.buckets[bucket].values()):
        with pytest.raises(Conflict):
            await buckets.delete(objects, bucket)
    else:
        await buckets.delete(objects, bucket)
        del model.buckets[bucket], model.versioning[bucket]
        model.uploads = {k: each for k, each in model.uploads.items() if each[0] != bucket}


async def _tag(objects: Objects, model: Model, bucket: str, key: str, text: str) -> None:
    there = model.buckets[bucket].get(key)
    if there and there[-1][1] is not None:
        change = functools.partial(msgspec.structs.replace, tags={"t": text})
        await versions.change(objects, bucket, key, None, lambda version, _: change(version))
        model.tags[bucket, key, there[-1][0]] = text


async def _upload(
    objects: Objects, model: Model, bucket: str, key: str, data: bytes, ending: str
) -> None:
    """Upload a part twice and another that is not wanted; complete, give up, or leave it."""
    upload = await uploads.begin(objects, bucket, key, "me", Told())
    for number, each in ((1, b"first"), (2, OTHER), (1, data)):
        md5, held = hashlib.md5(each).digest(), [each] if each else []
        if number == 2:
            file = objects.scratch()
            file.write(each)
            piece, held = file.keep(objects.new_file_id()), []
        else:
            piece = Piece(len(each), crc_of(each))
        await uploads.put_part(objects, upload, number, piece, held, md5)
    if ending == "complete":
        chosen = [uploads.Chosen(number=1, etag=hashlib.md5(data).hexdigest())]
        made = await uploads.complete(objects, bucket, key, upload.upload_id, chosen)
        model.put(bucket, key, made.version_id, data)
    elif ending == "give up":
        await uploads.give_up(objects, bucket, key, upload.upload_id)
    else:
        model.uploads[upload.upload_id] = (bucket, data)


async def _compact(objects: Objects, _model: Model, _bucket: str) -> None:
    await compaction.compact(objects)


VERBS: dict[str, Callable[..., Awaitable[None]]] = {
    "version": _version, "put": _put, "delete": _delete, "drop": _drop, "unmake": _unmake,
    "compact": _compact, "tag": _tag, "upload": _upload,
}  # fmt: skip


async def check(objects: Objects, model: Model) -> None:
    """Compare all that can be seen."""
    assert [b.name for b in buckets.page(objects, "", "", 10)] == sorted(model.buckets)
    for name, keys in model.buckets.items():
        bucket = buckets.find(objects, name)
        current = {key: there[-1] for key, there in keys.items() if there}
        shown = {key: each[1] for key, each in current.items() if each[1] is not None}
        found = listing.page(objects, bucket, prefix="", delimiter="", after="", limit=100)
        assert [v.key for v in found.versions] == sorted(shown, key=str.encode)
        for key, data in shown.items():
            assert await get(objects, name, key) == data
        everything = [
            (key, version_id, data is None, index == 0)
            for key in sorted(keys, key=str.encode)
            for index, (version_id, data) in enumerate(reversed(keys[key]))
        ]
        page = listing.version_page(
            objects, bucket, prefix="", delimiter="", after=("", ""), limit=1000
        )
        told = [(v.key, v.version_id, v.is_marker, latest) for v, latest in page.versions]
        assert told == everything
        for key, there in keys.items():
            for version_id, data in there:
                if data is not None:
                    assert await get(objects, name, key, version_id) == data
        for (whose, key, version_id), text in model.tags.items():
            if whose == name and version_id in dict(keys.get(key, [])):
                row = versions.find(objects, bucket, key, version_id)
                assert row.version.tags == {"t": text}
        found_uploads = store.uploads_of(objects.reader, bucket.number)
        under_way = {each.upload_id for each in found_uploads}
        assert under_way == {k for k, each in model.uploads.items() if each[0] == name}
        for upload_id in under_way:
            part = uploads.parts(objects, upload_id, 0, 9)[0]
            assert part.md5 == hashlib.md5(model.uploads[upload_id][1]).digest()
        sizes = [len(data) for there in keys.values() for _, data in there if data is not None]
        assert buckets.usage(objects, bucket) == (len(sizes), sum(sizes))
        coming = sum(len(model.uploads[each][1]) + len(OTHER) for each in under_way)
        assert buckets.used(objects, bucket) == Usage(sum(sizes) + coming, len(sizes))
    check_files(objects)


def check_files(objects: Objects) -> None:
    """What is named is there, and nothing is kept that belongs to nothing."""
    query = "SELECT said FROM current UNION ALL SELECT said FROM former"
    everything = [hear(said, Version) for (said,) in objects.reader.execute(query)]
    parts = [hear(said, Part) for (said,) in objects.reader.execute("SELECT said FROM parts")]
    under_way = {each for (each,) in objects.reader.execute("SELECT upload_id FROM uploads")}
    assert {each.upload_id for each in parts} <= under_way | {v.upload_id for v in everything}
    pieces = [each.piece for each in (*everything, *parts) if each.piece is not None]
    files = {file for (file,) in objects.reader.execute("SELECT file FROM files")}
    assert files == {each.file for each in pieces if each.file}
    assert files <= set(objects.disk.files())


bucket_names = st.sampled_from(BUCKETS)
keys = st.sampled_from(KEYS)
operations = st.one_of(
    st.tuples(st.just("make"), st.just("other")),
    st.tuples(st.just("put"), bucket_names, keys, st.binary(max_size=40), st.booleans()),
    st.tuples(st.just("put"), bucket_names, keys, st.binary(max_size=40), st.booleans()),
    st.tuples(st.just("delete"), bucket_names, keys),
    st.tuples(st.just("drop"), bucket_names, keys, st.integers(0, 5)),
    st.tuples(st.just("version"), bucket_names, st.sampled_from(["enabled", "suspended"])),
    st.tuples(st.just("unmake"), bucket_names),
    st.tuples(st.just("compact"), st.just("bkt")),
    st.tuples(st.just("tag"), bucket_names, keys, st.text("ab", max_size=2)),
    st.tuples(
        st.just("upload"),
        bucket_names,
        keys,
        st.binary(max_size=40),
        st.sampled_from(["complete", "complete", "give up", "leave"]),
    ),
)
SEGMENT_BYTES = 600  # a few records
endings = st.sampled_from(["close", "lose index", "set index back", "power cut"])
chapter = st.tuples(st.lists(operations, min_size=4, max_size=16), endings)
stories = st.lists(chapter, min_size=1, max_size=4)
ONLY = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # each opens files


@ONLY
@given(st.sampled_from(["off", "enabled", "suspended"]), stories, st.data())
def test_the_store_is_a_dictionary_that_outlives_everything(
    versioning: str, chapters: list[tuple[list[tuple[Any, ...]], str]], draw: st.DataObject
) -> None:
    async def whole(ground: Ground) -> None:
        model = Model()
        async with ground.open() as objects:
            await step(objects, model, ("make", "bkt"))
            await step(objects, model, ("version", "bkt", versioning))
        for ops, ending in chapters:
            kept = ground.keep_index()
            async with ground.open(SEGMENT_BYTES) as objects:
                await check(objects, model)
                for op in ops:
                    await step(objects, model, op)
                await check(objects, model)
            if ending == "lose index":
                ground.forget_index()
            elif ending == "set index back":
                ground.bring_back_index(kept)
            elif ending == "power cut":
                ground.disk = ground.disk.after_power_cut(
                    lambda low, high: draw.draw(st.integers(low, high))
                )
        async with ground.open() as objects:
            await check(objects, model)

    with TemporaryDirectory() as folder:
        place = Path(folder) / "store"
        place.mkdir()
        asyncio.run(whole(Ground(place)))


def test_a_null_version_takes_the_place_of_a_former_one(tmp_path: Path) -> None:
    async def story() -> None:
        model = Model()
        async with Ground(tmp_path).open() as objects:
            for op in (
                ("make", "bkt"), ("put", "bkt", "a", b"1", True), ("version", "bkt", "enabled"),
                ("put", "bkt", "a", b"2", False), ("version", "bkt", "suspended"),
                ("put", "bkt", "a", b"3", False), ("delete", "bkt", "a"),
            ):  # fmt: skip
                await step(objects, model, op)
                await check(objects, model)
            assert len(model.buckets["bkt"]["a"]) == 2

    asyncio.run(story())


STEPS = ("write file", "keep file", "kept file", "write", "sync", "synced", "remove file", "cut")


@pytest.mark.parametrize("when", STEPS)
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("lost_index", [False, True])
def test_a_power_cut_at_any_step_loses_nothing_that_was_acknowledged(
    tmp_path: Path, when: str, number: int, *, lost_index: bool
) -> None:
    """What was not acknowledged is there whole, or not at all."""
    ground = Ground(tmp_path)
    acknowledged: dict[str, bytes] = {}
    asked: dict[str, bytes] = {}

    async def before() -> None:
        left = number
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put_big(objects, "big", b"old" * 100)
            acknowledged["big"] = b"old" * 100

            def fail(name: str) -> None:
                nonlocal left
                left -= name == when
                if left <= 0:
                    raise PowerCut

            ground.disk.before = fail
            for key, data, is_big in (
                ("a", b"1", False), ("big", b"new" * 200, True), ("a", b"2" * 9, False),
                ("c", b"3" * 99, True),
            ):  # fmt: skip
                asked[key] = data
                try:
                    await (put_big if is_big else put)(objects, key, data)
                except PowerCut:
                    break
                acknowledged[key] = data
            objects.threads.shutdown()

    async def after() -> None:
        async with ground.open() as objects:
            for key in {*acknowledged, *asked}:
                try:
                    found = await get(objects, "bkt", key)
                except NotFound:
                    found = None
                assert found in (acknowledged.get(key), asked.get(key)), key
        async with ground.open() as objects:  # what nothing names is gone
            files = {file for (file,) in objects.reader.execute("SELECT file FROM files")}
        assert files == set(ground.disk.files())

    asyncio.run(before())
    if lost_index:
        ground.forget_index()
    ground.disk = ground.disk.after_power_cut(lambda low, high: (low + high) // 2)
    asyncio.run(after())


def test_a_full_disk_refuses_writes_and_keeps_serving(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "a", b"1")

            def full(name: str) -> None:
                if name == "write":
                    raise LimitReached("data_full", "full")

            ground.disk.before = full
            results = await asyncio.gather(
                *(put(objects, f"b{n}", b"2") for n in range(3)), return_exceptions=True
            )
            assert [getattr(each, "code", each) for each in results] == ["data_full"] * 3
            assert await get(objects, "bkt", "a") == b"1"
            ground.disk.before = SimulatedDisk().before
            await put(objects, "c", b"3")
            assert await get(objects, "bkt", "c") == b"3"
        ground.forget_index()
        async with ground.open() as objects:
            found = listing.page(
                objects, buckets.find(objects, "bkt"), prefix="", delimiter="", after="", limit=10
            )
            assert [version.key for version in found.versions] == ["a", "c"]

    asyncio.run(story())


def test_what_is_deleted_makes_room_on_a_full_disk(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "a", b"1")

            def full(name: str) -> None:
                if name == "check room":
                    raise LimitReached("data_full", "full")

            ground.disk.before = full
            results = await asyncio.gather(
                put(objects, "b", b"2"), versions.delete(objects, "bkt", "a"),
                buckets.make(objects, "new", "me"), return_exceptions=True,
            )  # fmt: skip
            assert [getattr(each, "code", None) for each in results] == [
                "data_full",
                None,
                "data_full",
            ]
            await buckets.delete(objects, "bkt")

    asyncio.run(story())


def test_a_disk_that_cannot_be_put_back_is_never_written_again(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")

            def broken(name: str) -> None:
                if name != "check room":
                    raise LimitReached("data_full", "broken")

            ground.disk.before = broken
            for expected in ("data_full", "store_broken", "store_broken"):
                with pytest.raises(SkerryError) as caught:
                    await put(objects, "a", b"1")
                assert caught.value.code == expected
                if expected == "store_broken":
                    ground.disk.before = SimulatedDisk().before

    asyncio.run(story())


def test_who_reads_an_object_gets_it_whole_although_it_is_replaced_meanwhile(
    tmp_path: Path,
) -> None:
    ground, data = Ground(tmp_path), bytes(range(256)) * (12 << 10)

    async def story() -> bytes:
        async with ground.open() as objects:
            bucket = await buckets.make(objects, "bkt", "me")
            await put_big(objects, "k", data)
            row = versions.find(objects, bucket, "k")
            body = await reading.open_range(objects, row, 0, len(data))
            assert not isinstance(body, bytes)
            found = bytes(await anext(body))
            await put_big(objects, "k", b"new")
            return found + b"".join([bytes(piece) async for piece in body])

    assert asyncio.run(story()) == data
    assert [kept[:3] for kept in ground.disk.kept.values()] == [b"new"]


def test_the_bytes_of_a_put_that_was_refused_are_gone(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "k", b"1")
            with pytest.raises(Conflict):
                await put_big(objects, "k", b"2", condition=Condition(is_absent=True))

    asyncio.run(story())
    assert ground.disk.kept == {}


def test_bytes_that_were_changed_on_the_disk_are_not_given_out(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "small", b"x" * 100)
            await put_big(objects, "big", b"y" * 100)
            log, (file,) = ground.disk.logs[1], ground.disk.kept
            log[log.index(b"x" * 100) + 50] ^= 1
            ground.disk.kept[file] = ground.disk.kept[file].replace(b"y", b"z", 1)
            for key in ("small", "big"):
                with pytest.raises(SkerryError) as caught:
                    await get(objects, "bkt", key)
                assert caught.value.code == "data_changed"

    asyncio.run(story())


def tagged(version: Version, _now_ns: int) -> Version:
    return msgspec.structs.replace(version, tags={"a": "b"})


def test_what_is_said_of_an_object_changes_in_the_batch_that_puts_it(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def put_and_change() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "k", b"old")
            began, gate = threading.Event(), threading.Event()
            held = asyncio.ensure_future(
                objects.writer.write(lambda _made: began.set() or gate.wait(9))
            )
            await asyncio.to_thread(began.wait, 9)
            changes = (versions.change(objects, "bkt", "k", None, tagged) for _ in range(2))
            together = asyncio.gather(put(objects, "k", b"new bytes"), *changes)
            asyncio.get_running_loop().call_soon(gate.set)  # once they wait for the next batch
            await asyncio.gather(held, together)

    async def look() -> None:
        async with ground.open() as objects:
            row = versions.find(objects, buckets.find(objects, "bkt"), "k")
            assert row.version.tags == {"a": "b"}
            assert await get(objects, "bkt", "k") == b"new bytes"

    asyncio.run(put_and_change())
    ground.forget_index()
    asyncio.run(look())


def test_bytes_that_the_disk_has_changed_are_not_written_anew(tmp_path: Path) -> None:
    ground = Ground(tmp_path)

    async def story() -> None:
        async with ground.open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "k", b"x" * 100)
            log = ground.disk.logs[1]
            log[log.index(b"x" * 100) + 50] ^= 1
            with pytest.raises(Failed, match="have changed"):
                await versions.change(objects, "bkt", "k", None, tagged)

    asyncio.run(story())


def test_a_row_of_an_object_in_parts_that_is_gone_gives_no_other_bytes(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            bucket = await buckets.make(objects, "bkt", "me")
            upload = await uploads.begin(objects, "bkt", "k", "me", Told())
            part = await uploads.put_part(
                objects, upload, 1, Piece(3, crc_of(b"abc")), [b"abc"], b"m"
            )
            chosen = [uploads.Chosen(number=1, etag=part.md5.hex())]
            await uploads.complete(objects, "bkt", "k", upload.upload_id, chosen)
            row = versions.find(objects, bucket, "k")
            await versions.delete(objects, "bkt", "k")
            with pytest.raises(NotAvailable, match="replaced"):
                await reading.open_range(objects, row, 0, 3)

    asyncio.run(story())


def test_a_work_that_breaks_harms_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await buckets.make(objects, "bkt", "me")
            broken = objects.writer.write(lambda _made: 1 // 0)
            results = await asyncio.gather(broken, put(objects, "k", b"1"), return_exceptions=True)
            assert isinstance(results[0], ZeroDivisionError)
            assert await get(objects, "bkt", "k") == b"1"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        (Condition(is_absent=True), "condition_failed"),
        (Condition(etags=frozenset({"other"})), "condition_failed"),
        (Condition(etags=frozenset({"*"})), None),
        (Condition(size=1), None),
        (Condition(size=2), "condition_failed"),
    ],
)
def test_a_put_under_a_condition(tmp_path: Path, condition: Condition, code: str | None) -> None:
    async def story() -> str | None:
        async with Ground(tmp_path).open() as objects:
            await buckets.make(objects, "bkt", "me")
            await put(objects, "a", b"1")
            try:
                await put(objects, "a", b"2", condition=condition)
            except SkerryError as error:
                return error.code
            return None

    assert asyncio.run(story()) == code


def test_of_many_who_create_one_key_at_once_one_does(tmp_path: Path) -> None:
    async def story() -> list[object]:
        async with Ground(tmp_path).open() as objects:
            await buckets.make(objects, "bkt", "me")
            return await asyncio.gather(
                *(
                    put(objects, "lock", b"%d" % n, condition=Condition(is_absent=True))
                    for n in range(20)
                ),
                return_exceptions=True,
            )

    results = asyncio.run(story())
    assert sum(isinstance(each, Conflict) for each in results) == 19
