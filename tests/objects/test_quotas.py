"""Quotas: what there is in a bucket is counted right, whatever happens, and held to."""

import asyncio
import functools
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry.base import LimitReached, SkerryError
from skerry.objects import Objects, buckets, compaction, quotas, schema, store, uploads, versions
from skerry.objects.model import Part, Piece, Upload, Version
from skerry.objects.quotas import Quota
from skerry.objects.records import Record, crc_of, say
from skerry.objects.rules import SETTING, Rule, say_rules
from skerry.objects.store import Applied, Changes, Place
from skerry.objects.usage import Usage
from skerry.objects.versions import Told
from tests.objects.place import Ground, put


async def limited(objects: Objects, quota: Quota) -> None:
    """Have the bucket `bkt` take no more than that."""
    await buckets.make(objects, "bkt", "me")
    document = msgspec.json.encode(quota)
    await buckets.put_setting(objects, "bkt", quotas.SETTING, document)


async def put_part(objects: Objects, upload: Upload, number: int, size: int) -> None:
    data = b"x" * size
    piece = Piece(size, crc_of(data))
    await uploads.put_part(objects, upload, number, piece, [data] if data else [], b"m")


@dataclass
class Model:
    """What there should be: sizes of objects by key, and of parts by upload and number."""

    objects: dict[str, int] = field(default_factory=dict[str, int])
    uploads: dict[str, tuple[Upload, dict[int, int]]] = field(
        default_factory=dict[str, tuple[Upload, dict[int, int]]]
    )

    def usage(self) -> Usage:
        under_way = sum(sum(parts.values()) for _, parts in self.uploads.values())
        return Usage(sum(self.objects.values()) + under_way, len(self.objects))


async def step(objects: Objects, model: Model, op: tuple[str, str, int, int]) -> None:
    """Do one thing to the store and to the model."""
    verb, key, number, size = op
    if verb == "put":
        await put(objects, key, b"x" * size)
        model.objects[key] = size
    elif verb == "delete":
        await versions.delete(objects, "bkt", key)
        model.objects.pop(key, None)
    elif verb == "begin":
        upload = await uploads.begin(objects, "bkt", key, "me", Told())
        model.uploads[upload.upload_id] = upload, {}
    elif verb == "compact":
        await compaction.compact(objects)
    elif model.uploads:
        upload_id = sorted(model.uploads)[number % len(model.uploads)]
        await on_upload(objects, model, verb, upload_id, number, size)


async def on_upload(
    objects: Objects, model: Model, verb: str, upload_id: str, number: int, size: int
) -> None:
    upload, parts = model.uploads[upload_id]
    if verb == "part":
        await put_part(objects, upload, number, size)
        parts[number] = size
    elif verb == "give up":
        await uploads.give_up(objects, "bkt", upload.key, upload_id)
        del model.uploads[upload_id]
    elif parts:
        last = uploads.Chosen(number=max(parts), etag=b"m".hex())
        await uploads.complete(objects, "bkt", upload.key, upload_id, [last])
        model.objects[upload.key] = parts[max(parts)]
        del model.uploads[upload_id]


verbs = st.sampled_from(
    ["put", "delete", "begin", "part", "part", "complete", "give up", "compact"]
)
operations = st.tuples(verbs, st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 300))
chapters = st.lists(
    st.tuples(st.lists(operations, max_size=15), st.sampled_from(["close", "lose", "set back"])),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chapters)
def test_what_there_is_is_counted_right_whatever_happens(
    told: list[tuple[list[tuple[str, str, int, int]], str]],
) -> None:
    async def whole(ground: Ground) -> None:
        model = Model()
        async with ground.open(600) as objects:
            await buckets.make(objects, "bkt", "me")
        for ops, ending in [*told, ([], "close")]:
            kept = ground.keep_index()
            async with ground.open(600) as objects:
                for op in ops:
                    await step(objects, model, op)
                assert buckets.used(objects, buckets.find(objects, "bkt")) == model.usage()
            if ending == "lose":
                ground.forget_index()
            elif ending == "set back":
                ground.bring_back_index(kept)

    with TemporaryDirectory() as folder:
        place = Path(folder) / "store"
        place.mkdir()
        asyncio.run(whole(Ground(place)))


def part(number: int, size: int) -> Part:
    return Part("u", number, Piece(size, 0, f"f{number}-{size}"), b"m", 0)


UPLOAD = Upload(upload_id="u", bucket=1, key="k", owner="me", begun_at_ns=0)
DONE = Version(
    bucket=1, key="k", version_id="null", sequence=1, modified_at_ns=0, size=2, upload_id="u",
    parts=((2, 2),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("records", "count"),
    [
        ([UPLOAD, part(1, 5), part(2, 2)], 7),
        ([part(1, 5), part(2, 2), UPLOAD], 7),
        ([UPLOAD, part(1, 5), UPLOAD, part(1, 5)], 5),
        ([UPLOAD, part(1, 5), part(1, 3)], 3),
        ([UPLOAD, part(1, 5), part(2, 2), DONE], 0),
        ([part(2, 2), UPLOAD, part(1, 5), DONE, part(2, 2), DONE], 0),
    ],
)
def test_parts_count_in_whichever_order_the_log_has_them(
    tmp_path: Path, records: list[Record], count: int
) -> None:
    connection = Ground(tmp_path).connect()
    connection.executescript(schema.SCHEMA)
    changes = Changes()
    for offset, record in enumerate(records):
        store.apply(connection, changes, Applied(Place(1, offset), record, say(record), 0))
    connection.close()

    assert changes.part_bytes[1] == count


def test_of_many_who_write_at_once_only_so_many_do(tmp_path: Path) -> None:
    async def story() -> list[object]:
        async with Ground(tmp_path).open() as objects:
            await limited(objects, Quota(bytes=100, objects=50))
            puts = (put(objects, f"k{n}", b"x" * 30) for n in range(9))
            return await asyncio.gather(*puts, return_exceptions=True)

    results = asyncio.run(story())
    assert [isinstance(each, LimitReached) for each in results] == [False] * 3 + [True] * 6


@pytest.mark.parametrize(
    ("versioning", "quota", "sizes", "code"),
    [
        ("off", Quota(bytes=10), [10, 10, 3, 10], None),
        ("off", Quota(bytes=10), [10, 11], "quota_exceeded"),
        ("off", Quota(objects=1), [5, 5], None),
        ("off", Quota(objects=0), [0], "quota_exceeded"),
        ("off", Quota(bytes=0), [0], None),
        ("suspended", Quota(bytes=10, objects=1), [10, 10], None),
        ("enabled", Quota(bytes=10), [6, 4], None),
        ("enabled", Quota(bytes=10), [6, 5], "quota_exceeded"),
        ("enabled", Quota(objects=1), [0, 0], "quota_exceeded"),
    ],
)  # fmt: skip
def test_what_takes_the_place_of_another_counts_by_what_it_is_larger(
    tmp_path: Path, versioning: str, quota: Quota, sizes: list[int], code: str | None
) -> None:
    async def story() -> str | None:
        async with Ground(tmp_path).open() as objects:
            await limited(objects, quota)
            changed = functools.partial(msgspec.structs.replace, versioning=versioning)
            await buckets.change(objects, "bkt", changed)
            try:
                for size in sizes:
                    await put(objects, "k", b"x" * size)
            except SkerryError as error:
                return error.code
            return None

    assert asyncio.run(story()) == code


def test_what_a_rule_ends_in_the_write_makes_room_for_it(tmp_path: Path) -> None:
    last_only = Rule(rule_id="r", former_after_s=0)

    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await limited(objects, Quota(bytes=10, objects=1))
            changed = functools.partial(msgspec.structs.replace, versioning="enabled")
            await buckets.change(objects, "bkt", changed)
            await buckets.put_setting(objects, "bkt", SETTING, say_rules([last_only]))
            for size in (9, 10, 8):
                await put(objects, "k", b"x" * size)
            with pytest.raises(LimitReached):
                await put(objects, "k", b"x" * 11)
            assert buckets.used(objects, buckets.find(objects, "bkt")) == Usage(8, 1)

    asyncio.run(story())


def test_parts_of_unfinished_uploads_fill_no_disk(tmp_path: Path) -> None:
    async def story() -> None:
        async with Ground(tmp_path).open() as objects:
            await limited(objects, Quota(bytes=10, objects=1))
            upload = await uploads.begin(objects, "bkt", "k", "me", Told())
            await put_part(objects, upload, 1, 6)
            await put_part(objects, upload, 1, 8)
            for number, size in itertools.product((1, 2), (11, 12)):
                with pytest.raises(LimitReached):
                    await put_part(objects, upload, number, size)
            with pytest.raises(LimitReached):
                await put(objects, "a", b"abc")
            await put(objects, "a", b"ab")
            chosen = [uploads.Chosen(number=1, etag=b"m".hex())]
            with pytest.raises(LimitReached):
                await uploads.complete(objects, "bkt", "k", upload.upload_id, chosen)
            await versions.delete(objects, "bkt", "a")
            await uploads.complete(objects, "bkt", "k", upload.upload_id, chosen)
            assert buckets.used(objects, buckets.find(objects, "bkt")) == Usage(8, 1)

    asyncio.run(story())
