"""A store with rules, quotas and holds against a model of them, with all that may happen to it.

As in `test_store`, but versions are told by their place: what rules make has ids that nobody knows.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from skerry.base import Denied, LimitReached
from skerry.objects import Objects, buckets, compaction, due, lifecycle, listing, locks, versions
from skerry.objects.model import NULL_VERSION, Versioning
from skerry.objects.quotas import SETTING, Quota
from skerry.objects.rules import Rule
from tests.objects.place import Ground, get, put, put_big
from tests.objects.test_store import SEGMENT_BYTES, check_files

S = 10**9
LOCKED, PLAIN = "locked", "plain"


@dataclass(eq=False)
class Known:
    """A version: its bytes, None for a marker; when it was made; whether it is held, and `null`."""

    data: bytes | None
    at_ns: int
    is_null: bool
    is_held: bool = False

    @property
    def size(self) -> int:
        return len(self.data or b"")


@dataclass
class Model:
    """What there should be in a bucket: of each key the versions, the newest first."""

    name: str
    versioning: Versioning
    keys: dict[str, list[Known]] = field(default_factory=dict)
    expires_after_s: int | None = None
    former_after_s: int | None = None
    former_kept: int = 0
    quota: Quota = field(default_factory=Quota)

    def added(self, key: str, data: bytes | None, now_ns: int) -> list[Known]:
        """Return the versions of a key once one more is written."""
        new = Known(data, now_ns, is_null=self.versioning != "enabled")
        return [
            new,
            *(each for each in self.keys.get(key, []) if not (new.is_null and each.is_null)),
        ]

    def takes(self, key: str, data: bytes, now_ns: int) -> bool:
        """Tell whether the quota lets an object be put."""
        before, after = self.keys.get(key, []), self.added(key, data, now_ns)
        if self.versioning == "enabled" and self.former_after_s == 0:
            after = self.kept(after, now_ns, formers_only=True)
        gone = [each for each in before if each not in after]
        more_bytes = len(data) - sum(each.size for each in gone)
        more = 1 - sum(each.data is not None for each in gone)
        there = [each for known in self.keys.values() for each in known]
        size, count = sum(each.size for each in there), sum(e.data is not None for e in there)
        too_large = self.quota.bytes is not None and size + more_bytes > self.quota.bytes
        too_many = self.quota.objects is not None and count + more > self.quota.objects
        return not (too_large and more_bytes > 0) and not (too_many and more > 0)

    def kept(self, known: list[Known], now_ns: int, *, formers_only: bool = False) -> list[Known]:
        """Return what the rules leave of the versions of a key, before a marker is made."""
        left: list[Known] = []
        for number, each in enumerate(known):
            end_ns: int | None = None
            if number and self.former_after_s is not None and number > self.former_kept:
                end_ns = known[number - 1].at_ns + self.former_after_s * S
            if not number and self.expires_after_s is not None and not formers_only:
                is_kept = each.data is None and len(known) > 1
                end_ns = None if is_kept else each.at_ns + self.expires_after_s * S
            is_held = each.is_held and number > 0
            if end_ns is None or end_ns > now_ns or is_held:
                left.append(each)
        return left

    def act(self, now_ns: int) -> None:
        """Do what the rules do by now."""
        for key in self.keys:
            while len(left := self.kept(known := self.keys[key], now_ns)) < len(known):
                is_current = left[:1] != known[:1] and known[0].data is not None
                if is_current and self.versioning != "off":
                    marker, *formers = self.added(key, None, now_ns)
                    self.keys[key] = [
                        marker,
                        *(each for each in formers if each in (known[0], *left)),
                    ]
                else:
                    self.keys[key] = left


def ids(objects: Objects, model: Model, key: str) -> list[str]:
    """Return the ids of the versions of a key, the newest first."""
    number = buckets.find(objects, model.name).number
    return [each.version_id for each in due.all_of_key(objects.reader, number, key)]


async def _put(objects: Objects, model: Model, key: str, data: bytes, is_big: bool) -> None:  # noqa: FBT001 - hypothesis draws it in its place
    now_ns = objects.clock.now_ns()
    takes = model.takes(key, data, now_ns)
    try:
        await (put_big if is_big else put)(objects, key, data, model.name)
    except LimitReached:
        assert not takes
        return
    assert takes
    model.keys[key] = model.added(key, data, now_ns)


async def _delete(objects: Objects, model: Model, key: str) -> None:
    await versions.delete(objects, model.name, key)
    if model.versioning == "off":
        model.keys[key] = [each for each in model.keys.get(key, []) if not each.is_null]
    else:
        model.keys[key] = model.added(key, None, objects.clock.now_ns())


async def _drop(objects: Objects, model: Model, key: str, index: int) -> None:
    if known := model.keys.get(key):
        index %= len(known)
        try:
            await versions.delete(objects, model.name, key, ids(objects, model, key)[index])
        except Denied:
            assert known[index].is_held
        else:
            assert not known.pop(index).is_held


async def _hold(objects: Objects, model: Model, key: str, index: int, is_held: bool) -> None:  # noqa: FBT001 - hypothesis draws it in its place
    known = model.keys.get(key)
    if model.name == LOCKED and known and known[index % len(known)].data is not None:
        version_id = ids(objects, model, key)[index % len(known)]
        change = functools.partial(locks.held, is_held=is_held)
        await versions.change(objects, LOCKED, key, version_id, lambda v, _: change(v))
        known[index % len(known)].is_held = is_held


async def _version(objects: Objects, model: Model, versioning: Versioning) -> None:
    if model.name == PLAIN:
        changed = functools.partial(msgspec.structs.replace, versioning=versioning)
        await buckets.change(objects, PLAIN, changed)
        model.versioning = versioning


async def _rule(
    objects: Objects, model: Model, expires: int | None, former: int | None, kept: int
) -> None:
    rule = Rule(rule_id="r", expires_after_s=expires, former_after_s=former, former_kept=kept)
    await lifecycle.put_rules(objects, model.name, [rule])
    model.expires_after_s, model.former_after_s, model.former_kept = expires, former, kept


async def _quota(objects: Objects, model: Model, size: int | None, count: int | None) -> None:
    model.quota = Quota(bytes=size, objects=count)
    document = msgspec.json.encode(model.quota)
    await buckets.put_setting(objects, model.name, SETTING, document)


async def _turn(objects: Objects, _model: Model, seconds: int) -> None:
    await objects.clock.sleep_ns(seconds * S)


async def _compact(objects: Objects, _model: Model) -> None:
    await compaction.compact(objects)


VERBS: dict[str, Callable[..., Awaitable[None]]] = {
    "put": _put, "delete": _delete, "drop": _drop, "hold": _hold, "version": _version,
    "rule": _rule, "quota": _quota, "turn": _turn, "compact": _compact,
}  # fmt: skip


async def act(objects: Objects, models: dict[str, Model]) -> None:
    await lifecycle.act(objects)
    for model in models.values():
        model.act(objects.clock.now_ns())


async def check(objects: Objects, models: dict[str, Model]) -> None:
    """Compare all that can be seen."""
    for model in models.values():
        bucket = buckets.find(objects, model.name)
        page = listing.version_page(
            objects, bucket, prefix="", delimiter="", after=("", ""), limit=1000
        )
        held = [v.lock is not None and v.lock.is_held for v, _ in page.versions]
        told = [
            (v.key, v.is_marker, v.size, v.version_id == NULL_VERSION, is_held)
            for (v, _), is_held in zip(page.versions, held, strict=True)
        ]
        assert told == [
            (key, each.data is None, each.size, each.is_null, each.is_held)
            for key in sorted(model.keys)
            for each in model.keys[key]
        ]
        for version, _ in page.versions:
            place = ids(objects, model, version.key).index(version.version_id)
            if (data := model.keys[version.key][place].data) is not None:
                assert await get(objects, model.name, version.key, version.version_id) == data
        sizes = [e.size for known in model.keys.values() for e in known if e.data is not None]
        assert buckets.usage(objects, bucket) == (len(sizes), sum(sizes))
    check_files(objects)


keys = st.sampled_from(["a", "b"])
seconds = st.sampled_from([None, 5, 10])
operations = st.tuples(
    st.sampled_from([LOCKED, PLAIN]),
    st.one_of(
        st.tuples(st.just("put"), keys, st.binary(max_size=40), st.booleans()),
        st.tuples(st.just("put"), keys, st.binary(max_size=40), st.booleans()),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("drop"), keys, st.integers(0, 5)),
        st.tuples(st.just("hold"), keys, st.integers(0, 5), st.booleans()),
        st.tuples(st.just("version"), st.sampled_from(["enabled", "suspended"])),
        st.tuples(st.just("rule"), seconds, st.sampled_from([None, 0, 0, 5]), st.integers(0, 2)),
        st.tuples(st.just("quota"), st.sampled_from([None, 50]), st.sampled_from([None, 3])),
        st.tuples(st.just("turn"), st.sampled_from([1, 4, 5, 10])),
        st.tuples(st.just("compact")),
    ),
)
endings = st.sampled_from(["close", "lose index", "set index back", "power cut"])
chapter = st.tuples(st.lists(operations, min_size=4, max_size=16), endings)
ONLY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # each opens files


async def told(ground: Ground, chapters: list[Any], pick: Callable[[int, int], int]) -> None:
    models = {LOCKED: Model(LOCKED, "enabled"), PLAIN: Model(PLAIN, "off")}
    async with ground.open(SEGMENT_BYTES) as objects:
        await buckets.make(objects, LOCKED, "me", has_lock=True)
        await buckets.make(objects, PLAIN, "me")
    for ops, ending in chapters:
        kept = ground.keep_index()
        async with ground.open(SEGMENT_BYTES) as objects:
            await act(objects, models)
            await check(objects, models)
            for bucket, (verb, *more) in ops:
                await VERBS[verb](objects, models[bucket], *more)
                await act(objects, models)
                await check(objects, models)
        if ending == "lose index":
            ground.forget_index()
        elif ending == "set index back":
            ground.bring_back_index(kept)
        elif ending == "power cut":
            ground.disk = ground.disk.after_power_cut(pick)
    async with ground.open() as objects:
        await check(objects, models)


@ONLY
@given(st.lists(chapter, min_size=1, max_size=4), st.data())
def test_rules_quotas_and_holds_are_as_told_whatever_happens(
    chapters: list[tuple[list[Any], str]], draw: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        note(repr(chapters))
        place = Path(folder) / "store"
        place.mkdir()

        def pick(low: int, high: int) -> int:
            return draw.draw(st.integers(low, high))

        asyncio.run(told(Ground(place), chapters, pick))
